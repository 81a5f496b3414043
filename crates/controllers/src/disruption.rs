//! Disruption budgets: how many of the selected pods may be evicted now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::driver::{Controller, Watches};
use client::{Action, Object, View, reference};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::deployment::resolve;
use crate::{owners, pods, replicas};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "disruption-controller", workers: 1, watches, plan };

/// An evicted pod that is still there after so long was not evicted after all.
const EVICTION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

fn watches(watch: &mut Watches<'_>) {
    watch.own::<PodDisruptionBudget>();
    watch.on::<Pod>(|change, view| {
        let budgets = view.in_namespace::<PodDisruptionBudget>(change.object().namespace());
        let selecting = budgets.iter().filter(|budget| change.states().any(|pod| selects(budget, pod)));
        selecting.map(|budget| budget.key()).collect()
    });
    watch.on::<Deployment>(|change, view| in_namespace(change.object().namespace(), view));
    watch.on::<StatefulSet>(|change, view| in_namespace(change.object().namespace(), view));
    watch.on::<ReplicationController>(|change, view| in_namespace(change.object().namespace(), view));
    watch.on::<ReplicaSet>(|change, view| in_namespace(change.object().namespace(), view));
}

/// The size that someone wants has changed.
fn in_namespace(namespace: &str, view: &View) -> Vec<String> {
    view.in_namespace::<PodDisruptionBudget>(namespace).iter().map(|budget| budget.key()).collect()
}

/// A budget without selector selects nothing, an empty selector everything.
fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| owners::selector(selector).matches(&pod.metadata.labels))
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(budget) = view.get::<PodDisruptionBudget>(key) else { return Vec::new() };
    let Some(spec) = &budget.spec else { return Vec::new() };
    let mut pods = view.in_namespace::<Pod>(budget.namespace());
    pods.retain(|pod| selects(&budget, pod));
    let (evicting, recheck) = evicting(&budget, &pods, view);
    match expected(spec, &pods, view) {
        Ok((expected, desired)) => {
            let healthy = pods
                .iter()
                .filter(|pod| pods::is_ready(pod) && !pod.is_deleted() && !evicting.contains_key(pod.name()));
            let healthy = replicas::number(healthy.count());
            let counted = Counted { expected, desired, healthy };
            let status = write(&budget, counted, evicting, view);
            let no_pods = Action::event(reference(&*budget), "Normal", "NoPods", "No matching pods found");
            let told = (pods.is_empty() && status.is_some()).then_some(no_pods);
            told.into_iter().chain(status).chain(recheck).collect()
        }
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            let event = Action::event(reference(&*budget), "Warning", "CalculateExpectedPodCountFailed", message);
            vec![event, Action::Fail(why)]
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Counted {
    expected: i32,
    desired: i32,
    healthy: i32,
}

/// Pods that were evicted and are not gone yet, and when to look at them again.
fn evicting(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], view: &View) -> (BTreeMap<String, Time>, Option<Action>) {
    let known = budget.status.iter().flat_map(|status| status.disrupted_pods.iter().flatten());
    let there = |name: &str| pods.iter().any(|pod| pod.name() == name && !pod.is_deleted());
    let fresh = |time: &Time| view.now.duration_since(time.0) < EVICTION_TIMEOUT;
    let kept: BTreeMap<String, Time> = known
        .filter(|(name, time)| there(name) && fresh(time))
        .map(|(name, time)| (name.clone(), time.clone()))
        .collect();
    let next = kept.values().map(|time| EVICTION_TIMEOUT - view.now.duration_since(time.0)).min();
    (kept, next.and_then(|next| next.try_into().ok()).map(Action::Requeue))
}

/// How many pods there should be, and how many healthy ones there must be.
fn expected(spec: &PodDisruptionBudgetSpec, pods: &[Arc<Pod>], view: &View) -> Result<(i32, i32), String> {
    let present = replicas::number(pods.len());
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(max), _) => {
            let expected = scale(pods, view)?;
            Ok((expected, (expected - resolve(max, expected, true)).max(0)))
        }
        (None, Some(IntOrString::Int(min))) => Ok((present, *min)),
        (None, Some(min)) => {
            let expected = scale(pods, view)?;
            Ok((expected, resolve(min, expected, true)))
        }
        (None, None) => Ok((present, 0)),
    }
}

/// What the pods' owners ask for together; an owner counts once.
fn scale(pods: &[Arc<Pod>], view: &View) -> Result<i32, String> {
    let mut counted = BTreeSet::new();
    let mut total = 0;
    for pod in pods {
        let Some(owner) = pod.controller() else {
            return Err(format!("found no controller ref for pod {:?}", pod.name()));
        };
        let (uid, size) = owner_scale(pod.namespace(), &owner.kind, &owner.name, view)
            .ok_or_else(|| format!("found no controllers for pod {:?}", pod.name()))?;
        if counted.insert(uid) {
            total += size;
        }
    }
    Ok(total)
}

fn owner_scale(namespace: &str, kind: &str, name: &str, view: &View) -> Option<(String, i32)> {
    match kind {
        "ReplicaSet" => {
            let set = view.find::<ReplicaSet>(namespace, name)?;
            let deployment = set.controller().filter(|owner| owner.kind == "Deployment");
            if let Some(deployment) = deployment.and_then(|owner| view.find::<Deployment>(namespace, &owner.name)) {
                return Some((deployment.uid().to_owned(), deployment.spec.as_ref()?.replicas.unwrap_or(1)));
            }
            Some((set.uid().to_owned(), set.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        "StatefulSet" => {
            let set = view.find::<StatefulSet>(namespace, name)?;
            Some((set.uid().to_owned(), set.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        "ReplicationController" => {
            let controller = view.find::<ReplicationController>(namespace, name)?;
            Some((controller.uid().to_owned(), controller.spec.as_ref()?.replicas.unwrap_or(1)))
        }
        _ => None,
    }
}

fn write(
    budget: &PodDisruptionBudget,
    counted: Counted,
    evicting: BTreeMap<String, Time>,
    view: &View,
) -> Option<Action> {
    let allowed = if counted.expected > 0 { (counted.healthy - counted.desired).max(0) } else { 0 };
    let old = budget.status.clone().unwrap_or_default();
    let (truth, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let known = old.conditions.iter().flatten().find(|c| c.type_ == "DisruptionAllowed").cloned();
    let since = known.filter(|known| known.status == truth).map_or(Time(view.now), |known| known.last_transition_time);
    let condition = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: truth.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        last_transition_time: since,
        observed_generation: budget.metadata.generation,
    };
    let status = PodDisruptionBudgetStatus {
        conditions: Some(vec![condition]),
        current_healthy: Some(counted.healthy),
        desired_healthy: Some(counted.desired),
        expected_pods: Some(counted.expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: Some(evicting).filter(|evicting| !evicting.is_empty()),
        observed_generation: budget.metadata.generation,
    };
    if status == old {
        return None;
    }
    Some(Action::update_status(&PodDisruptionBudget { status: Some(status), ..budget.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn budgets_allow_what_is_to_spare() {
        let budget = |limit: &str| {
            format!(
                "{{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {{name: b, namespace: a, generation: 1}}, spec: {{{limit}, selector: {{matchLabels: {{app: web}}}}}}}}\n"
            )
        };
        let set = "---\n{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: r, namespace: a, uid: r}, spec: {replicas: 4, selector: {}}}\n";
        let pods: String = (0..3)
            .map(|n| {
                format!(
                    "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p{n}, namespace: a, labels: {{app: web}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: r, controller: true}}]}}, status: {{conditions: [{{type: Ready, status: 'True'}}]}}}}\n"
                )
            })
            .collect();
        for (limit, expected) in [
            ("minAvailable: 2", "3 healthy, 2 desired, 3 expected, 1 allowed"),
            ("minAvailable: 50%", "3 healthy, 2 desired, 4 expected, 1 allowed"),
            ("maxUnavailable: 1", "3 healthy, 3 desired, 4 expected, 0 allowed"),
            ("maxUnavailable: 100%", "3 healthy, 0 desired, 4 expected, 3 allowed"),
        ] {
            let view = table::view(&CONTROLLER, &(budget(limit) + set + &pods));
            let Some(Action::Write(write)) = plan("a/b", &view).pop() else { panic!("no write") };
            let client::WriteKind::Update(written) = write.change else { panic!("no update") };
            let count = |name: &str| written.int_at(&["status", name]).unwrap();
            let told = format!(
                "{} healthy, {} desired, {} expected, {} allowed",
                count("currentHealthy"),
                count("desiredHealthy"),
                count("expectedPods"),
                count("disruptionsAllowed")
            );
            assert_eq!(told, expected, "{limit}");
        }
    }
}
