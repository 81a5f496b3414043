//! Garbage collection: what is owned goes when its last owner goes; foreground deletion waits for what is owned.
//!
//! The graph is the informers themselves: one over the metadata of every resource, indexed by owner. Each step decides
//! from what they show and asks the server before it believes that an owner is gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::{
    Api, ApiError, Context, Informer, InformerOptions, Object, PartialObject, Patch, QUEUE_BACKOFF, Queue, Resource,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, OwnerReference, Preconditions};
use machinery::{Value, value};
use parking_lot::RwLock;

use crate::discovery::discover;

/// Upstream's name of this controller.
pub const NAME: &str = "garbage-collector-controller";

/// Objects looked at at once.
const WORKERS: usize = 5;

/// Between attempts to ask the server what it serves.
const DISCOVERY_RETRY: Duration = Duration::from_secs(5);

/// Resources without owners, in numbers that are not worth watching.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// An object of any resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item {
    resource: Resource,
    key: String,
}

/// Everything that can be owned or own.
struct Graph {
    context: Context,
    queue: Queue<Item>,
    informers: RwLock<HashMap<Resource, Informer<PartialObject>>>,
}

/// Runs until the context is cancelled.
pub async fn run(context: Context) {
    let queue = Queue::new(context.clock.clone(), context.random.clone(), QUEUE_BACKOFF).of_controller(NAME);
    let graph = Arc::new(Graph { context: context.clone(), queue: queue.clone(), informers: RwLock::default() });
    let mut tasks = Tasks::new();
    let Some(()) = context.cancel.run_until_cancelled(graph.clone().watch_all(&mut tasks)).await else { return };
    for _ in 0..WORKERS {
        tasks.spawn(NAME, graph.clone().work());
    }
    context.cancel.cancelled().await;
    queue.close();
    tasks.join_all().await;
    // Observers hold the graph; letting go of the informers ends the circle.
    graph.informers.write().clear();
}

impl Graph {
    async fn watch_all(self: Arc<Self>, tasks: &mut Tasks) {
        let discovered = loop {
            match discover(&self.context.client, &["delete", "list", "watch"]).await {
                Ok(discovered) => break discovered,
                Err(error) => tracing::debug!(%error, "the server does not say yet what it serves"),
            }
            self.context.clock.sleep(DISCOVERY_RETRY).await;
        };
        let ignored = |resource: &Resource| IGNORED.contains(&(&*resource.group, &*resource.plural));
        for resource in discovered.resources.into_iter().filter(|resource| !ignored(resource)) {
            self.watch(resource, tasks);
        }
        let informers: Vec<_> = self.informers.read().values().cloned().collect();
        futures::future::join_all(informers.iter().map(Informer::synced)).await;
    }

    fn watch(self: &Arc<Self>, resource: Resource, tasks: &mut Tasks) {
        let informer = Informer::<PartialObject>::new();
        informer.index("owner", |object| owners(object).iter().map(|owner| owner.uid.clone()).collect());
        let (graph, of) = (Arc::downgrade(self), resource.clone());
        informer.observe(move |change| {
            let Some(graph) = graph.upgrade() else { return };
            match &change.new {
                Some(object) => graph.queue.add(Item { resource: of.clone(), key: object.key() }),
                None => graph.wake_dependents(change.object().uid()),
            }
            if change.new.is_none() {
                graph.wake_owners(change.object());
            }
        });
        let options = InformerOptions { transform: Some(trim), ..InformerOptions::default() };
        tasks.spawn(
            "garbage collector's informer",
            informer.clone().run_resource(self.context.clone(), resource.clone(), options),
        );
        self.informers.write().insert(resource, informer);
    }

    fn dependents(&self, uid: &str) -> Vec<(Item, Arc<PartialObject>)> {
        let informers = self.informers.read();
        let found = informers.iter().flat_map(|(resource, informer)| {
            informer
                .by_index("owner", uid)
                .into_iter()
                .map(|object| (Item { resource: resource.clone(), key: object.key() }, object))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by(|a, b| (&a.0.resource, &a.0.key).cmp(&(&b.0.resource, &b.0.key)));
        found
    }

    fn wake_dependents(&self, uid: &str) {
        self.dependents(uid).into_iter().for_each(|(item, _)| self.queue.add(item));
    }

    /// An owner in foreground deletion may go when its last dependent has gone.
    fn wake_owners(&self, object: &PartialObject) {
        for owner in owners(object) {
            if let Some(resource) = self.resource_of(owner) {
                self.queue.add(Item { key: owner_key(&resource, object.namespace(), owner), resource });
            }
        }
    }

    fn resource_of(&self, owner: &OwnerReference) -> Option<Resource> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        self.informers.read().keys().find(|known| known.kind == owner.kind && known.group == group).cloned()
    }

    fn get(&self, item: &Item) -> Option<Arc<PartialObject>> {
        self.informers.read().get(&item.resource)?.get(&item.key)
    }

    async fn work(self: Arc<Self>) {
        while let Some(item) = self.queue.next().await {
            let outcome = match self.get(&item) {
                Some(object) => self.look_at(&item, &object).await,
                None => Ok(()),
            };
            match outcome {
                Ok(()) => self.queue.succeeded(&item),
                Err(error) if error.is_not_found() => self.queue.succeeded(&item),
                Err(error) => {
                    tracing::debug!(key = item.key, kind = &*item.resource.kind, %error, "collecting garbage");
                    self.queue.add_failed(item.clone());
                }
            }
            self.queue.done(&item);
        }
    }

    async fn look_at(&self, item: &Item, object: &PartialObject) -> Result<(), ApiError> {
        if object.is_deleted() && has_finalizer(object, ORPHAN) {
            return self.orphan_dependents(item, object).await;
        }
        if is_waiting(object) {
            return self.delete_dependents(item, object).await;
        }
        if object.is_deleted() || owners(object).is_empty() {
            return Ok(());
        }
        self.check_owners(item, object).await
    }

    /// Foreground deletion: goes on when no dependent blocks it any more.
    async fn delete_dependents(&self, item: &Item, object: &PartialObject) -> Result<(), ApiError> {
        let dependents = self.dependents(object.uid());
        let blocks = |dependent: &PartialObject| {
            let references = owners(dependent).iter();
            references.filter(|owner| owner.uid == object.uid()).any(|owner| owner.block_owner_deletion == Some(true))
        };
        if !dependents.iter().any(|(_, dependent)| blocks(dependent)) {
            return self.remove_finalizer(item, object, FOREGROUND).await;
        }
        for (item, dependent) in dependents {
            if !is_waiting(&dependent) {
                self.queue.add(item);
            }
        }
        Ok(())
    }

    async fn orphan_dependents(&self, item: &Item, object: &PartialObject) -> Result<(), ApiError> {
        for (dependent, of) in self.dependents(object.uid()) {
            ignore_missing(self.disown(&dependent, &of, &[object.uid()]).await)?;
        }
        self.remove_finalizer(item, object, ORPHAN).await
    }

    async fn check_owners(&self, item: &Item, object: &PartialObject) -> Result<(), ApiError> {
        let (mut solid, mut dangling, mut waiting) = (0, Vec::new(), Vec::new());
        for owner in owners(object) {
            match self.owner(object, owner).await? {
                Owner::Solid => solid += 1,
                Owner::Dangling => dangling.push(&*owner.uid),
                Owner::Waiting => waiting.push(&*owner.uid),
                Owner::UnknownKind => return Ok(()),
            }
        }
        if solid > 0 {
            dangling.extend(waiting);
            return if dangling.is_empty() { Ok(()) } else { self.disown(item, object, &dangling).await };
        }
        let policy = if !waiting.is_empty() && !self.dependents(object.uid()).is_empty() {
            self.unblock_circle(object).await?;
            "Foreground"
        } else if has_finalizer(object, ORPHAN) {
            "Orphan"
        } else if has_finalizer(object, FOREGROUND) {
            "Foreground"
        } else {
            "Background"
        };
        self.delete(item, object, policy).await
    }

    /// Two that own each other would wait for ever: a dependent that waits itself does not block.
    async fn unblock_circle(&self, object: &PartialObject) -> Result<(), ApiError> {
        for (item, dependent) in self.dependents(object.uid()) {
            if !is_waiting(&dependent) {
                continue;
            }
            let mut references = owners(&dependent).to_vec();
            references.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
            let references: Value = machinery::to_value(&references);
            let patch = value!({"metadata": {"ownerReferences": references, "uid": (dependent.uid())}});
            self.patch(&item, Patch::Merge(patch)).await?;
        }
        Ok(())
    }

    async fn owner(&self, object: &PartialObject, owner: &OwnerReference) -> Result<Owner, ApiError> {
        let Some(resource) = self.resource_of(owner) else { return Ok(Owner::UnknownKind) };
        let key = owner_key(&resource, object.namespace(), owner);
        let known = self.get(&Item { resource: resource.clone(), key: key.clone() });
        let live = match known.filter(|known| known.uid() == owner.uid) {
            Some(known) => known,
            None => {
                let (namespace, name) = client::split_key(&key);
                match self.api(&resource).get(namespace, name).await {
                    Ok(live) => Arc::new(live),
                    Err(error) if error.is_not_found() => return Ok(Owner::Dangling),
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(match live.uid() == owner.uid {
            false => Owner::Dangling,
            true if is_waiting(&live) => Owner::Waiting,
            true => Owner::Solid,
        })
    }

    fn api(&self, resource: &Resource) -> Api<PartialObject> {
        Api::new(self.context.client.clone(), resource.clone())
    }

    async fn delete(&self, item: &Item, object: &PartialObject, policy: &str) -> Result<(), ApiError> {
        let options = DeleteOptions {
            propagation_policy: Some(policy.to_owned()),
            preconditions: Some(Preconditions {
                uid: object.metadata.uid.clone(),
                resource_version: object.metadata.resource_version.clone(),
            }),
            ..DeleteOptions::default()
        };
        let (namespace, name) = client::split_key(&item.key);
        ignore_missing(self.api(&item.resource).delete(namespace, name, &options).await)
    }

    async fn disown(&self, item: &Item, object: &PartialObject, uids: &[&str]) -> Result<(), ApiError> {
        let kept: Vec<_> = owners(object).iter().filter(|owner| !uids.contains(&&*owner.uid)).collect();
        let references: Value = machinery::to_value(&kept);
        let version = object.resource_version();
        let patch = value!({"metadata": {
            "ownerReferences": references, "uid": (object.uid()), "resourceVersion": version
        }});
        self.patch(item, Patch::Merge(patch)).await
    }

    async fn remove_finalizer(&self, item: &Item, object: &PartialObject, finalizer: &str) -> Result<(), ApiError> {
        let kept: Vec<&str> =
            object.metadata.finalizers.iter().flatten().map(String::as_str).filter(|f| *f != finalizer).collect();
        let version = object.resource_version();
        let patch = value!({"metadata": {"finalizers": kept, "resourceVersion": version}});
        ignore_missing(self.patch(item, Patch::Merge(patch)).await)
    }

    async fn patch(&self, item: &Item, patch: Patch) -> Result<(), ApiError> {
        let (namespace, name) = client::split_key(&item.key);
        self.api(&item.resource).patch(namespace, name, "", &patch).await.map(drop)
    }
}

enum Owner {
    /// It is there.
    Solid,
    /// It is gone, or another of its name is there.
    Dangling,
    /// It is in foreground deletion.
    Waiting,
    /// Its kind is not served: nobody can say.
    UnknownKind,
}

fn owners(object: &PartialObject) -> &[OwnerReference] {
    object.metadata.owner_references.as_deref().unwrap_or_default()
}

fn owner_key(resource: &Resource, namespace: &str, owner: &OwnerReference) -> String {
    client::key(if resource.namespaced { namespace } else { "" }, &owner.name)
}

fn has_finalizer(object: &PartialObject, finalizer: &str) -> bool {
    object.metadata.finalizers.iter().flatten().any(|known| known == finalizer)
}

/// In foreground deletion.
fn is_waiting(object: &PartialObject) -> bool {
    object.is_deleted() && has_finalizer(object, FOREGROUND)
}

fn ignore_missing(outcome: Result<(), ApiError>) -> Result<(), ApiError> {
    outcome.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

/// Nothing but what ownership needs is kept.
fn trim(object: &mut PartialObject) {
    object.metadata.annotations = None;
    object.metadata.labels = None;
}
