//! A store whose values others write and read too, in another form than ours.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use crate::{
    Batch, Change, Entry, Error, Event, Expect, Range, RangeResult, Revision, Store, Turn, WatchStream, WriteOutcome,
};

/// The two forms of a value.
pub trait Translation: Send + Sync + 'static {
    /// What the store holds under `key`, in our form. What cannot be read stays as it is.
    fn ours(&self, key: &str, value: Bytes) -> Bytes;
    /// What the store is to hold.
    fn theirs(&self, value: Bytes) -> Bytes;
}

/// `store`, with every value translated on its way in and out.
#[must_use]
pub fn translated(store: Arc<dyn Store>, translation: Arc<dyn Translation>) -> Arc<dyn Store> {
    Arc::new(Translated { store, out: Out(translation) })
}

struct Translated {
    store: Arc<dyn Store>,
    out: Out,
}

/// The way out of the store.
#[derive(Clone)]
struct Out(Arc<dyn Translation>);

#[async_trait]
impl Store for Translated {
    async fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        let (entry, revision) = self.store.get(key, at).await?;
        Ok((entry.map(|entry| self.out.entry(entry)), revision))
    }

    async fn range(&self, range: Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        let found = self.store.range(range, at).await?;
        let entries = found.entries.into_iter().map(|entry| self.out.entry(entry)).collect();
        Ok(RangeResult { entries, ..found })
    }

    async fn write(&self, key: &str, expect: Expect, change: Change) -> Result<WriteOutcome, Error> {
        let change = match change {
            Change::Put { value, ttl } => Change::Put { value: self.out.0.theirs(value), ttl },
            Change::Delete => Change::Delete,
        };
        match self.store.write(key, expect, change).await {
            Ok(WriteOutcome { revision, previous }) => {
                Ok(WriteOutcome { revision, previous: previous.map(|entry| self.out.entry(entry)) })
            }
            Err(Error::Conflict { current }) => {
                Err(Error::Conflict { current: current.map(|entry| self.out.entry(entry)) })
            }
            Err(error) => Err(error),
        }
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

    async fn revision(&self) -> Result<Revision, Error> {
        self.store.revision().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

impl Out {
    fn entry(&self, entry: Entry) -> Entry {
        let value = self.0.ours(&entry.key, entry.value);
        Entry { value, ..entry }
    }

    fn batch(&self, batch: Batch) -> Batch {
        let events = batch.events.into_iter().map(|event| match event {
            Event::Put { entry, previous } => {
                Event::Put { entry: self.entry(entry), previous: previous.map(|previous| self.entry(previous)) }
            }
            Event::Delete { revision, previous } => Event::Delete { revision, previous: self.entry(previous) },
        });
        Batch { events: events.collect(), ..batch }
    }
}
