//! What the scheduler reads: informers, and how their changes reach the one task that owns snapshot and queue.

use base::Tasks;
use client::{Change, Context, Informer, InformerOptions, Kind};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};
use tokio::sync::mpsc;

/// So many batches of changes may wait; a source with more waits itself and folds its changes together.
const WAITING_LIMIT: usize = 64;

/// A change of something that changes seldom.
pub enum Update {
    Namespace(Change<Namespace>),
    Budget(Change<PodDisruptionBudget>),
    Service(Change<Service>),
    ReplicationController(Change<ReplicationController>),
    ReplicaSet(Change<ReplicaSet>),
    StatefulSet(Change<StatefulSet>),
    Claim(Change<PersistentVolumeClaim>),
    Volume(Change<PersistentVolume>),
    Class(Change<StorageClass>),
    CsiNode(Change<CSINode>),
    Driver(Change<CSIDriver>),
    Capacity(Change<CSIStorageCapacity>),
}

/// All informers.
pub struct Sources {
    pub nodes: Informer<Node>,
    pub pods: Informer<Pod>,
    /// Also among the updates; bindings wait for its changes.
    pub claims: Informer<PersistentVolumeClaim>,
    /// Everything else.
    pub updates: mpsc::Receiver<Vec<Update>>,
    /// What everything else was when the informers had their first lists.
    pub first: Vec<Update>,
}

/// Starts the informers and waits for their first lists; none when the context was cancelled before.
pub async fn start(context: &Context, tasks: &mut Tasks) -> Option<Sources> {
    let nodes = watch(context, tasks, "nodes", Some(trim_node as fn(&mut Node)));
    let pods = watch::<Pod>(context, tasks, "pods", None);
    let (sender, updates) = mpsc::channel(WAITING_LIMIT);
    let mut others = Others { context, tasks, sender, waits: Vec::new(), lists: Vec::new() };
    others.add("namespaces", Update::Namespace, None);
    others.add("pod disruption budgets", Update::Budget, None);
    others.add("services", Update::Service, Some(|service: &mut Service| service.status = None));
    others.add("replication controllers", Update::ReplicationController, Some(trim_controller));
    others.add("replica sets", Update::ReplicaSet, Some(trim_replica_set));
    others.add("stateful sets", Update::StatefulSet, Some(trim_stateful_set));
    let claims = others.add("persistent volume claims", Update::Claim, None);
    others.add("persistent volumes", Update::Volume, None);
    others.add("storage classes", Update::Class, None);
    others.add("csi nodes", Update::CsiNode, None);
    others.add("csi drivers", Update::Driver, None);
    others.add("csi storage capacities", Update::Capacity, None);
    let Others { waits, lists, .. } = others;
    let all = async {
        tokio::join!(nodes.synced(), pods.synced());
        for wait in waits {
            wait.await;
        }
    };
    context.cancel.run_until_cancelled(all).await?;
    let first = lists.into_iter().flat_map(|list| list()).collect();
    Some(Sources { nodes, pods, claims, updates, first })
}

struct Others<'a> {
    context: &'a Context,
    tasks: &'a mut Tasks,
    sender: mpsc::Sender<Vec<Update>>,
    waits: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>,
    lists: Vec<Box<dyn FnOnce() -> Vec<Update> + Send>>,
}

impl Others<'_> {
    fn add<K: Kind>(
        &mut self,
        name: &'static str,
        wrap: fn(Change<K>) -> Update,
        trim: Option<fn(&mut K)>,
    ) -> Informer<K> {
        let informer = watch::<K>(self.context, self.tasks, name, trim);
        let (synced, listed, changes) = (informer.clone(), informer.clone(), informer.changes());
        self.waits.push(Box::pin(async move { synced.synced().await }));
        self.lists.push(Box::new(move || {
            let objects = listed.list().into_iter();
            objects.map(|object| wrap(Change { key: object.key().into(), old: None, new: Some(object) })).collect()
        }));
        let (sender, cancel) = (self.sender.clone(), self.context.cancel.clone());
        self.tasks.spawn(name, async move {
            while let Some(batch) = cancel.run_until_cancelled(changes.next()).await {
                if sender.send(batch.into_iter().map(wrap).collect()).await.is_err() {
                    return;
                }
            }
        });
        informer
    }
}

fn watch<K: Kind>(context: &Context, tasks: &mut Tasks, name: &'static str, trim: Option<fn(&mut K)>) -> Informer<K> {
    let informer = Informer::new();
    let options = InformerOptions { transform: trim, ..InformerOptions::default() };
    tasks.spawn(name, informer.clone().run(context.clone(), options));
    informer
}

/// Drops what no plugin reads and nodes change often.
fn trim_node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.conditions = None;
        status.node_info = None;
    }
}

fn trim_controller(controller: &mut ReplicationController) {
    controller.status = None;
    if let Some(spec) = &mut controller.spec {
        spec.template = None;
    }
}

fn trim_replica_set(set: &mut ReplicaSet) {
    set.status = None;
    if let Some(spec) = &mut set.spec {
        spec.template = None;
    }
}

fn trim_stateful_set(set: &mut StatefulSet) {
    set.status = None;
    if let Some(spec) = &mut set.spec {
        spec.template = Default::default();
        spec.volume_claim_templates = None;
    }
}
