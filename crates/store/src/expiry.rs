//! Entries with a time to live: which is next, and the one timer that deletes them.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use futures::future::join_all;

use crate::index::Index;
use crate::plan::Seconds;
use crate::shared::Shared;
use crate::{Error, Revision};

/// So many expired entries are deleted together; the rest follows at once.
const EXPIRY_BATCH: usize = 256;

/// How long expired entries stay when the disk has no room for their deletion.
const FULL_PAUSE: Duration = Duration::from_secs(10);

/// The live entries that end by themselves.
#[derive(Debug, Default)]
pub struct Expiries {
    by_time: BTreeSet<(Seconds, Arc<str>)>,
    by_key: HashMap<Arc<str>, (Seconds, Revision)>,
}

impl Expiries {
    /// Those of a whole index.
    pub fn of(index: &Index) -> Self {
        let mut expiries = Self::default();
        for (key, revision, live) in index.live() {
            if let Some(expires) = live.expires {
                expiries.insert(key.clone(), revision, expires);
            }
        }
        expiries
    }

    /// `key`, as changed at `revision`, ends at `expires`.
    pub fn insert(&mut self, key: Arc<str>, revision: Revision, expires: Seconds) {
        self.by_time.insert((expires, key.clone()));
        self.by_key.insert(key, (expires, revision));
    }

    /// `key` ends no longer, or later.
    pub fn remove(&mut self, key: &Arc<str>) {
        if let Some((expires, _)) = self.by_key.remove(key) {
            self.by_time.remove(&(expires, key.clone()));
        }
    }

    /// When the next entry ends.
    pub fn next(&self) -> Option<Seconds> {
        self.by_time.first().map(|(expires, _)| *expires)
    }

    /// The entries that are over at `now`, at most `limit`.
    pub fn due(&self, now: Seconds, limit: usize) -> Vec<(Arc<str>, Revision)> {
        let over = self.by_time.iter().take_while(|(expires, _)| *expires <= now).take(limit);
        over.filter_map(|(_, key)| Some((key.clone(), self.by_key.get(key)?.1))).collect()
    }
}

/// Deletes what is over, with `delete`, until the store takes no more writes.
pub async fn run<D: Future<Output = Result<(), Error>>>(
    shared: Arc<Shared>,
    clock: Clock,
    delete: impl Fn(Arc<str>, Revision) -> D,
) {
    loop {
        let changed = shared.next_expiry_changed.notified();
        let due = shared.expired(clock.now().as_second(), EXPIRY_BATCH);
        if !due.is_empty() {
            let deleted = join_all(due.into_iter().map(|(key, revision)| delete(key, revision))).await;
            match deleted.into_iter().filter_map(Result::err).find(|error| !matches!(error, Error::Conflict { .. })) {
                // A conflict means that the entry was changed meanwhile: it is looked at again.
                None => {}
                Some(Error::Full { .. }) => clock.sleep(FULL_PAUSE).await,
                Some(Error::Closed) => return,
                Some(error) => {
                    tracing::warn!(%error, "entries no longer expire");
                    return;
                }
            }
            continue;
        }
        let Some(next) = shared.next_expiry().and_then(|next| jiff::Timestamp::from_second(next).ok()) else {
            changed.await;
            continue;
        };
        tokio::select! {
            biased;
            () = changed => {}
            () = clock.sleep_until_wall(next) => {}
        }
    }
}
