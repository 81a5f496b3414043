//! Bytes and revisions: the store trait, its in-memory, embedded and etcd engines; knows no JSON.
//!
//! The promises are etcd's: one global revision, ordered ranges at a revision, compare-and-write, gapless watches from a
//! revision, compaction, and entries that expire. `docs/decisions/0001-embedded-store.md` and
//! `0008-etcd.md` say why the engines are what they are.
//!
//! Invariant: what a reader or a watcher sees is acknowledged or about to be, and is on disk in a durable engine.

pub mod embedded;
mod entry;
mod error;
pub mod etcd;
mod expiry;
mod index;
pub mod memory;
mod plan;
mod shared;
mod translated;
mod versions;
mod watch;

use async_trait::async_trait;

pub use entry::{Change, Entry, Expect, Range, RangeResult, Reread, Revision, Turn};
pub use error::Error;
pub use translated::{Translation, translated};
pub use watch::{Batch, Event, WatchStream};

/// Keeps the bytes of a cluster. Engines are shared as `Arc<dyn Store>`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The entry under `key` as it was at `at` (or is now), and the revision that this answers for.
    ///
    /// # Errors
    /// [`Error::Compacted`] or [`Error::Future`] when `at` cannot be read.
    async fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error>;

    /// The entries of `range` in the order of their keys, as they were at `at` (or are now).
    ///
    /// # Errors
    /// [`Error::Compacted`] or [`Error::Future`] when `at` cannot be read.
    async fn range(&self, range: Range, at: Option<Revision>) -> Result<RangeResult, Error>;

    /// The entry under `key` as it is now, for somebody who has it as it was at `known`: an engine far away need not
    /// send it again.
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn reread(&self, key: &str, known: Revision) -> Result<Reread, Error> {
        let (entry, _) = self.get(key, None).await?;
        Ok(if entry.as_ref().is_some_and(|entry| entry.revision == known) {
            Reread::Same
        } else {
            Reread::Other(entry)
        })
    }

    /// Changes `key` if it still is what the caller expects, and gives the revision of the change. When this answers
    /// `Ok`, the change is durable and every later read shows it. Deleting what is not there changes nothing and takes
    /// no revision: then it gives the store's.
    ///
    /// # Errors
    /// [`Error::Conflict`] with the present entry; [`Error::Full`] or [`Error::Failed`] when the change could not be
    /// made durable: it is then not visible, and after [`Error::Failed`] it may or may not be there after a restart.
    async fn write(&self, key: &str, expect: Expect, change: Change) -> Result<Revision, Error>;

    /// The changes under `prefix` with a revision greater than `after`, each once and in order: what [`Store::range`]
    /// gave at a revision, continued. The stream ends after its first error.
    ///
    /// # Errors
    /// [`Error::Compacted`] when changes after `after` are no longer known; the stream itself gives it to a watcher
    /// that is so slow that compaction overtakes it.
    async fn watch(&self, prefix: &str, after: Revision) -> Result<WatchStream, Error>;

    /// Has every open watch of exactly this `prefix` send a [`Batch`] (without events if there are none) whose
    /// revision is at least the present one.
    ///
    /// # Errors
    /// [`Error::Closed`].
    async fn request_progress(&self, prefix: &str) -> Result<(), Error>;

    /// Forgets what was overwritten or deleted at or before `at`; reads and watches before `at` answer
    /// [`Error::Compacted`] from now on. Compacting twice at the same revision is no error.
    ///
    /// # Errors
    /// [`Error::Future`] when `at` has not happened yet, and what [`Store::write`] answers when the disk fails.
    async fn compact(&self, at: Revision) -> Result<(), Error>;

    /// Takes a turn of the periodic compaction: forgets what was overwritten or deleted up to the last turn's revision,
    /// unless another server in front of the same store has done so meanwhile. Gives the turn to come with next time.
    ///
    /// # Errors
    /// As [`Store::compact`].
    async fn compact_in_turn(&self, last: Turn) -> Result<Turn, Error> {
        if let Some(at) = last.revision {
            self.compact(at).await?;
        }
        Ok(Turn { number: last.number + 1, revision: Some(self.revision().await?) })
    }

    /// The revision of the latest change.
    ///
    /// # Errors
    /// [`Error::Closed`].
    async fn revision(&self) -> Result<Revision, Error>;

    /// How much room is taken where the entries are kept, if there is such a place and it can be asked now.
    async fn size_bytes(&self) -> Option<u64> {
        None
    }

    /// Finishes the writes under way, ends the watches and lets go of the disk; everything answers
    /// [`Error::Closed`] afterwards.
    async fn close(&self);
}
