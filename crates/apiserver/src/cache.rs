//! The watch cache: every stored object as its encoded bytes with a small header, and the latest changes.
//!
//! One pump reads the store's changes of all resources in order. Readers copy handles under a short lock; watchers have
//! no queue of their own but a place in their resource's window of changes, so a slow one holds nothing up: when the
//! window passes it by, its watch ends. A change wakes those watchers whom it may concern.
//!
//! Invariant: when `progress` shows a revision, every resource has applied all changes up to it.

mod audience;
mod crowd;
mod event;
mod handover;
mod item;
mod metrics;
mod past;
mod pump;
mod resource;
mod selection;
mod watcher;

use handover::Known;

pub use event::{Event, Line, encode, frame};
pub use item::{Form, Item, written};
pub use metrics::{OfWatchers, Operation};
pub use past::Past;
pub use resource::{ResourceCache, Snapshot};
pub use selection::Selection;
pub use watcher::{Begin, Next, Watcher};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use bytes::Bytes;
use kinds::Kind;
use machinery::status::{Cause, Details};
use machinery::{Status, Value};
use store::{Revision, Store};

/// Where everything is stored.
pub const ROOT: &str = "/registry/";

/// A read that asks for a version waits this long for it.
const FRESHNESS_WAIT: Duration = Duration::from_secs(3);

/// Is told every change of the kinds it wants, before any reader can see it.
pub trait Observer: Send + Sync {
    /// Whether changes of objects stored as `kind` are of interest.
    fn wants(&self, kind: &Kind) -> bool;
    /// Whether the object says anything of interest; if not, it is as good as gone.
    fn minds(&self, _kind: &Kind, _object: &Value) -> bool {
        true
    }
    /// An object is there, new or changed (`object`), or gone (`None`).
    fn observe(&self, kind: &Kind, namespace: &str, name: &str, object: Option<&Value>);
}

/// The caches of all resources.
pub struct Cacher {
    store: Arc<dyn Store>,
    clock: Clock,
    observers: Vec<Arc<dyn Observer>>,
    /// By the key prefix of their objects.
    resources: BTreeMap<String, Arc<ResourceCache>>,
    /// By the place of their kinds in the store.
    by_storage: HashMap<&'static str, Arc<ResourceCache>>,
    handover: handover::Handover,
    progress: tokio::sync::watch::Sender<Revision>,
    metrics: Arc<metrics::Families>,
}

impl Cacher {
    /// The caches of `kinds`, not filled yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        kinds: &[&'static Kind],
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        let stored = kinds.iter().filter(|kind| !kind.storage.is_empty() && kind.stored_as.is_none());
        let metrics = Arc::new(metrics::Families::new());
        let prefix = |kind: &Kind| format!("{ROOT}{}/", kind.storage);
        let made = stored.map(|kind| Arc::new(ResourceCache::new(kind, prefix(kind), metrics.of(kind))));
        let by_storage: HashMap<_, _> = made.map(|resource| (resource.kind.storage, resource)).collect();
        let resources = by_storage.values().map(|resource| (resource.prefix.clone(), resource.clone())).collect();
        Self {
            store,
            clock,
            observers,
            resources,
            by_storage,
            handover: handover::Handover::default(),
            progress: tokio::sync::watch::Sender::new(Revision(0)),
            metrics,
        }
    }

    /// The cache of the objects of `kind`, in the form in which they are stored.
    #[must_use]
    pub fn of(&self, kind: &Kind) -> Option<&Arc<ResourceCache>> {
        self.by_storage.get(kind.storage)
    }

    /// Leaves for the cache what is known of an object that is about to be stored.
    pub fn expect(&self, kind: &Kind, key: &str, bytes: &Bytes, object: &Value) {
        let mut known = Known::Unasked;
        for observer in self.observers.iter().filter(|observer| observer.wants(kind)) {
            known = Known::Dull;
            if observer.minds(kind, object) {
                known = Known::Tree(Arc::new(object.clone()));
                break;
            }
        }
        self.handover.leave(kind, key, bytes, object, known);
    }

    /// The object was not stored after all.
    pub fn expect_no_more(&self, key: &str) {
        self.handover.withdraw(key);
    }

    /// What is counted of the objects; how things are is looked up now.
    #[must_use]
    pub fn registry(&self) -> base::metrics::Registry {
        let revision = self.revision();
        self.resources.values().for_each(|resource| resource.look(revision));
        self.metrics.registry.clone()
    }

    /// All caches.
    #[cfg(test)]
    pub fn all(&self) -> impl Iterator<Item = &Arc<ResourceCache>> {
        self.resources.values()
    }

    /// Everything up to here has been applied.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *self.progress.borrow()
    }

    /// Waits until reads show everything that was acknowledged before this call (a consistent read).
    ///
    /// # Errors
    /// When the store does not answer, or the cache does not catch up in time.
    pub async fn catch_up(&self) -> Result<(), Status> {
        let now = self.store.revision().await.map_err(|error| crate::storage::failure(&error))?;
        self.reach(now).await
    }

    /// Waits until reads show everything up to `revision`.
    ///
    /// # Errors
    /// 504 when that does not happen in time: the version may lie in the future.
    pub async fn reach(&self, revision: Revision) -> Result<(), Status> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        self.store.request_progress(ROOT).await.map_err(|error| crate::storage::failure(&error))?;
        let reached = self.clock.timeout(FRESHNESS_WAIT, progress.wait_for(|now| *now >= revision)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => Err(too_large(revision, self.revision())),
        }
    }
}

/// The answer to a read at a version that has not happened yet.
#[must_use]
pub fn too_large(asked: Revision, current: Revision) -> Status {
    let message = format!("Too large resource version: {asked}, current: {current}");
    let cause = Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    let details = Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() };
    Status::new(504, "Timeout", format!("Timeout: {message}")).with_details(details)
}
