//! The scheduler at work: keeps snapshot and queue up to date, decides pod after pod, binds beside that.
//!
//! Invariant: one task owns snapshot and queue. A pod whose binding is under way stands in the snapshot already, so the
//! next decision sees the room it takes.

mod binding;
mod making_room;
mod sources;
mod status;
mod updates;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use base::{Instant, Tasks};
use client::{Context, EventApi, Object, Occurrence, Recorder};
use k8s_openapi::api::core::v1::{Node, Pod};
use tokio::sync::{Notify, mpsc};

use crate::change::Change;
use crate::config::{Profile, Settings};
use crate::cycle::{Point, Verdict, schedule_observed};
use crate::diagnosis::Diagnosis;
use crate::health::Health;
use crate::metrics::{Ended, Metrics};
use crate::pod::PodInfo;
use crate::preemption::{Budget, Outcome, preempt};
use crate::queue::{Attempt, Queue};
use crate::snapshot::Snapshot;
use binding::Bound;
use making_room::Cleared;
use sources::{Sources, Update};

/// So many bindings and other writes may be under way at once; more wait for one to end.
const WRITES_LIMIT: usize = 128;
/// Between two waits for events, at most so many pods are decided.
const CYCLES_A_TURN: usize = 64;
/// What upstream's device plugin says when it has nothing to give back.
const NO_CLAIMS: &str = "no new claims to deallocate";
/// What upstream's device plugin says of pods that were refused before it had looked at them.
const NOT_FOUND: &str = "not found";

/// Places pods until the context is cancelled.
pub async fn run(context: Context, settings: impl Into<Settings>) {
    run_observed(context, settings.into(), Arc::new(Metrics::new()), &Health::default()).await;
}

/// Places pods until the context is cancelled, counts what it does, and says when it knows the cluster.
pub async fn run_observed(context: Context, settings: Settings, metrics: Arc<Metrics>, health: &Health) {
    let mut tasks = Tasks::new();
    if let Some(sources) = sources::start(&context, &mut tasks).await {
        health.set_ready();
        let host = status::host_name();
        let start = |profile: &Profile| {
            let name = &profile.scheduler_name;
            Recorder::start(&context, &mut tasks, EventApi::Events, name, &host)
        };
        let recorders = settings.profiles.iter().map(start).collect();
        Scheduler::new(context, settings, recorders, metrics).run(sources).await;
    }
    tasks.join_all().await;
}

/// What tasks beside the loop tell it.
enum Message {
    Bound(Bound),
    Cleared(Cleared),
}

/// A pod that stands on its node before the API shows it.
struct Assumed {
    uid: String,
    /// Volumes and claims that were given away with it.
    volumes: Vec<String>,
    claims: Vec<String>,
}

struct Scheduler {
    context: Context,
    settings: Settings,
    recorders: Vec<Recorder>,
    metrics: Arc<Metrics>,
    snapshot: Snapshot,
    queue: Queue,
    budgets: BTreeMap<String, Budget>,
    /// Pods whose binding is under way or not seen yet.
    assumed: HashMap<Arc<str>, Assumed>,
    /// Pods for which room is being made.
    clearing: HashSet<Arc<str>>,
    /// Told when a claim changes, by pods whose volumes are being bound.
    claims_changed: Arc<Notify>,
    writes: Tasks,
    start: usize,
}

impl Scheduler {
    fn new(context: Context, settings: Settings, recorders: Vec<Recorder>, metrics: Arc<Metrics>) -> Self {
        Self {
            queue: Queue::new(&settings, metrics.clone()),
            context,
            settings,
            recorders,
            metrics,
            snapshot: Snapshot::default(),
            budgets: BTreeMap::new(),
            assumed: HashMap::new(),
            clearing: HashSet::new(),
            claims_changed: Arc::new(Notify::new()),
            writes: Tasks::new(),
            start: 0,
        }
    }

    async fn run(mut self, mut sources: Sources) {
        std::mem::take(&mut sources.first).into_iter().for_each(|update| self.update(update));
        let (node_changes, pod_changes) = (sources.nodes.changes(), sources.pods.changes());
        let (sender, mut messages) = mpsc::channel(WRITES_LIMIT);
        let cancel = self.context.cancel.clone();
        loop {
            let clock = self.context.clock.clone();
            let deadline = self.queue.next_deadline();
            let more = self.queue.has_ready() && self.writes.len() < WRITES_LIMIT;
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(updates) = sources.updates.recv() => updates.into_iter().for_each(|update| self.update(update)),
                changes = node_changes.next() => changes.iter().for_each(|c| self.node_changed(c.old.as_ref(), c.new.as_ref())),
                changes = pod_changes.next() => changes.iter().for_each(|c| self.pod_changed(&c.key, c.old.as_ref(), c.new.as_ref())),
                Some(message) = messages.recv() => self.told(message),
                () = until(&clock, deadline) => self.queue.advance(clock.instant()),
                () = std::future::ready(()), if more => self.turn(&sender, &sources),
            }
            self.count();
        }
        // What is under way ends by itself: the API server answers or the connection does.
        drop(messages);
        self.writes.join_all().await;
    }

    fn told(&mut self, message: Message) {
        match message {
            Message::Bound(bound) => self.binding_ended(bound),
            Message::Cleared(cleared) => self.room_made(cleared),
        }
    }

    fn count(&self) {
        self.metrics.waiting(self.queue.sizes(), self.queue.blocked());
        self.metrics.holds(self.snapshot.len(), self.snapshot.pods(), self.assumed.len());
    }

    fn node_changed(&mut self, old: Option<&Arc<Node>>, new: Option<&Arc<Node>>) {
        let Some(node) = new else {
            if let Some(old) = old {
                self.snapshot.remove_node(old.name());
            }
            return;
        };
        self.snapshot.set_node(node.clone());
        let change = match old {
            Some(old) => Change::NodeUpdated { old: old.clone(), new: node.clone() },
            None => Change::NodeAdded(node.clone()),
        };
        self.changed(&change);
    }

    fn pod_changed(&mut self, key: &str, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>) {
        let held_room = old.filter(|pod| status::is_bound(pod) && !status::is_finished(pod));
        match new.filter(|pod| !status::is_finished(pod)) {
            Some(pod) if status::is_bound(pod) => self.pod_placed(key, held_room, pod),
            Some(pod) if self.assumed.get(key).is_some_and(|assumed| assumed.uid == pod.uid()) => {}
            Some(pod) => {
                self.forget(key);
                self.enqueue(pod);
            }
            None => {
                self.queue.remove(key);
                self.forget(key);
                self.snapshot.forget_nomination(key);
                let left = self.snapshot.remove_pod(key);
                if held_room.is_some()
                    && let Some(left) = left
                {
                    self.changed(&Change::PodLeft(left));
                }
            }
        }
    }

    fn pod_placed(&mut self, key: &str, before: Option<&Arc<Pod>>, pod: &Arc<Pod>) {
        self.release(key);
        self.queue.remove(key);
        self.snapshot.forget_nomination(key);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let info = Arc::new(PodInfo::new(pod.clone()));
        let known = self.snapshot.remove_pod(key);
        self.snapshot.set_pod(&node, info.clone());
        let Some(before) = before else {
            self.changed(&Change::PodPlaced(info));
            return;
        };
        if before.metadata.labels != pod.metadata.labels {
            self.changed(&Change::PodPlaced(info.clone()));
        }
        if let Some(known) = known.filter(|known| known.requests != info.requests) {
            self.changed(&Change::PodLeft(known));
        }
    }

    fn enqueue(&mut self, pod: &Arc<Pod>) {
        let info = Arc::new(PodInfo::new(pod.clone()));
        let name = info.spec().scheduler_name.as_deref().unwrap_or("default-scheduler");
        let Some(profile) = self.settings.profile(name).filter(|_| !pod.is_deleted()) else {
            self.queue.remove(&info.key);
            self.snapshot.forget_nomination(&info.key);
            return;
        };
        if let Some(node) = info.nominated_node() {
            self.snapshot.nominate(&info, Some(node));
        }
        let filters = &self.settings.profiles[profile].filters;
        let gated = filters.iter().filter_map(|plugin| plugin.gates).any(|gates| gates(&info));
        self.queue.put(info, gated, self.context.clock.instant());
    }

    fn changed(&mut self, change: &Change) {
        self.queue.changed(change, self.context.clock.instant());
    }

    /// Decides some pods.
    fn turn(&mut self, sender: &mpsc::Sender<Message>, sources: &Sources) {
        for _ in 0..CYCLES_A_TURN {
            if self.writes.len() >= WRITES_LIMIT {
                return;
            }
            let now = self.context.clock.instant();
            let Some(attempt) = self.queue.pop(now) else { return };
            if self.clearing.contains(&attempt.pod.key) {
                self.queue.failed(&attempt.pod.key, now);
                continue;
            }
            self.decide(attempt, now, sender, sources);
        }
    }

    fn decide(&mut self, attempt: Attempt, began: Instant, sender: &mpsc::Sender<Message>, sources: &Sources) {
        let name = attempt.pod.spec().scheduler_name.as_deref().unwrap_or("default-scheduler");
        let Some(number) = self.settings.profile(name) else { return };
        let pod = &attempt.pod;
        self.snapshot.watch(pod);
        if pod.spread.is_empty()
            && let Some(selector) = self.snapshot.owners.selector(pod)
        {
            let like = Arc::new(crate::affinity::Term::of_namespace(pod.namespace(), selector));
            self.snapshot.watch_term(&like);
        }
        let profile = &self.settings.profiles[number];
        let (clock, metrics, name) = (&self.context.clock, &self.metrics, profile.scheduler_name.as_str());
        let mut last = clock.instant();
        let mut passed = |point: Point, success| {
            let now = clock.instant();
            metrics.passed(point, success, name, now - std::mem::replace(&mut last, now));
        };
        let random = &self.context.random;
        let verdict = schedule_observed(profile, &self.snapshot, pod, &mut self.start, random, &mut passed);
        self.metrics.decided(self.context.clock.instant() - began);
        match verdict {
            Verdict::Node(placement) => self.bind(number, attempt, placement, began, sender, sources),
            Verdict::Unschedulable(diagnosis) => self.reject(number, &attempt, diagnosis, began, sender),
        }
    }

    /// No node takes the pod: room is looked for, and the pod waits.
    fn reject(
        &mut self,
        number: usize,
        attempt: &Attempt,
        diagnosis: Diagnosis,
        began: Instant,
        sender: &mpsc::Sender<Message>,
    ) {
        let pod = &attempt.pod;
        let profile = &self.settings.profiles[number];
        let (mut after, mut nominate) = (Vec::new(), None);
        let devices = profile.asks("DynamicResources");
        let refused_before_devices = diagnosis.refused.is_some() && !diagnosis.plugins.contains("DynamicResources");
        if devices && refused_before_devices {
            after.push(NOT_FOUND.to_owned());
        } else if devices {
            after.push(NO_CLAIMS.to_owned());
        }
        if profile.preempts && diagnosis.nodes > 0 && !(devices && refused_before_devices) {
            self.metrics.preempting();
            let budgets: Vec<Budget> = self.budgets.values().cloned().collect();
            let chance = (self.context.clock.now(), &self.context.random);
            match preempt((profile, &self.snapshot), pod, &diagnosis, &budgets, chance) {
                Outcome::Room(candidate) => {
                    after.clear();
                    nominate = Some(Some(candidate.node.clone()));
                    self.make_room(number, pod, candidate, sender);
                }
                Outcome::None { message, clear } => {
                    after.push(format!("preemption: {message}"));
                    nominate = clear.then_some(None);
                }
            }
        }
        let message = diagnosis.message(&after.join(", "));
        if let Some(node) = &nominate {
            self.snapshot.nominate(pod, node.as_deref());
        }
        self.queue.rejected(&pod.key, diagnosis.plugins, self.context.clock.instant());
        let took = self.context.clock.instant() - began;
        self.metrics.ended(Ended::Unschedulable, &self.settings.profiles[number].scheduler_name, took);
        let event = occurrence(&pod.pod, "Warning", "FailedScheduling", "Scheduling", message.clone());
        self.recorders[number].record(event);
        if let Some(patch) = status::unschedulable(&pod.pod, &message, nominate.as_ref(), self.context.clock.now()) {
            self.patch_status(pod, patch);
        }
    }

    fn patch_status(&mut self, pod: &Arc<PodInfo>, patch: client::Patch) {
        let (client, pod) = (self.context.client.clone(), pod.pod.clone());
        self.writes.spawn("pod status", async move {
            if let Err(error) = client.patch_status::<Pod>(pod.namespace(), pod.name(), &patch).await
                && !error.is_not_found()
            {
                tracing::warn!(pod = pod.key(), %error, "the pod's status could not be written");
            }
        });
    }

    /// Takes back the room of a pod that was assumed to be bound.
    fn forget(&mut self, key: &str) {
        if self.release(key) {
            self.snapshot.remove_pod(key);
        }
    }

    /// A pod is no longer assumed: the API shows it, or it is not to be.
    fn release(&mut self, key: &str) -> bool {
        let Some(assumed) = self.assumed.remove(key) else { return false };
        assumed.volumes.iter().for_each(|volume| drop(self.snapshot.storage.assumed.remove(volume)));
        assumed.claims.iter().for_each(|claim| drop(self.snapshot.storage.assumed_nodes.remove(claim)));
        true
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
