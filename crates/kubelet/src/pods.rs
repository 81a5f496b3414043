//! Hands every pod of the node to its worker, and every event of the runtime to the pod it is about.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::Changes;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{Notify, mpsc};

use crate::node::Node;
use crate::pod::labels;
use crate::pod::spec;
use crate::runtime::events::RuntimeEvent;
use crate::volume;
use crate::worker::{Inbox, Worker};

/// Everything is looked at again this often, should an event have been lost.
const RELIST_PERIOD: Duration = Duration::from_secs(300);
/// So many ids of containers are remembered beyond those of known pods.
const OWNERS_LIMIT: usize = 10_000;

/// The node's workers.
pub(crate) struct Pods {
    node: Arc<Node>,
    workers: HashMap<String, Arc<Inbox>>,
    /// Which pod a container or sandbox belongs to.
    owners: HashMap<Arc<str>, String>,
    tasks: Tasks,
    ended: (mpsc::Sender<String>, mpsc::Receiver<String>),
    /// Rung when the runtime went away or came back.
    registration: Arc<Notify>,
}

impl Pods {
    pub(crate) fn new(node: Arc<Node>, registration: Arc<Notify>) -> Self {
        let (workers, owners) = (HashMap::new(), HashMap::new());
        Self { node, workers, owners, tasks: Tasks::new(), ended: mpsc::channel(64), registration }
    }

    /// Serves until cancelled, then waits for the workers; containers go on running.
    pub(crate) async fn run(mut self, changes: Changes<Pod>, mut events: mpsc::Receiver<RuntimeEvent>) {
        let (cancel, clock) = (self.node.cancel().clone(), self.node.clock().clone());
        let pods = self.node.pods.clone();
        let mut relist = clock.instant() + RELIST_PERIOD;
        let mut adopted = false;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(uid) = self.ended.1.recv() => self.forget(&uid),
                Some(event) = events.recv() => self.hear(event).await,
                changes = changes.next() => changes.into_iter().for_each(|change| {
                    if let Some(old) = change.old {
                        let replaced = change.new.as_ref().is_none_or(|new| spec::uid(new) != spec::uid(&old));
                        if replaced {
                            self.gone(&old);
                        }
                    }
                    if let Some(new) = change.new {
                        self.set(new);
                    }
                }),
                () = pods.synced(), if !adopted => {
                    adopted = true;
                    self.adopt_orphans().await;
                }
                () = clock.sleep_until(relist) => {
                    relist = clock.instant() + RELIST_PERIOD;
                    self.all_changed();
                    if adopted {
                        self.adopt_orphans().await;
                    }
                }
            }
        }
        self.tasks.join_all().await;
    }

    fn set(&mut self, pod: Arc<Pod>) {
        let uid = spec::uid(&pod).to_owned();
        if let Some(inbox) = self.workers.get(&uid) {
            return inbox.set_pod(pod);
        }
        // A pod that ended before and has nothing left here needs no worker until it is deleted.
        self.start(uid, pod, false);
    }

    fn gone(&mut self, pod: &Pod) {
        if let Some(inbox) = self.workers.get(spec::uid(pod)) {
            inbox.set_gone();
        }
    }

    fn start(&mut self, uid: String, pod: Arc<Pod>, gone: bool) {
        let inbox = Inbox::new(pod, gone);
        self.workers.insert(uid.clone(), inbox.clone());
        let worker = Worker::new(self.node.clone(), inbox);
        let ended = self.ended.0.clone();
        self.tasks.spawn("pod", async move {
            worker.run().await;
            let _stopping = ended.send(uid).await;
        });
    }

    fn forget(&mut self, uid: &str) {
        crate::probe::metrics::forget(uid);
        self.workers.remove(uid);
        self.owners.retain(|_, owner| owner != uid);
    }

    async fn hear(&mut self, event: RuntimeEvent) {
        match event {
            RuntimeEvent::Connected => {
                self.all_changed();
                self.registration.notify_one();
            }
            RuntimeEvent::Lost => self.registration.notify_one(),
            RuntimeEvent::Changed { id, pod_uid, ended } => {
                let owner = match pod_uid {
                    Some(uid) => Some(uid.to_string()),
                    None => self.owner(&id).await,
                };
                if let Some(inbox) = owner.and_then(|uid| self.workers.get(&uid)) {
                    if ended {
                        inbox.ended(&id, self.node.clock().instant());
                    }
                    inbox.runtime_changed();
                }
            }
        }
    }

    /// The uid of the pod that a container or sandbox belongs to.
    async fn owner(&mut self, id: &Arc<str>) -> Option<String> {
        if let Some(uid) = self.owners.get(id) {
            return Some(uid.clone());
        }
        let runtime = &self.node.runtime;
        let container = runtime.container_status(id).await.ok().flatten().map(|status| status.labels);
        let labels = match container {
            Some(labels) => labels,
            None => runtime.pod_sandbox_status(id).await.ok().flatten()?.labels,
        };
        let uid = labels.get(labels::POD_UID)?.clone();
        if self.owners.len() >= OWNERS_LIMIT {
            self.owners.clear();
        }
        self.owners.insert(id.clone(), uid.clone());
        Some(uid)
    }

    fn all_changed(&self) {
        self.workers.values().for_each(|inbox| inbox.runtime_changed());
    }

    /// Pods that still run here and that the API has no more are ended; directories and cgroups without a pod go.
    async fn adopt_orphans(&mut self) {
        let sandboxes = match self.node.runtime.list_pod_sandboxes(&[]).await {
            Ok(sandboxes) => sandboxes,
            Err(error) => return tracing::warn!(%error, "cannot list what runs on the node"),
        };
        let known: HashSet<String> = self.node.pods.list().iter().map(|pod| spec::uid(pod).to_owned()).collect();
        for sandbox in sandboxes {
            let Some(metadata) = sandbox.metadata else { continue };
            let ours = sandbox.labels.contains_key(labels::POD_UID);
            if ours && !known.contains(&metadata.uid) && !self.workers.contains_key(&metadata.uid) {
                let pod = remembered(&metadata.name, &metadata.namespace, &metadata.uid);
                self.start(metadata.uid, Arc::new(pod), true);
            }
        }
        let entries = std::fs::read_dir(self.node.directories.pods()).into_iter().flatten().flatten();
        let directories = entries.filter_map(|entry| entry.file_name().into_string().ok());
        for uid in directories.chain(self.node.cgroups.pods()) {
            if !known.contains(&uid) && !self.workers.contains_key(&uid) {
                self.node.cgroups.remove(&uid);
                if let Err(error) = volume::tear_down(&self.node.directories, &uid) {
                    tracing::warn!(%error, uid, "cannot remove the directory of a pod that is gone");
                }
            }
        }
    }
}

/// What is left of a pod that the API has forgotten.
fn remembered(name: &str, namespace: &str, uid: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec::default()),
        status: None,
    }
}
