//! What a ReplicaSet and a ReplicationController have in common: so many pods of a template, no more and no fewer.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Action, Object, View};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use machinery::labels::Selector;

use crate::owners::claim;
use crate::pods::{self, Availability};

/// One plan makes or deletes at most so many pods; the rest follows.
const BURST: usize = 500;

/// The pods of one template that someone wants.
pub(crate) struct Set<'a> {
    pub(crate) owner: OwnerReference,
    pub(crate) regarding: ObjectReference,
    pub(crate) namespace: &'a str,
    pub(crate) deleted: bool,
    pub(crate) replicas: usize,
    pub(crate) min_ready_seconds: i32,
    pub(crate) selector: Selector,
    pub(crate) template: &'a PodTemplateSpec,
    /// Pods a node that count as doubled up when one is to go.
    pub(crate) doubled: HashMap<String, usize>,
}

/// What the status says of the pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) replicas: i32,
    pub(crate) fully_labeled: i32,
    pub(crate) ready: i32,
    pub(crate) available: i32,
    pub(crate) terminating: i32,
    /// When the next ready pod becomes available.
    pub(crate) next: Option<SignedDuration>,
}

/// What to do about a set: adopt and release, make and delete pods; and what its status counts before that.
pub(crate) struct Plan {
    pub(crate) writes: Vec<Action>,
    pub(crate) pods: Vec<Action>,
    pub(crate) failure_reason: &'static str,
    pub(crate) counts: Counts,
}

/// Plans for `set`.
pub(crate) fn plan(set: &Set<'_>, view: &View) -> Plan {
    let candidates = view.in_namespace::<Pod>(set.namespace);
    let terminating = terminating(set, &candidates);
    let active = candidates.into_iter().filter(|pod| pods::is_active(pod)).collect();
    let claimed = claim(&set.owner, set.deleted, &set.selector, active);
    let mut counts = count(set, &claimed.owned, view.now);
    counts.terminating = terminating;
    let (owned, wanted) = (claimed.owned.len(), set.replicas);
    let (pods, failure_reason) = match owned.cmp(&wanted) {
        _ if set.deleted => (Vec::new(), ""),
        Ordering::Less => (create(set, (wanted - owned).min(BURST)), "FailedCreate"),
        Ordering::Greater => (delete(set, claimed.owned, (owned - wanted).min(BURST), view.now), "FailedDelete"),
        Ordering::Equal => (Vec::new(), ""),
    };
    Plan { writes: claimed.writes, pods, failure_reason, counts }
}

/// Plans again when the next pod becomes available.
pub(crate) fn requeue(counts: &Counts) -> Option<Action> {
    Some(Action::Requeue(Duration::try_from(counts.next?).ok()?))
}

fn terminating(set: &Set<'_>, candidates: &[Arc<Pod>]) -> i32 {
    let ours = candidates.iter().filter(|pod| {
        pod.is_deleted() && !pods::is_terminal(pod) && pod.controller().is_some_and(|owner| owner.uid == set.owner.uid)
    });
    number(ours.count())
}

fn count(set: &Set<'_>, owned: &[Arc<Pod>], now: Timestamp) -> Counts {
    let template = set.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let mut counts = Counts { replicas: number(owned.len()), ..Counts::default() };
    for pod in owned {
        let labels = pod.metadata.labels.as_ref();
        let full = template.into_iter().flatten().all(|(name, value)| labels.and_then(|l| l.get(name)) == Some(value));
        counts.fully_labeled += i32::from(full);
        counts.ready += i32::from(pods::is_ready(pod));
        match pods::availability(pod, set.min_ready_seconds, now) {
            Availability::Available => counts.available += 1,
            Availability::After(left) => counts.next = Some(counts.next.map_or(left, |next| next.min(left))),
            Availability::Unready => {}
        }
    }
    counts
}

fn create(set: &Set<'_>, count: usize) -> Vec<Action> {
    let pod = pod_of(set.template, set.namespace, &set.owner);
    let creations = (0..count).map(|_| {
        let regarding = set.regarding.clone();
        Action::create(&pod).then(move |outcome| {
            vec![match outcome {
                Ok(pod) => {
                    let name = pod.str_at(&["metadata", "name"]).unwrap_or_default();
                    if name.is_empty() {
                        return Vec::new();
                    }
                    Action::event(regarding, "Normal", "SuccessfulCreate", format!("Created pod: {name}"))
                }
                Err(error) => Action::event(regarding, "Warning", "FailedCreate", format!("Error creating: {error}")),
            }]
        })
    });
    vec![Action::Batch(creations.collect())]
}

/// A pod of `template` that `owner` manages; the server completes its name.
pub(crate) fn pod_of(template: &PodTemplateSpec, namespace: &str, owner: &OwnerReference) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name)),
            namespace: Some(namespace.to_owned()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

fn delete(set: &Set<'_>, mut owned: Vec<Arc<Pod>>, count: usize, now: Timestamp) -> Vec<Action> {
    owned.sort_by(|a, b| first_to_go(a, b, &set.doubled, now));
    let deletions = owned.into_iter().take(count).map(|pod| {
        let (regarding, name) = (set.regarding.clone(), pod.name().to_owned());
        Action::delete(&*pod).then(move |outcome| {
            vec![match outcome {
                Ok(_) => Action::event(regarding, "Normal", "SuccessfulDelete", format!("Deleted pod: {name}")),
                Err(error) => Action::event(regarding, "Warning", "FailedDelete", format!("Error deleting: {error}")),
            }]
        })
    });
    vec![Action::Batch(deletions.collect())]
}

/// Which of two pods goes first (upstream's order): not bound, not running, not ready, cheap (KEP-2255), doubled up on
/// its node, ready for less time, restarted more, younger. Times compare by magnitude (KEP-2185).
fn first_to_go(a: &Pod, b: &Pod, doubled: &HashMap<String, usize>, now: Timestamp) -> Ordering {
    let bound = |pod: &Pod| !pods::node(pod).is_empty();
    let running = |pod: &Pod| match pods::phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    let doubles = |pod: &Pod| doubled.get(pods::node(pod)).copied().unwrap_or_default();
    bound(a)
        .cmp(&bound(b))
        .then_with(|| running(a).cmp(&running(b)))
        .then_with(|| pods::is_ready(a).cmp(&pods::is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| doubles(b).cmp(&doubles(a)))
        .then_with(|| magnitude(pods::ready_since(a), now).cmp(&magnitude(pods::ready_since(b), now)))
        .then_with(|| pods::restarts(b).cmp(&pods::restarts(a)))
        .then_with(|| magnitude(pods::created(a), now).cmp(&magnitude(pods::created(b), now)))
        .then_with(|| a.uid().cmp(b.uid()))
}

fn deletion_cost(pod: &Pod) -> i32 {
    pod.annotation("controller.kubernetes.io/pod-deletion-cost").and_then(|cost| cost.parse().ok()).unwrap_or_default()
}

/// The binary magnitude of an age: what happened about equally long ago counts as equal.
fn magnitude(since: Option<Timestamp>, now: Timestamp) -> i64 {
    let Some(since) = since else { return -1 };
    let age = now.duration_since(since).as_nanos();
    if age <= 0 { -1 } else { i64::from(age.ilog2()) }
}

/// A count as the API has it.
pub(crate) fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
