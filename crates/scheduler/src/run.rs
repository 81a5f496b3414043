//! The scheduler at work: keeps snapshot and queue up to date, decides pod after pod, binds beside that.
//!
//! Invariant: one task owns snapshot and queue. A pod whose binding is under way stands in the snapshot already, so the
//! next decision sees the room it takes.

use std::collections::HashMap;
use std::sync::Arc;

use base::{Instant, Tasks};
use client::{ApiError, Context, EventApi, Informer, InformerOptions, Object, Occurrence, Recorder};
use k8s_openapi::api::core::v1::{Node, Pod};
use machinery::value;
use tokio::sync::mpsc;

use crate::config::Profile;
use crate::cycle::{Diagnosis, Verdict, schedule};
use crate::plugins::Change;
use crate::queue::Queue;
use crate::snapshot::{PodInfo, Snapshot};

/// So many bindings may be under way at once; more wait for one to end.
const BINDINGS_LIMIT: usize = 128;
/// Between two waits for events, at most so many pods are decided.
const CYCLES_A_TURN: usize = 64;

/// Places pods until the context is cancelled.
pub async fn run(context: Context, profile: Profile) {
    let (nodes, pods) = (Informer::<Node>::new(), Informer::<Pod>::new());
    let mut tasks = Tasks::new();
    tasks.spawn(
        "nodes",
        nodes.clone().run(context.clone(), InformerOptions { transform: Some(trim_node), ..Default::default() }),
    );
    tasks.spawn("pods", pods.clone().run(context.clone(), InformerOptions::default()));
    let synced = async { tokio::join!(nodes.synced(), pods.synced()) };
    if context.cancel.run_until_cancelled(synced).await.is_some() {
        let recorder = Recorder::start(&context, &mut tasks, EventApi::Events, &profile.scheduler_name, "");
        Scheduler::new(context, profile, recorder).run(&nodes, &pods).await;
    }
    tasks.join_all().await;
}

/// Drops what no plugin reads and nodes change often.
fn trim_node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.conditions = None;
        status.node_info = None;
    }
}

/// How a binding ended.
struct Bound {
    key: String,
    uid: String,
    result: Result<(), ApiError>,
}

struct Scheduler {
    context: Context,
    profile: Profile,
    recorder: Recorder,
    snapshot: Snapshot,
    queue: Queue,
    /// Pods whose binding is under way or not seen yet, with their uid.
    assumed: HashMap<String, String>,
    bindings: Tasks,
    start: usize,
}

impl Scheduler {
    fn new(context: Context, profile: Profile, recorder: Recorder) -> Self {
        let (snapshot, queue, bindings) = (Snapshot::default(), Queue::default(), Tasks::new());
        Self { context, profile, recorder, snapshot, queue, assumed: HashMap::new(), bindings, start: 0 }
    }

    async fn run(mut self, nodes: &Informer<Node>, pods: &Informer<Pod>) {
        let (node_changes, pod_changes) = (nodes.changes(), pods.changes());
        let (sender, mut bound) = mpsc::channel(BINDINGS_LIMIT);
        let cancel = self.context.cancel.clone();
        loop {
            let clock = self.context.clock.clone();
            let deadline = self.queue.next_deadline();
            let more = self.queue.sizes()[0] > 0 && self.bindings.len() < BINDINGS_LIMIT;
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                changes = node_changes.next() => changes.iter().for_each(|c| self.node_changed(c.old.as_deref(), c.new.as_ref())),
                changes = pod_changes.next() => changes.iter().for_each(|c| self.pod_changed(&c.key, c.old.as_deref(), c.new.as_ref())),
                Some(end) = bound.recv() => self.binding_ended(end),
                () = until(&clock, deadline) => self.queue.advance(clock.instant()),
                () = std::future::ready(()), if more => self.turn(&sender),
            }
        }
        // Bindings under way end by themselves: the API server answers or the connection does.
        self.bindings.join_all().await;
    }

    fn node_changed(&mut self, old: Option<&Node>, new: Option<&Arc<Node>>) {
        let Some(node) = new else {
            if let Some(old) = old {
                self.snapshot.remove_node(old.name());
            }
            return;
        };
        self.snapshot.set_node(node.clone());
        for change in node_changes(old, node) {
            self.queue.changed(change);
        }
    }

    fn pod_changed(&mut self, key: &str, old: Option<&Pod>, new: Option<&Arc<Pod>>) {
        let held_room = old.is_some_and(|pod| is_bound(pod) && !is_finished(pod));
        let live = new.filter(|pod| !is_finished(pod));
        match live {
            Some(pod) if is_bound(pod) => {
                self.assumed.remove(key);
                self.queue.remove(key);
                let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
                self.snapshot.set_pod(key, &node, Arc::new(PodInfo::new(pod.clone())));
            }
            Some(pod) if self.assumed.get(key).is_some_and(|uid| uid == pod.uid()) => {}
            Some(pod) => {
                self.forget(key);
                self.enqueue(key, pod);
            }
            None => {
                self.queue.remove(key);
                self.forget(key);
                self.snapshot.remove_pod(key);
                if held_room {
                    self.queue.changed(Change::PodLeft);
                }
            }
        }
    }

    fn enqueue(&mut self, key: &str, pod: &Arc<Pod>) {
        let Some(spec) = &pod.spec else { return };
        let name = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
        let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        if name != self.profile.scheduler_name || pod.is_deleted() || gated {
            self.queue.remove(key);
            return;
        }
        self.queue.put(key, Arc::new(PodInfo::new(pod.clone())));
    }

    /// Decides some pods.
    fn turn(&mut self, sender: &mpsc::Sender<Bound>) {
        for _ in 0..CYCLES_A_TURN {
            if self.bindings.len() >= BINDINGS_LIMIT {
                return;
            }
            let Some((key, pod)) = self.queue.pop() else { return };
            match schedule(&self.profile, &self.snapshot, &pod, &mut self.start, &self.context.random) {
                Verdict::Node(node) => self.bind(key, pod, node, sender.clone()),
                Verdict::Unschedulable(diagnosis) => self.reject(&key, &pod, diagnosis),
            }
        }
    }

    fn bind(&mut self, key: String, pod: Arc<PodInfo>, node: String, sender: mpsc::Sender<Bound>) {
        let uid = pod.pod.uid().to_owned();
        self.assumed.insert(key.clone(), uid.clone());
        self.snapshot.set_pod(&key, &node, pod.clone());
        let (client, recorder) = (self.context.client.clone(), self.recorder.clone());
        self.bindings.spawn("bind", async move {
            let pod = &pod.pod;
            let result = client.bind(pod.namespace(), pod.name(), &uid, &node).await;
            if result.is_ok() {
                let message = format!("Successfully assigned {key} to {node}");
                recorder.record(occurrence(pod, "Normal", "Scheduled", "Binding", message));
            }
            // The receiver is gone only when the scheduler stops.
            drop(sender.send(Bound { key, uid, result }).await);
        });
    }

    fn binding_ended(&mut self, end: Bound) {
        let Err(error) = end.result else { return };
        if self.assumed.get(&end.key) != Some(&end.uid) {
            return;
        }
        tracing::warn!(pod = end.key, %error, "a binding failed; the pod is tried again");
        self.forget(&end.key);
        self.queue.failed(&end.key, self.context.clock.instant());
        self.queue.changed(Change::PodLeft);
    }

    /// Takes back the room of a pod that was assumed to be bound.
    fn forget(&mut self, key: &str) {
        if self.assumed.remove(key).is_some() {
            self.snapshot.remove_pod(key);
        }
    }

    fn reject(&mut self, key: &str, pod: &PodInfo, diagnosis: Diagnosis) {
        let message = diagnosis.message();
        self.queue.rejected(key, diagnosis.plugins, self.context.clock.instant());
        self.recorder.record(occurrence(&pod.pod, "Warning", "FailedScheduling", "Scheduling", message.clone()));
        if condition_says(&pod.pod, &message) {
            return;
        }
        let (client, pod) = (self.context.client.clone(), pod.pod.clone());
        self.bindings.spawn("unschedulable condition", async move {
            let condition =
                value!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
            let patch = client::Patch::Strategic(
                value!({"metadata": {"uid": (pod.uid())}, "status": {"conditions": [condition]}}),
            );
            if let Err(error) = client.patch_status::<Pod>(pod.namespace(), pod.name(), &patch).await
                && !error.is_not_found()
            {
                tracing::warn!(pod = pod.key(), %error, "the pod's condition could not be set");
            }
        });
    }
}

fn occurrence(pod: &Pod, event_type: &'static str, reason: &str, action: &str, message: String) -> Occurrence {
    let (reason, action) = (reason.to_owned(), action.to_owned());
    Occurrence { regarding: client::reference(pod), event_type, reason, action, message, ..Occurrence::default() }
}

/// Waits for `deadline`; for ever without one.
async fn until(clock: &base::Clock, deadline: Option<Instant>) {
    match deadline {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn condition_says(pod: &Pod, message: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "PodScheduled" && c.status == "False" && c.message.as_deref() == Some(message))
}

/// What a node's new state may mean for waiting pods.
fn node_changes(old: Option<&Node>, new: &Node) -> Vec<Change> {
    let Some(old) = old else { return vec![Change::NodeAdded] };
    let mut changes = Vec::new();
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    if allocatable(old) != allocatable(new) {
        changes.push(Change::NodeAllocatable);
    }
    if old.metadata.labels != new.metadata.labels {
        changes.push(Change::NodeLabels);
    }
    let taints = |node: &Node| node.spec.as_ref().map(|spec| (spec.taints.clone(), spec.unschedulable));
    if taints(old) != taints(new) {
        changes.push(Change::NodeTaints);
    }
    changes
}
