//! The informers of a component: one a kind, shared by all who ask.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use base::{CancellationToken, Clock, Random, Tasks};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::{Client, Informer, InformerOptions, Kind, Object, Resource};

/// What a component is given to live in.
#[derive(Clone)]
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Cancelled when the component shall stop.
    pub cancel: CancellationToken,
}

/// One informer a kind, all namespaces, started when first asked for.
#[derive(Clone)]
pub struct Informers(Arc<Shared>);

struct Shared {
    context: Option<Context>,
    state: Mutex<State>,
}

/// A write of our own that the informers may not show yet.
#[derive(Debug, Clone)]
pub(crate) enum Written {
    /// The object was written at this revision.
    Revision { resource: Resource, revision: u64 },
    /// Deletion of the object was asked for.
    Deletion { resource: Resource, key: String, uid: String },
}

impl Written {
    fn resource(&self) -> &Resource {
        match self {
            Self::Revision { resource, .. } | Self::Deletion { resource, .. } => resource,
        }
    }
}

type Shows = Box<dyn Fn(&Written) -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    shows: HashMap<Resource, Shows>,
    informers: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    waits: Vec<Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>>,
    tasks: Tasks,
}

impl Informers {
    /// No informers yet.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self(Arc::new(Shared { context: Some(context), state: Mutex::default() }))
    }

    /// Informers that never run: for plans that are tested as tables. Fill them with [`Informers::insert`].
    #[must_use]
    pub fn fixed() -> Self {
        Self(Arc::new(Shared { context: None, state: Mutex::default() }))
    }

    /// Puts in an informer of a fixed set of objects.
    pub fn insert<K: Kind>(&self, informer: Informer<K>) {
        self.0.state.lock().informers.insert(TypeId::of::<K>(), Box::new(informer));
    }

    /// The informer of a kind; all who ask share it.
    #[must_use]
    pub fn of<K: Kind>(&self) -> Informer<K> {
        let mut state = self.0.state.lock();
        if let Some(known) = state.informers.get(&TypeId::of::<K>()) {
            return known.downcast_ref::<Informer<K>>().expect("stored under its own type").clone();
        }
        let informer = Informer::<K>::new();
        state.informers.insert(TypeId::of::<K>(), Box::new(informer.clone()));
        let shows = informer.clone();
        state.shows.insert(Resource::of::<K>(), Box::new(move |written| shown(&shows, written)));
        if let Some(context) = &self.0.context {
            let wait = informer.clone();
            state.waits.push(Box::new(move || {
                let informer = wait.clone();
                Box::pin(async move { informer.synced().await })
            }));
            state.tasks.spawn("informer", informer.clone().run(context.clone(), InformerOptions::default()));
        }
        informer
    }

    /// Waits until all informers asked for so far have their first list, or the context is cancelled.
    pub async fn synced(&self) {
        let waits: Vec<_> = self.0.state.lock().waits.iter().map(|wait| wait()).collect();
        let all = futures::future::join_all(waits);
        match &self.0.context {
            Some(context) => drop(context.cancel.run_until_cancelled(all).await),
            None => drop(all.await),
        }
    }

    /// Whether the informer of the written kind (if there is one) shows the write or something later.
    pub(crate) fn show(&self, written: &Written) -> bool {
        self.0.state.lock().shows.get(written.resource()).is_none_or(|shows| shows(written))
    }

    /// Waits until all informers have stopped, which they do when the context is cancelled, and lets go of them:
    /// observers may hold this set, and a circle would never be freed.
    pub async fn stopped(&self) {
        let mut state = std::mem::take(&mut *self.0.state.lock());
        state.tasks.join_all().await;
    }
}

fn shown<K: Object>(informer: &Informer<K>, written: &Written) -> bool {
    match written {
        Written::Revision { revision, .. } => informer.revision() >= *revision,
        Written::Deletion { key, uid, .. } => {
            informer.get(key).is_none_or(|object| object.uid() != uid || object.is_deleted())
        }
    }
}
