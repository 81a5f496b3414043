//! Watches: who wants to know, from where on, and how they are woken.
//!
//! A watcher has no queue of its own: it has a position in the index's history, which all share. So a slow one costs
//! nothing and misses nothing; when compaction overtakes it, it is told so.

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::index::Index;
use crate::shared::Shared;
use crate::{Entry, Error, Revision};

/// A batch has at most this many events; the rest comes with the next one.
const BATCH_EVENTS: usize = 512;

/// A watcher far behind reads at most so many foreign changes before it lets writers in.
const BATCH_CHANGES: usize = 16_384;

/// One change, with what was there before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key has a new value.
    Put {
        /// What it is now.
        entry: Entry,
        /// What it was; `None` when it was created.
        previous: Option<Entry>,
    },
    /// The key was deleted, by a write or because its time was over.
    Delete {
        /// When it was deleted.
        revision: Revision,
        /// What it was.
        previous: Entry,
    },
}

impl Event {
    /// Which key changed.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        match self {
            Self::Put { entry, .. } => &entry.key,
            Self::Delete { previous, .. } => &previous.key,
        }
    }

    /// When it changed.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Put { entry, .. } => entry.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// Some events in the order of their revisions. Without events it is a mark of progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What happened since the last batch.
    pub events: Vec<Event>,
    /// Everything up to here has been delivered.
    pub revision: Revision,
}

/// The changes that a watch delivers. The stream ends after its first error.
pub type WatchStream = BoxStream<'static, Result<Batch, Error>>;

/// One open watch.
#[derive(Debug)]
pub struct Watcher {
    prefix: String,
    after: Revision,
    position: Mutex<Position>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Position {
    /// The first change that may concern the watcher and is not delivered; `None` when it has seen everything.
    pending: Option<Revision>,
    progress_wanted: bool,
    ended: Option<Error>,
}

impl Watcher {
    /// A watcher of `prefix` that wants to know what happens after `after`.
    pub fn new(prefix: &str, after: Revision, index: &Index) -> Self {
        let pending = (after < index.revision()).then(|| after.next());
        let position = Mutex::new(Position { pending, ..Position::default() });
        Self { prefix: prefix.to_owned(), after, position, wake: Notify::new() }
    }

    /// Wakes the watcher if one of the changes from `from` on concerns it.
    pub fn changed(&self, index: &Index, from: Revision) {
        let mut position = self.position.lock();
        // What follows a gap is not delivered.
        if position.pending.is_some() || position.ended.is_some() {
            return;
        }
        let mut changes = index.changed_keys(from);
        let Some((revision, _)) = changes.find(|(at, key)| *at > self.after && key.starts_with(&self.prefix)) else {
            return;
        };
        position.pending = Some(revision);
        self.wake.notify_one();
    }

    /// Has the watcher report where it is, if it watches exactly `prefix`.
    pub fn want_progress(&self, prefix: &str) {
        if self.prefix == prefix {
            self.position.lock().progress_wanted = true;
            self.wake.notify_one();
        }
    }

    /// Ends the watch if it has not seen all changes up to `at`, which are about to be forgotten.
    pub fn compacted(&self, at: Revision) {
        let mut position = self.position.lock();
        if let Some(pending) = position.pending
            && pending <= at
        {
            position.pending = None;
            position.ended = Some(Error::Compacted { requested: Revision(pending.0 - 1), oldest: at });
            self.wake.notify_one();
        }
    }

    /// Ends the watch once everything is delivered.
    pub fn close(&self) {
        self.position.lock().ended.get_or_insert(Error::Closed);
        self.wake.notify_one();
    }

    /// What to deliver now; `None` when there is nothing.
    fn poll(&self, index: &Index) -> Option<Result<Batch, Error>> {
        let mut position = self.position.lock();
        if let Some(from) = position.pending {
            let (batch, next) = self.batch(index, from);
            position.pending = next;
            return Some(Ok(batch));
        }
        if let Some(error) = &position.ended {
            return Some(Err(error.clone()));
        }
        let progress = std::mem::take(&mut position.progress_wanted);
        progress.then(|| Ok(Batch { events: Vec::new(), revision: index.revision() }))
    }

    /// The next events from `from` on, and where to go on if they are not all.
    fn batch(&self, index: &Index, from: Revision) -> (Batch, Option<Revision>) {
        let mut events = Vec::new();
        let mut seen = Revision(from.0 - 1);
        for (revision, key) in index.changed_keys(from).take(BATCH_CHANGES) {
            seen = revision;
            if key.starts_with(&self.prefix) {
                events.push(index.event(key, revision));
            }
            if events.len() == BATCH_EVENTS {
                break;
            }
        }
        let next = (seen < index.revision()).then(|| seen.next());
        (Batch { events, revision: seen }, next)
    }
}

/// The stream of a watcher that `shared` knows.
pub fn stream(shared: Arc<Shared>, watcher: Arc<Watcher>) -> WatchStream {
    Box::pin(stream::unfold(Some((shared, watcher)), |open| async {
        let (shared, watcher) = open?;
        let item = loop {
            let wake = watcher.wake.notified();
            let ready = shared.read(|index| watcher.poll(index));
            match ready {
                Some(item) => break item,
                None => wake.await,
            }
        };
        let open = item.is_ok().then_some((shared, watcher));
        Some((item, open))
    }))
}
