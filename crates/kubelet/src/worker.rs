//! A pod's worker: the one task that acts for a pod. It looks, plans one step, does it, and looks again; when there is
//! nothing to do it sleeps until something happens.

mod create;
mod finish;
mod hooks;
mod last_words;
mod look;
mod start;
mod status;
mod stop;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::Instant;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::logs;
use crate::node::Node;
use crate::pod::memory::{Memory, Termination, Waiting, go_duration};
use crate::pod::observed::Observed;
use crate::pod::plan::{self, Action};
use crate::pod::spec;
use crate::probe::Probes;
use crate::volume::Volumes;

/// After the runtime or the API could not be reached.
const RETRY: SignedDuration = SignedDuration::from_secs(1);
/// When the runtime is asked again about a container that ended, and for how long.
const BEHIND_STEP: SignedDuration = SignedDuration::from_millis(10);
const BEHIND_LIMIT: Duration = Duration::from_secs(10);
/// After a container or sandbox could not be made, as upstream's workers wait.
const START_RETRY: SignedDuration = SignedDuration::from_secs(10);

/// What others leave for a worker. Every change wakes it.
pub(crate) struct Inbox {
    latest: Mutex<Latest>,
    objects_changed: AtomicBool,
    /// Containers may be otherwise than at the last look.
    runtime_changed: AtomicBool,
    /// Containers and sandboxes that ended, though the runtime may not say so yet.
    ended: Mutex<HashMap<String, Instant>>,
    notify: Notify,
}

#[derive(Clone)]
struct Latest {
    pod: Arc<Pod>,
    /// The API has the pod no more.
    gone: bool,
}

impl Inbox {
    pub(crate) fn new(pod: Arc<Pod>, gone: bool) -> Arc<Self> {
        Arc::new(Self {
            latest: Mutex::new(Latest { pod, gone }),
            objects_changed: AtomicBool::new(false),
            runtime_changed: AtomicBool::new(true),
            ended: Mutex::default(),
            notify: Notify::new(),
        })
    }

    pub(crate) fn set_pod(&self, pod: Arc<Pod>) {
        self.latest.lock().pod = pod;
        self.notify.notify_one();
    }

    pub(crate) fn set_gone(&self) {
        self.latest.lock().gone = true;
        self.notify.notify_one();
    }

    pub(crate) fn objects_changed(&self) {
        self.objects_changed.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    pub(crate) fn runtime_changed(&self) {
        self.runtime_changed.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Remembers that a container or sandbox has ended.
    pub(crate) fn ended(&self, id: &str, now: Instant) {
        self.ended.lock().insert(id.to_owned(), now);
    }

    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    fn latest(&self) -> Latest {
        self.latest.lock().clone()
    }
}

pub(crate) struct Worker {
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    memory: Arc<Mutex<Memory>>,
    probes: Probes,
    observed: Arc<Observed>,
    /// Our last write: what the API has, until the informer shows something later.
    written: Option<(u64, PodStatus)>,
    status_failed: bool,
    volumes: Arc<Mutex<Option<Volumes>>>,
    /// When the first of the pod's tokens wants to be replaced.
    refresh: Arc<Mutex<Option<Timestamp>>>,
    finished: bool,
}

/// What an action needs: cloned out of the worker, so that the worker can look around while it runs.
#[derive(Clone)]
struct Step {
    node: Arc<Node>,
    memory: Arc<Mutex<Memory>>,
    volumes: Arc<Mutex<Option<Volumes>>>,
    refresh: Arc<Mutex<Option<Timestamp>>>,
    pod: Arc<Pod>,
    observed: Arc<Observed>,
}

impl Worker {
    pub(crate) fn new(node: Arc<Node>, inbox: Arc<Inbox>) -> Self {
        let memory = Arc::<Mutex<Memory>>::default();
        let probes = Probes::new(node.clone(), inbox.clone(), memory.clone());
        Self {
            node,
            inbox,
            memory,
            probes,
            observed: Arc::default(),
            written: None,
            status_failed: false,
            volumes: Arc::default(),
            refresh: Arc::default(),
            finished: false,
        }
    }

    /// Acts for the pod until it is gone for good or the node stops.
    pub(crate) async fn run(mut self) {
        let first = self.inbox.latest();
        self.node.objects.hold(&first.pod, &self.inbox);
        let mut found = false;
        while !self.node.cancel().is_cancelled() {
            let latest = self.inbox.latest();
            self.note_end(&latest);
            if let Err(error) = self.look(&latest.pod).await {
                tracing::warn!(%error, pod = spec::full_name(&latest.pod), "cannot see the pod's containers");
                self.rest(Some(self.soon())).await;
                continue;
            }
            if !std::mem::replace(&mut found, true) {
                self.take_over(&latest.pod).await;
            }
            self.probes.follow(&latest.pod, &self.observed);
            self.write_status(&latest).await;
            let actions = self.plan(&latest.pod);
            if actions.contains(&Action::Finish) {
                if self.finish(&latest).await {
                    break;
                }
                self.rest(None).await;
                continue;
            }
            self.act(latest.pod, actions).await;
        }
    }

    /// A pod that an earlier kubelet started: its volumes are kept up to date from now on, and what was ready stays so
    /// until a probe says otherwise.
    async fn take_over(&self, pod: &Arc<Pod>) {
        self.memory.lock().recall(pod, &self.observed);
        let runs = self.observed.sandbox().is_some_and(|sandbox| sandbox.ready);
        if !runs || self.memory.lock().termination.is_some() {
            return;
        }
        if let Err(error) = self.step(pod).set_up_volumes().await {
            tracing::warn!(%error, pod = spec::full_name(pod), "cannot bring the volumes up to date");
        }
    }

    /// When to try again what failed for reasons outside the pod.
    fn soon(&self) -> Timestamp {
        self.node.clock().now() + RETRY
    }

    fn plan(&self, pod: &Pod) -> Vec<Action> {
        let memory = self.memory.lock();
        let view = plan::View { observed: &self.observed, memory: &memory, now: self.node.clock().now() };
        plan::plan(pod, &view)
    }

    /// Remembers that the pod ends, and with how much grace.
    fn note_end(&self, latest: &Latest) {
        let now = self.node.clock().now();
        let metadata = &latest.pod.metadata;
        let mut memory = self.memory.lock();
        let overdue = deadline(&latest.pod).is_some_and(|deadline| deadline <= now);
        if overdue && memory.failed.is_none() && memory.termination.is_none() {
            let message = "Pod was active on the node longer than the specified deadline";
            memory.failed = Some(("DeadlineExceeded".to_owned(), message.to_owned()));
            self.node.pod_event(&latest.pod, "Normal", "DeadlineExceeded", message);
        }
        let deleted = latest.gone || metadata.deletion_timestamp.is_some();
        if !deleted && memory.failed.is_none() {
            return;
        }
        let asked = metadata.deletion_grace_period_seconds.filter(|_| deleted);
        let grace_seconds = asked.unwrap_or_else(|| spec::grace_seconds(&latest.pod)).max(1);
        let since = memory.termination.map_or(now, |termination| termination.since);
        memory.termination = Some(Termination { since, grace_seconds });
        memory.waiting.clear();
    }

    async fn act(&mut self, pod: Arc<Pod>, actions: Vec<Action>) {
        let mut wake: Option<Timestamp> = deadline(&pod);
        let mut later = |until: Timestamp| wake = Some(wake.map_or(until, |wake| wake.min(until)));
        let (mut together, mut in_order) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Wait { until } => later(until),
                Action::BackOff { name, delay, until } => {
                    self.back_off(&pod, &name, delay, until);
                    later(until);
                }
                Action::Start { .. } => in_order.push(action),
                other => together.push(other),
            }
        }
        if self.inbox.objects_changed.swap(false, Ordering::AcqRel)
            || self.refresh.lock().is_some_and(|at| at <= self.node.clock().now())
        {
            self.step(&pod).refresh_volumes().await;
        }
        if let Some(at) = *self.refresh.lock() {
            later(at);
        }
        if together.is_empty() && in_order.is_empty() {
            // What a back-off has just told belongs into the status before the rest.
            self.write_status(&self.inbox.latest()).await;
            return self.rest(wake).await;
        }
        let interruptible = together.iter().all(|action| matches!(action, Action::CreateSandbox { .. }));
        let step = self.step(&pod);
        let work = async move {
            let done = futures::future::join_all(together.into_iter().map(|action| step.clone().take(action))).await;
            for action in in_order {
                step.clone().take(action).await;
            }
            done.into_iter().all(|done| done)
        };
        let done = self.attend(work, interruptible).await;
        self.inbox.runtime_changed.store(true, Ordering::Release);
        if !done {
            self.rest(Some(self.soon())).await;
        }
    }

    /// Lets `work` go on while the status keeps following what happens. The pod's end cuts short what starts
    /// something; a shorter grace period cuts short what stops something.
    async fn attend(&mut self, work: impl Future<Output = bool>, starts: bool) -> bool {
        let mut work = std::pin::pin!(work);
        let before = self.memory.lock().termination;
        let inbox = self.inbox.clone();
        let cancel = self.node.cancel().clone();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return true,
                done = &mut work => return done,
                () = inbox.notify.notified() => {}
            }
            let latest = inbox.latest();
            self.note_end(&latest);
            let after = self.memory.lock().termination;
            let shorter =
                matches!((before, after), (Some(before), Some(after)) if after.grace_seconds < before.grace_seconds);
            if starts && before.is_none() && after.is_some() || shorter {
                inbox.notify.notify_one();
                return true;
            }
            if self.look(&latest.pod).await.is_ok() {
                self.probes.follow(&latest.pod, &self.observed);
                self.write_status(&latest).await;
            }
        }
    }

    /// Sleeps until something happens, or until `wake`.
    async fn rest(&mut self, wake: Option<Timestamp>) {
        let retry = self.status_failed.then(|| self.soon());
        let behind = (!self.inbox.ended.lock().is_empty()).then(|| self.node.clock().now() + BEHIND_STEP);
        let wake = [wake, retry, behind].into_iter().flatten().min();
        let clock = self.node.clock();
        let timer = async {
            match wake {
                Some(at) => clock.sleep_until_wall(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.node.cancel().cancelled() => {}
            () = self.inbox.notify.notified() => {}
            () = timer => {}
        }
    }

    fn back_off(&self, pod: &Pod, name: &str, delay: SignedDuration, until: Timestamp) {
        let known = self
            .memory
            .lock()
            .waiting
            .get(name)
            .is_some_and(|waiting| waiting.reason == "CrashLoopBackOff" && waiting.retry == until);
        let Some((_, container)) = spec::container(pod, name).filter(|_| !known) else { return };
        let full = spec::full_name(pod);
        let text = format!("Back-off restarting failed container {name} in pod {full}");
        self.node.event(pod, container, "Warning", "BackOff", text);
        let message = format!("back-off {} restarting failed container={name} pod={full}", go_duration(delay));
        let waiting = Waiting { reason: "CrashLoopBackOff".to_owned(), message, retry: until };
        self.memory.lock().waiting.insert(name.to_owned(), waiting);
    }

    fn step(&self, pod: &Arc<Pod>) -> Step {
        Step {
            node: self.node.clone(),
            memory: self.memory.clone(),
            volumes: self.volumes.clone(),
            refresh: self.refresh.clone(),
            pod: pod.clone(),
            observed: self.observed.clone(),
        }
    }
}

impl Step {
    /// Does one action; `false` when it should be tried again soon.
    async fn take(self, action: Action) -> bool {
        let runtime = &self.node.runtime;
        match action {
            Action::CreateSandbox { attempt } => self.create_sandbox(attempt).await,
            Action::Start { name, restart_count, finished } => self.start(&name, restart_count, finished).await,
            Action::Stop { id, name, message, grace_seconds } => {
                return self.stop(&id, &name, &message, grace_seconds).await;
            }
            Action::StopSandbox { id } => return report("stop a sandbox", runtime.stop_pod_sandbox(&id).await),
            Action::RemoveSandbox { id } => return report("remove a sandbox", runtime.remove_pod_sandbox(&id).await),
            Action::RemoveContainer { id } => return self.remove_container(&id).await,
            Action::BackOff { .. } | Action::Wait { .. } | Action::Finish => {}
        }
        true
    }

    async fn remove_container(&self, id: &str) -> bool {
        let run = self.observed.instances.iter().find(|run| run.id == id);
        let removed = report("remove a container", self.node.runtime.remove_container(id).await);
        if let (true, Some(run)) = (removed, run) {
            logs::remove(&self.node.directories, &self.pod, run);
        }
        removed
    }
}

fn report(doing: &str, result: crate::runtime::Result<()>) -> bool {
    if let Err(error) = &result {
        tracing::warn!(%error, "cannot {doing}");
    }
    result.is_ok()
}

/// When the pod's time on the node is up.
fn deadline(pod: &Pod) -> Option<Timestamp> {
    let seconds = spec::spec(pod).active_deadline_seconds?;
    let start = pod.status.as_ref()?.start_time.as_ref()?.0;
    Some(start + SignedDuration::from_secs(seconds))
}
