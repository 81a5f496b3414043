//! An informer: lists once, then watches, and so knows all objects of a kind (or of a selection) without asking.
//!
//! Invariant: observers hear every change once and in order, and see it in the cache when they hear of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Backoff;
use futures::StreamExt;
use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::cache::{Cache, Change, IndexFn};
use crate::{Api, ApiError, Changes, Context, Kind, ListOptions, Object, Resource, WatchEvent, WatchOptions};

/// The server ends a watch after between one and two times this, so that watches spread over several servers.
const WATCH_TIMEOUT_SECONDS: u64 = 300;

/// Between attempts to list or watch, as client-go waits.
const RETRY: Backoff = Backoff { first: Duration::from_millis(800), limit: Duration::from_secs(30), jitter: 1.0 };

/// A watch that ends sooner than this without an event counts as failed.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// Which objects an informer holds.
#[derive(Debug)]
pub struct InformerOptions<K> {
    /// Only this namespace; empty means all.
    pub namespace: String,
    /// Only objects that this label selector selects.
    pub label_selector: String,
    /// Only objects that this field selector selects.
    pub field_selector: String,
    /// Trims an object before it is kept. `managedFields` are always dropped.
    pub transform: Option<fn(&mut K)>,
}

impl<K> Default for InformerOptions<K> {
    fn default() -> Self {
        let (namespace, label_selector, field_selector) = Default::default();
        Self { namespace, label_selector, field_selector, transform: None }
    }
}

type Observer<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

struct Shared<K> {
    cache: RwLock<Cache<K>>,
    observers: RwLock<Vec<Observer<K>>>,
    synced: watch::Sender<bool>,
    revision: AtomicU64,
}

/// All objects of a selection, kept up to date. Cheap to clone; clones share one cache.
pub struct Informer<K>(Arc<Shared<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Object> std::fmt::Debug for Informer<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Informer").field("objects", &self.len()).finish_non_exhaustive()
    }
}

impl<K: Object> Informer<K> {
    /// An informer that knows nothing until it [`Informer::run`]s.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            cache: RwLock::new(Cache::new()),
            observers: RwLock::default(),
            synced: watch::Sender::new(false),
            revision: AtomicU64::new(0),
        }))
    }

    /// An informer that holds `objects` and never runs: for plans that are tested as tables.
    #[must_use]
    pub fn fixed(objects: impl IntoIterator<Item = K>) -> Self {
        let informer = Self::new();
        informer.replace(objects.into_iter().collect(), Timestamp::UNIX_EPOCH);
        informer
    }

    /// Adds an index; objects already known are put in. An index of this name that exists stays.
    pub fn index(&self, name: &'static str, values: IndexFn<K>) {
        self.0.cache.write().add_index(name, values);
    }

    /// Calls `observer` for every object known and every change from now on. It must not block.
    pub fn observe(&self, observer: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut observers = self.0.observers.write();
        for object in self.list() {
            observer(&Change { key: object.key().into(), old: None, new: Some(object) });
        }
        observers.push(Box::new(observer));
    }

    /// The changes from now on (beginning with every object known), one entry a key however often it changes.
    #[must_use]
    pub fn changes(&self) -> Changes<K> {
        let changes = Changes::new();
        let sender = changes.clone();
        self.observe(move |change| sender.push(change));
        changes
    }

    /// The object of this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<K>> {
        self.0.cache.read().get(key)
    }

    /// The object of this namespace and name.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get(&crate::key(namespace, name))
    }

    /// All objects in the order of their keys.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.cache.read().all()
    }

    /// The objects of a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.0.cache.read().in_namespace(namespace)
    }

    /// The objects that the index `name` holds under `value`.
    #[must_use]
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        self.0.cache.read().by_index(name, value)
    }

    /// The objects whose managing owner has this uid.
    #[must_use]
    pub fn controlled_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.0.cache.read().controlled_by(uid)
    }

    /// When the object was last seen to change, by our own clock.
    #[must_use]
    pub fn changed(&self, key: &str) -> Option<Timestamp> {
        self.0.cache.read().changed(key)
    }

    /// When the object was last seen to go away, if that is remembered and it did not come back.
    #[must_use]
    pub fn gone(&self, key: &str) -> Option<Timestamp> {
        self.0.cache.read().gone(key)
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.cache.read().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latest revision this informer has seen everything up to.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::Acquire)
    }

    /// Whether the first list is in.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.0.synced.borrow()
    }

    /// Waits until the first list is in.
    pub async fn synced(&self) {
        // The sender lives in `self`; the wait cannot fail.
        let _ = self.0.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Lists and watches a resource until the context is cancelled.
    pub async fn run_resource(self, context: Context, resource: Resource, options: InformerOptions<K>) {
        let api = Api::new(context.client.clone(), resource);
        let reflector = Reflector { informer: self, api, options, context: context.clone() };
        tokio::select! {
            biased;
            () = context.cancel.cancelled() => {}
            () = reflector.run() => {}
        }
    }

    fn replace(&self, objects: Vec<K>, now: Timestamp) {
        let observers = self.0.observers.read();
        let changes = self.0.cache.write().replace(objects, now);
        for change in &changes {
            observers.iter().for_each(|observer| observer(change));
        }
    }

    fn apply(&self, change: impl FnOnce(&mut Cache<K>) -> Option<Change<K>>, revision: &str) {
        let observers = self.0.observers.read();
        let change = change(&mut self.0.cache.write());
        self.seen(revision);
        if let Some(change) = change {
            observers.iter().for_each(|observer| observer(&change));
        }
    }

    /// Resource versions are ordered numbers (KEP-5504).
    fn seen(&self, revision: &str) {
        if let Ok(revision) = revision.parse() {
            self.0.revision.fetch_max(revision, Ordering::AcqRel);
        }
    }
}

impl<K: Kind> Informer<K> {
    /// Lists and watches until the context is cancelled.
    pub async fn run(self, context: Context, options: InformerOptions<K>) {
        self.run_resource(context, Resource::of::<K>(), options).await;
    }
}

impl<K: Object> Default for Informer<K> {
    fn default() -> Self {
        Self::new()
    }
}

struct Reflector<K> {
    informer: Informer<K>,
    api: Api<K>,
    options: InformerOptions<K>,
    context: Context,
}

impl<K: Object> Reflector<K> {
    async fn run(self) {
        let mut failures = 0;
        let mut revision = None;
        // A watch cache may answer the first list; after that only the latest state will do.
        let mut at = "0";
        loop {
            let step = match &mut revision {
                None => self.list(at).await.map(|listed| revision = Some(listed)),
                Some(revision) => self.watch(revision).await,
            };
            at = "";
            let Err(error) = step else {
                failures = 0;
                continue;
            };
            if error.is_expired() {
                revision = None;
            }
            failures += 1;
            let wait = RETRY.delay(failures, &self.context.random).max(error.retry_after().unwrap_or_default());
            tracing::debug!(%error, ?wait, "an informer lists or watches again");
            self.context.clock.sleep(wait).await;
        }
    }

    async fn list(&self, at: &str) -> Result<String, ApiError> {
        let options = ListOptions {
            label_selector: self.options.label_selector.clone(),
            field_selector: self.options.field_selector.clone(),
            resource_version: at.to_owned(),
            ..ListOptions::default()
        };
        let list = self.api.list(&self.options.namespace, &options).await?;
        let revision = list.metadata.resource_version.unwrap_or_default();
        let objects = list.items.into_iter().map(|object| self.trim(object)).collect();
        self.informer.replace(objects, self.context.clock.now());
        self.informer.seen(&revision);
        self.informer.0.synced.send_replace(true);
        Ok(revision)
    }

    async fn watch(&self, revision: &mut String) -> Result<(), ApiError> {
        let started = self.context.clock.instant();
        let spread = self.context.random.below(usize::try_from(WATCH_TIMEOUT_SECONDS).unwrap_or(usize::MAX));
        let options = WatchOptions {
            label_selector: self.options.label_selector.clone(),
            field_selector: self.options.field_selector.clone(),
            resource_version: revision.clone(),
            timeout_seconds: WATCH_TIMEOUT_SECONDS + spread as u64,
        };
        let mut events = self.api.watch(&self.options.namespace, &options).await?;
        let mut any = false;
        while let Some(event) = events.next().await {
            *revision = self.handle(event?);
            any = true;
        }
        if !any && self.context.clock.instant() - started < SHORT_WATCH {
            return Err(ApiError::Transport {
                request: "WATCH".to_owned(),
                source: "the server ended the watch at once".into(),
            });
        }
        Ok(())
    }

    /// Takes in one event; gives its revision.
    fn handle(&self, event: WatchEvent<K>) -> String {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let object = self.trim(object);
                let revision = object.resource_version().to_owned();
                let now = self.context.clock.now();
                self.informer.apply(|cache| cache.set(object, now), &revision);
                revision
            }
            WatchEvent::Deleted(object) => {
                self.informer
                    .apply(|cache| cache.remove(&object.key(), self.context.clock.now()), object.resource_version());
                object.resource_version().to_owned()
            }
            WatchEvent::Bookmark { resource_version, .. } => {
                self.informer.apply(|_| None, &resource_version);
                resource_version
            }
        }
    }

    fn trim(&self, mut object: K) -> K {
        object.meta_mut().managed_fields = None;
        if let Some(transform) = self.options.transform {
            transform(&mut object);
        }
        object
    }
}
