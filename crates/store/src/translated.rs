//! A store whose values others write and read too, in another form than ours.

mod pairs;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use crate::{
    Batch, Change, Entry, Error, Event, Expect, Range, RangeResult, Reread, Revision, Store, Turn, WatchStream,
};
use pairs::Pairs;

/// The two forms of a value.
pub trait Translation: Send + Sync + 'static {
    /// What the store holds under `key`, in our form. What cannot be read stays as it is.
    fn ours(&self, key: &str, value: Bytes) -> Bytes;
    /// What the store is to hold.
    fn theirs(&self, value: Bytes) -> Bytes;
}

/// `store`, with every value translated on its way in and out. What was just written or told is not translated again
/// when it is read, or told as what was there before a change.
#[must_use]
pub fn translated(store: Arc<dyn Store>, translation: Arc<dyn Translation>) -> Arc<dyn Store> {
    Arc::new(Translated { store, out: Out { translation, pairs: Arc::new(Pairs::default()) } })
}

struct Translated {
    store: Arc<dyn Store>,
    out: Out,
}

/// The way out of the store.
#[derive(Clone)]
struct Out {
    translation: Arc<dyn Translation>,
    pairs: Arc<Pairs>,
}

#[async_trait]
impl Store for Translated {
    async fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        let (entry, revision) = self.store.get(key, at).await?;
        Ok((entry.map(|entry| self.out.entry(entry)), revision))
    }

    async fn reread(&self, key: &str, known: Revision) -> Result<Reread, Error> {
        Ok(match self.store.reread(key, known).await? {
            Reread::Same => Reread::Same,
            Reread::Other(entry) => Reread::Other(entry.map(|entry| self.out.entry(entry))),
        })
    }

    async fn range(&self, range: Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        let found = self.store.range(range, at).await?;
        let entries = found.entries.into_iter().map(|entry| self.out.entry(entry)).collect();
        Ok(RangeResult { entries, ..found })
    }

    async fn write(&self, key: &str, expect: Expect, change: Change) -> Result<Revision, Error> {
        let change = match change {
            Change::Put { value, ttl } => Change::Put { value: self.out.theirs(value), ttl },
            Change::Delete => Change::Delete,
        };
        self.store.write(key, expect, change).await.map_err(|error| match error {
            Error::Conflict { current } => Error::Conflict { current: current.map(|entry| self.out.entry(entry)) },
            error => error,
        })
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<WatchStream, Error> {
        let (stream, out) = (self.store.watch(prefix, after).await?, self.out.clone());
        Ok(stream.map(move |batch| batch.map(|batch| out.batch(batch))).boxed())
    }

    async fn request_progress(&self, prefix: &str) -> Result<(), Error> {
        self.store.request_progress(prefix).await
    }

    async fn compact(&self, at: Revision) -> Result<(), Error> {
        self.store.compact(at).await
    }

    async fn compact_in_turn(&self, last: Turn) -> Result<Turn, Error> {
        self.store.compact_in_turn(last).await
    }

    async fn size_bytes(&self) -> Option<u64> {
        self.store.size_bytes().await
    }

    async fn revision(&self) -> Result<Revision, Error> {
        self.store.revision().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

impl Out {
    fn theirs(&self, ours: Bytes) -> Bytes {
        let theirs = self.translation.theirs(ours.clone());
        self.pairs.keep(&theirs, ours);
        theirs
    }

    fn entry(&self, entry: Entry) -> Entry {
        let value = match self.pairs.ours(&entry.value) {
            Some(ours) => ours,
            None => self.translation.ours(&entry.key, entry.value),
        };
        Entry { value, ..entry }
    }

    /// As [`Out::entry`], of what will be told once more when it changes.
    fn told(&self, entry: Entry) -> Entry {
        let theirs = entry.value.clone();
        let entry = self.entry(entry);
        self.pairs.keep(&theirs, entry.value.clone());
        entry
    }

    fn batch(&self, batch: Batch) -> Batch {
        let events = batch.events.into_iter().map(|event| match event {
            Event::Put { entry, previous } => {
                let previous = previous.map(|previous| self.entry(previous));
                Event::Put { entry: self.told(entry), previous }
            }
            Event::Delete { revision, previous } => Event::Delete { revision, previous: self.entry(previous) },
        });
        Batch { events: events.collect(), ..batch }
    }
}
