//! What readers, watchers and the writer of an engine share: the published state.
//!
//! Invariant: only what is durable is published, in the order of revisions, and watchers are told under the same lock.

use std::sync::{Arc, Weak};

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::expiry::Expiries;
use crate::index::Index;
use crate::plan::{Record, Seconds};
use crate::watch::{self, Watcher};
use crate::{Entry, Error, Range, RangeResult, Revision, WatchStream};

/// When values that only old revisions show take more than this, the older half is forgotten without being asked:
/// who reads or watches that far back lists anew. The periodic compaction usually comes first.
pub const HISTORY_LIMIT_BYTES: usize = 64 << 20;

/// The state of an engine as everyone may see it.
#[derive(Debug)]
pub struct Shared {
    state: RwLock<State>,
    /// Rung when another entry is the next to expire, and when the store closes.
    pub next_expiry_changed: Notify,
}

#[derive(Debug)]
struct State {
    index: Index,
    expiries: Expiries,
    watchers: Vec<Weak<Watcher>>,
    closed: bool,
}

impl Shared {
    /// Publishes `index`.
    pub fn new(index: Index) -> Arc<Self> {
        let expiries = Expiries::of(&index);
        let state = State { index, expiries, watchers: Vec::new(), closed: false };
        Arc::new(Self { state: RwLock::new(state), next_expiry_changed: Notify::new() })
    }

    /// Looks at the index, closed or not.
    pub fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.state.read().index)
    }

    fn open_index<T>(&self, look: impl FnOnce(&Index) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.state.read();
        if state.closed { Err(Error::Closed) } else { look(&state.index) }
    }

    /// See [`crate::Store::get`].
    pub fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        self.open_index(|index| index.get(key, at))
    }

    /// See [`crate::Store::range`].
    pub fn range(&self, range: &Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        self.open_index(|index| index.range(range, at))
    }

    /// See [`crate::Store::revision`].
    pub fn revision(&self) -> Result<Revision, Error> {
        self.open_index(|index| Ok(index.revision()))
    }

    /// See [`crate::Store::watch`].
    pub fn watch(self: &Arc<Self>, prefix: &str, after: Revision) -> Result<WatchStream, Error> {
        let mut state = self.state.write();
        if state.closed {
            return Err(Error::Closed);
        }
        let oldest = state.index.compacted();
        if after < oldest {
            return Err(Error::Compacted { requested: after, oldest });
        }
        let watcher = Arc::new(Watcher::new(prefix, after, &state.index));
        state.watchers.retain(|known| known.strong_count() > 0);
        state.watchers.push(Arc::downgrade(&watcher));
        drop(state);
        Ok(watch::stream(self.clone(), watcher))
    }

    /// See [`crate::Store::request_progress`].
    pub fn request_progress(&self, prefix: &str) -> Result<(), Error> {
        let state = self.state.read();
        if state.closed {
            return Err(Error::Closed);
        }
        state.each_watcher(|watcher| watcher.want_progress(prefix));
        Ok(())
    }

    /// Decides and publishes at once, for an engine without a disk.
    pub fn decide<T>(&self, decide: impl FnOnce(&Index) -> Result<(Option<Record>, T), Error>) -> Result<T, Error> {
        let mut state = self.state.write();
        if state.closed {
            return Err(Error::Closed);
        }
        let (record, answer) = decide(&state.index)?;
        self.publish_into(&mut state, record);
        Ok(answer)
    }

    /// Shows everyone what has become durable.
    pub fn publish(&self, records: impl IntoIterator<Item = Record>) {
        self.publish_into(&mut self.state.write(), records);
    }

    fn publish_into(&self, state: &mut State, records: impl IntoIterator<Item = Record>) {
        let from = state.index.revision().next();
        let next_expiry = state.expiries.next();
        for record in records {
            state.apply(record);
        }
        state.each_watcher(|watcher| watcher.changed(&state.index, from));
        if state.expiries.next() != next_expiry {
            self.next_expiry_changed.notify_one();
        }
    }

    /// Whether the history has grown so much that it must be cut, and where.
    pub fn history_overflow(&self) -> Option<Revision> {
        let state = self.state.read();
        let (oldest, newest) = (state.index.compacted().0, state.index.revision().0);
        (state.index.superseded_bytes() > HISTORY_LIMIT_BYTES).then(|| Revision(oldest + (newest - oldest).div_ceil(2)))
    }

    /// Whether the store is open and `at` has happened.
    pub fn check_happened(&self, at: Revision) -> Result<(), Error> {
        self.open_index(|index| index.check_happened(at))
    }

    /// Forgets the history up to `at`, which has happened.
    pub fn compact(&self, at: Revision) {
        let mut state = self.state.write();
        state.each_watcher(|watcher| watcher.compacted(at));
        state.watchers.retain(|known| known.strong_count() > 0);
        state.index.compact(at);
    }

    /// Which entries are over at `now`, at most `limit` of them.
    pub fn expired(&self, now: Seconds, limit: usize) -> Vec<(Arc<str>, Revision)> {
        self.state.read().expiries.due(now, limit)
    }

    /// When the next entry is over.
    pub fn next_expiry(&self) -> Option<Seconds> {
        self.state.read().expiries.next()
    }

    /// Refuses everything from now on and ends the watches once they have delivered what there is.
    pub fn close(&self) {
        let mut state = self.state.write();
        state.closed = true;
        state.each_watcher(Watcher::close);
    }
}

impl State {
    fn apply(&mut self, record: Record) {
        let (key, revision) = (record.key.clone(), record.revision);
        let expires = record.live.as_ref().and_then(|live| live.expires);
        self.expiries.remove(&key);
        self.index.apply(record);
        if let Some(expires) = expires {
            self.expiries.insert(key, revision, expires);
        }
    }

    fn each_watcher(&self, tell: impl Fn(&Watcher)) {
        for watcher in self.watchers.iter().filter_map(Weak::upgrade) {
            tell(&watcher);
        }
    }
}
