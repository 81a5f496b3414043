//! Fills the caches from the store and keeps them so.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Instant};
use bytes::Bytes;
use futures::StreamExt as _;
use store::{Batch, Error, Event, Range, Revision};

use super::crowd::Crowd;
use super::handover::Known;
use super::{Cacher, Item, ROOT, ResourceCache, Selection};

/// The wait before the store is asked again after it failed.
const RETRY: Duration = Duration::from_secs(1);

impl Cacher {
    /// Reads everything that is stored.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn load(&self) -> Result<Revision, Error> {
        let revision = self.store.revision().await?;
        let mut crowd = Crowd::default();
        for resource in self.resources.values() {
            let found = self.store.range(Range::prefix(&resource.prefix), Some(revision)).await?;
            let read = found.entries.into_iter().filter_map(|e| self.item(resource, e.key, e.value, e.revision));
            let items: Vec<_> = read.collect();
            self.tell_loaded(resource, &items);
            crowd.add(resource.load(items, revision));
        }
        self.progress.send_replace(revision);
        Ok(revision)
    }

    /// Applies the store's changes after `loaded` until `stop`.
    pub async fn run(self: Arc<Self>, loaded: Revision, stop: CancellationToken) {
        let mut after = Some(loaded);
        while !stop.is_cancelled() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                result = self.follow(after) => {
                    let Err(error) = result else { return };
                    if matches!(error, Error::Closed) {
                        return;
                    }
                    tracing::warn!(%error, "the cache lost the store's changes and reads everything again");
                    after = None;
                }
            }
            self.clock.sleep(RETRY).await;
        }
    }

    async fn follow(&self, after: Option<Revision>) -> Result<(), Error> {
        let after = match after {
            Some(revision) => revision,
            None => self.load().await?,
        };
        let mut batches = self.store.watch(ROOT, after).await?;
        let mut crowd = Crowd::default();
        loop {
            let due = crowd.due();
            tokio::select! {
                biased;
                batch = batches.next() => {
                    let Some(batch) = batch else { return Ok(()) };
                    self.apply(batch?, &mut crowd);
                }
                () = self.until(due), if due.is_some() => {}
            }
            crowd.wake(self.clock.instant());
        }
    }

    async fn until(&self, due: Option<Instant>) {
        if let Some(due) = due {
            self.clock.sleep_until(due).await;
        }
    }

    fn apply(&self, batch: Batch, crowd: &mut Crowd) {
        for event in batch.events {
            let Some(resource) = self.resource_of(event.key()) else { continue };
            let key = event.key().clone();
            let (item, known) = match &event {
                Event::Put { entry, .. } => self.put(resource, &key, &entry.value, entry.revision),
                Event::Delete { .. } => (None, Some(Known::Dull)),
            };
            self.tell(resource, &key, item.as_deref(), known);
            crowd.add(resource.apply(&key, item, event.revision()));
        }
        self.progress.send_replace(batch.revision);
    }

    fn resource_of(&self, key: &str) -> Option<&Arc<ResourceCache>> {
        let before = (Bound::Unbounded, Bound::Included(key));
        let (prefix, resource) = self.resources.range::<str, _>(before).next_back()?;
        key.starts_with(prefix.as_str()).then_some(resource)
    }

    /// An object that was put, as its writer has left it or else read from its bytes.
    fn put(
        &self,
        resource: &ResourceCache,
        key: &Arc<str>,
        value: &Bytes,
        at: Revision,
    ) -> (Option<Arc<Item>>, Option<Known>) {
        match self.handover.take(key, value, at) {
            Some(prepared) => (Some(Arc::new(prepared.item)), Some(prepared.known)),
            None => (self.item(resource, key.clone(), value.clone(), at), None),
        }
    }

    fn item(&self, resource: &ResourceCache, key: Arc<str>, value: Bytes, at: Revision) -> Option<Arc<Item>> {
        match Item::read(resource.kind, key.clone(), value, at) {
            Ok(item) => Some(Arc::new(item)),
            Err(error) => {
                tracing::error!(%key, %error, "what is stored is no object; it is left out");
                None
            }
        }
    }

    /// Tells observers of a change; reads the object unless it is known what there is to tell.
    fn tell(&self, resource: &ResourceCache, key: &str, item: Option<&Item>, known: Option<Known>) {
        let mut observers = self.observers.iter().filter(|observer| observer.wants(resource.kind)).peekable();
        if observers.peek().is_none() {
            return;
        }
        let object = match known {
            Some(Known::Dull) => None,
            Some(Known::Tree(object)) => Some(object),
            Some(Known::Unasked) | None => item.map(|item| Arc::new(item.value())),
        };
        let rest = key.strip_prefix(resource.prefix.as_str()).unwrap_or_default();
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        observers.for_each(|observer| observer.observe(resource.kind, namespace, name, object.as_deref()));
    }

    /// Tells observers what a (second) load found, and what it no longer found.
    fn tell_loaded(&self, resource: &ResourceCache, items: &[Arc<Item>]) {
        let kept: HashSet<&str> = items.iter().map(|item| item.key.as_ref()).collect();
        for item in resource.snapshot(&Selection::all("")).items {
            if !kept.contains(item.key.as_ref()) {
                self.tell(resource, &item.key, None, None);
            }
        }
        for item in items {
            self.tell(resource, &item.key, Some(item), None);
        }
    }
}
