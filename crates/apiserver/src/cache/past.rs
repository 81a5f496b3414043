//! Changes older than the window: the store still has them until it is compacted, also those from before a restart.

use std::sync::Arc;

use futures::StreamExt as _;
use store::{Error, Revision};

use super::{Cacher, Event, FRESHNESS_WAIT, Item, ResourceCache};

/// The changes of one resource between two revisions.
pub struct Past {
    /// In order.
    pub events: Vec<Arc<Event>>,
    /// Everything up to here is among them.
    pub until: Revision,
}

impl Cacher {
    /// The changes of `resource` after `after`, up to what the caches show now. They share their bytes with the store,
    /// whose history has a limit.
    ///
    /// # Errors
    /// [`Error::Compacted`] when they are forgotten.
    pub async fn past(&self, resource: &ResourceCache, after: Revision) -> Result<Past, Error> {
        let until = self.revision();
        let read = self.clock.timeout(FRESHNESS_WAIT, self.read_past(resource, after, until)).await;
        let events = read.unwrap_or(Err(Error::Compacted { requested: after, oldest: until }))?;
        Ok(Past { events, until })
    }

    async fn read_past(
        &self,
        resource: &ResourceCache,
        after: Revision,
        until: Revision,
    ) -> Result<Vec<Arc<Event>>, Error> {
        let mut batches = self.store.watch(&resource.prefix, after).await?;
        // Else nothing would tell that there is no further change.
        self.store.request_progress(&resource.prefix).await?;
        let mut events = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let wanted = batch.events.into_iter().filter(|event| event.revision() <= until);
            events.extend(wanted.filter_map(|event| past_event(resource, event)));
            if batch.revision >= until {
                break;
            }
        }
        Ok(events)
    }
}

/// The event as the window would have it; nothing if its bytes are no object.
fn past_event(resource: &ResourceCache, event: store::Event) -> Option<Arc<Event>> {
    let revision = event.revision();
    let read = |entry: store::Entry| {
        let read = Item::read(resource.kind, entry.key.clone(), entry.value, entry.revision);
        read.map(Arc::new)
            .map_err(|error| tracing::error!(key = %entry.key, %error, "what was stored is no object"))
            .ok()
    };
    let (item, previous) = match event {
        store::Event::Put { entry, previous } => (read(entry), previous.and_then(read)),
        store::Event::Delete { previous, .. } => (None, read(previous)),
    };
    (item.is_some() || previous.is_some()).then(|| Arc::new(Event::new(revision, item, previous)))
}
