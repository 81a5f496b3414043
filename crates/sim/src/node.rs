//! A hollow node: it registers, renews its lease and says of its pods what a kubelet would; nothing runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, Tasks};
use client::{ApiError, Context, Informer, InformerOptions, Object, Patch};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use machinery::{Value, value};

/// Half as often as a kubelet does by default: most of what a cluster at rest writes is leases.
const LEASE_RENEWAL: Duration = Duration::from_secs(20);
const LEASE_DURATION_SECONDS: i64 = 40;
/// Between attempts to write.
const RETRY: Duration = Duration::from_secs(1);
/// A pod's containers run within this time.
const START_LIMIT_MS: usize = 4_000;
/// A pod's containers are gone within this time.
const STOP_LIMIT_MS: usize = 3_000;
/// Says how many seconds a pod's containers run; without it they run for ever.
pub const RUNS_FOR: &str = "sim.coxswain.dev/runs-for-seconds";
/// Says with which exit code a pod's containers end.
pub const EXIT_CODE: &str = "sim.coxswain.dev/exit-code";

/// What a pod needs from its kubelet next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its containers start.
    Start,
    /// Its containers end by themselves.
    End,
    /// Its containers are stopped and it goes.
    Stop,
}

/// What a pod needs next and from when on, if anything. Chance decides how long starting and stopping takes.
#[must_use]
pub fn plan(pod: &Pod, now: Timestamp) -> Option<(Step, Option<Duration>)> {
    if pod.is_deleted() {
        return Some((Step::Stop, None));
    }
    let status = pod.status.as_ref();
    match status.and_then(|status| status.phase.as_deref()) {
        None | Some("Pending") => Some((Step::Start, None)),
        Some("Running") => {
            let seconds: i64 = pod.annotation(RUNS_FOR)?.parse().ok()?;
            let started = status.and_then(|status| status.start_time.as_ref()).map_or(now, |time| time.0);
            let left = started.as_second() + seconds - now.as_second();
            Some((Step::End, Some(Duration::from_secs(u64::try_from(left).unwrap_or_default()))))
        }
        Some(_) => None,
    }
}

/// Is the node `name` until the context is cancelled.
pub async fn run(context: Context, name: String) {
    let mut tasks = Tasks::new();
    let pods = Informer::<Pod>::new();
    let options = InformerOptions { field_selector: format!("spec.nodeName={name}"), ..InformerOptions::default() };
    tasks.spawn("heartbeat", heartbeat(context.clone(), name.clone()));
    tasks.spawn("pods", pods.clone().run(context.clone(), options));
    let cancel = context.cancel.clone();
    let node = Hollow { context, name, due: BTreeMap::new(), done: BTreeMap::new(), addresses: 0 };
    cancel.run_until_cancelled(node.work(&pods)).await;
    tasks.join_all().await;
}

async fn heartbeat(context: Context, name: String) {
    let beat = async {
        while let Err(error) = register(&context, &name).await {
            tracing::debug!(name, %error, "the node registers again");
            context.clock.sleep(RETRY).await;
        }
        loop {
            let wait = if renew(&context, &name).await.is_ok() { LEASE_RENEWAL } else { RETRY };
            context.clock.sleep(wait).await;
        }
    };
    context.cancel.run_until_cancelled(beat).await;
}

async fn register(context: &Context, name: &str) -> Result<(), ApiError> {
    let nodes = context.client.api::<Node>();
    let now = context.clock.now();
    match nodes.create("", &node(name)).await {
        Ok(_) => {}
        Err(error) if error.is_already_exists() => {}
        Err(error) => return Err(error),
    }
    nodes.patch("", name, "status", &Patch::Strategic(node_status(now))).await.map(drop)
}

async fn renew(context: &Context, name: &str) -> Result<(), ApiError> {
    let leases = context.client.api::<Lease>();
    let time = format!("{:.6}", context.clock.now());
    let patch = Patch::Merge(value!({"spec": {"renewTime": (time.as_str())}}));
    match leases.patch("kube-node-lease", name, "", &patch).await {
        Err(error) if error.is_not_found() => {
            let lease = value!({
                "metadata": {"name": name, "namespace": "kube-node-lease"},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_DURATION_SECONDS, "renewTime": time}
            });
            leases.create("kube-node-lease", &lease).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn node(name: &str) -> Value {
    value!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}})
}

fn node_status(now: Timestamp) -> Value {
    let now = second(now);
    let room = value!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    value!({"status": {
        "capacity": (room.clone()),
        "allocatable": room,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": (now.as_str()), "lastTransitionTime": (now.as_str())
        }]
    }})
}

fn second(time: Timestamp) -> String {
    format!("{:.0}", time.round(jiff::Unit::Second).unwrap_or(time))
}

struct Hollow {
    context: Context,
    name: String,
    /// What is to be done for which pod, and when.
    due: BTreeMap<String, (Instant, Step)>,
    /// What was done last for which pod (by uid), for informers that show it late.
    done: BTreeMap<String, (String, Step)>,
    addresses: usize,
}

impl Hollow {
    async fn work(mut self, pods: &Informer<Pod>) {
        let changes = pods.changes();
        loop {
            let next = self.due.values().map(|(at, _)| *at).min();
            let clock = self.context.clock.clone();
            let wait = async {
                match next {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = changes.next() => for change in changed {
                    self.seen(change.key.as_ref(), change.new.as_deref());
                },
                () = wait => self.act(pods).await,
            }
        }
    }

    fn seen(&mut self, key: &str, pod: Option<&Pod>) {
        let Some(pod) = pod else {
            self.due.remove(key);
            self.done.remove(key);
            return;
        };
        let Some((step, wait)) = plan(pod, self.context.clock.now()) else {
            self.due.remove(key);
            return;
        };
        if self.done.get(key).is_some_and(|(uid, done)| uid == pod.uid() && *done == step) {
            return;
        }
        if self.due.get(key).is_some_and(|(_, known)| *known == step) {
            return;
        }
        let limit = if step == Step::Start { START_LIMIT_MS } else { STOP_LIMIT_MS };
        let wait = wait.unwrap_or_else(|| Duration::from_millis(self.context.random.below(limit) as u64));
        self.due.insert(key.to_owned(), (self.context.clock.instant() + wait, step));
    }

    async fn act(&mut self, pods: &Informer<Pod>) {
        let now = self.context.clock.instant();
        let due: Vec<_> =
            self.due.iter().filter(|(_, (at, _))| *at <= now).map(|(key, (_, step))| (key.clone(), *step)).collect();
        for (key, step) in due {
            let pod = pods.get(&key);
            let Some(pod) = pod.filter(|pod| plan(pod, self.context.clock.now()).is_some_and(|(now, _)| now == step))
            else {
                self.due.remove(&key);
                self.seen(&key, pods.get(&key).as_deref());
                continue;
            };
            match self.take(&pod, step).await {
                Ok(()) => {
                    self.due.remove(&key);
                    self.done.insert(key, (pod.uid().to_owned(), step));
                }
                Err(error) if error.is_not_found() => drop(self.due.remove(&key)),
                Err(_) => drop(self.due.insert(key, (self.context.clock.instant() + RETRY, step))),
            }
        }
    }

    async fn take(&mut self, pod: &Arc<Pod>, step: Step) -> Result<(), ApiError> {
        let pods = self.context.client.api::<Pod>();
        let (namespace, name) = (pod.namespace(), pod.name());
        let status = match step {
            Step::Stop => {
                let preconditions = Preconditions { uid: Some(pod.uid().to_owned()), resource_version: None };
                let now = DeleteOptions {
                    grace_period_seconds: Some(0),
                    preconditions: Some(preconditions),
                    ..DeleteOptions::default()
                };
                return pods.delete(namespace, name, &now).await;
            }
            Step::Start => {
                self.addresses += 1;
                running(pod, &self.address(), self.context.clock.now())
            }
            Step::End => ended(pod, self.context.clock.now()),
        };
        let patch = value!({"metadata": {"uid": (pod.uid())}, "status": status});
        pods.patch(namespace, name, "status", &Patch::Strategic(patch)).await.map(drop)
    }

    fn address(&self) -> String {
        let node: String = self.name.chars().filter(char::is_ascii_digit).collect();
        format!("10.244.{node}.{}", 1 + self.addresses % 254)
    }
}

fn running(pod: &Pod, address: &str, now: Timestamp) -> Value {
    let now = second(now);
    let condition = |name: &str| value!({"type": name, "status": "True", "lastTransitionTime": (now.as_str())});
    let container = |name: &String| {
        value!({
            "name": name, "ready": true, "started": true, "restartCount": 0, "image": "web", "imageID": "web",
            "state": {"running": {"startedAt": (now.as_str())}}
        })
    };
    value!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": (now.as_str()),
        "conditions": (["Initialized", "Ready", "ContainersReady"].map(condition).to_vec()),
        "containerStatuses": (containers(pod).iter().map(container).collect::<Vec<_>>())
    })
}

fn ended(pod: &Pod, now: Timestamp) -> Value {
    let now = second(now);
    let exit_code: i64 = pod.annotation(EXIT_CODE).and_then(|code| code.parse().ok()).unwrap_or_default();
    let reason = if exit_code == 0 { "Completed" } else { "Error" };
    let condition = |name: &str| value!({"type": name, "status": "False", "reason": "PodCompleted", "lastTransitionTime": (now.as_str())});
    let container = |name: &String| {
        value!({
            "name": name, "ready": false, "started": false, "restartCount": 0, "image": "web", "imageID": "web",
            "state": {"running": null, "terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": (now.as_str())}}
        })
    };
    value!({
        "phase": (if exit_code == 0 { "Succeeded" } else { "Failed" }),
        "conditions": (["Ready", "ContainersReady"].map(condition).to_vec()),
        "containerStatuses": (containers(pod).iter().map(container).collect::<Vec<_>>())
    })
}

fn containers(pod: &Pod) -> Vec<String> {
    pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> String {
        let pod: Pod = machinery::from_value(&machinery::json::parse(text.as_bytes()).unwrap()).unwrap();
        format!("{:?}", plan(&pod, "2026-01-01T00:00:10Z".parse().unwrap()))
    }

    #[test]
    fn what_a_pod_needs_next() {
        let ending = r#"{"metadata":{"annotations":{"sim.coxswain.dev/runs-for-seconds":"15"}},
            "status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z"}}"#;
        let shown = [
            planned(r#"{"metadata":{}}"#),
            planned(r#"{"metadata":{},"status":{"phase":"Running"}}"#),
            planned(ending),
            planned(r#"{"metadata":{},"status":{"phase":"Failed"}}"#),
            planned(r#"{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"phase":"Running"}}"#),
        ];
        expect_test::expect![[r#"
            Some((Start, None))
            None
            Some((End, Some(5s)))
            None
            Some((Stop, None))"#]]
        .assert_eq(&shown.join("\n"));
    }
}
