//! The way out of a pod: containers, then sidecars in reverse order (KEP-753), then the sandbox.

use k8s_openapi::api::core::v1::Pod;

use super::{Action, View};
use crate::pod::memory::Termination;
use crate::pod::observed::Instance;
use crate::pod::spec::{self, Role};

/// Even a sidecar whose turn comes after the pod's time is up gets this long.
const LEAST_GRACE_SECONDS: i64 = 2;

pub(super) fn plan(pod: &Pod, view: &View<'_>, termination: Termination) -> Vec<Action> {
    let alive: Vec<&Instance> = view.observed.alive().collect();
    let is_sidecar = |instance: &&Instance| role(pod, instance) == Role::Sidecar;
    let (sidecars, others): (Vec<_>, Vec<_>) = alive.into_iter().partition(is_sidecar);
    let turn = if others.is_empty() { last_started(pod, sidecars) } else { others };
    if !turn.is_empty() {
        let elapsed = view.now.duration_since(termination.since).as_secs();
        let remaining = (termination.grace_seconds - elapsed).max(LEAST_GRACE_SECONDS).min(termination.grace_seconds);
        return turn.into_iter().map(|instance| stop(instance, remaining.max(0))).collect();
    }
    let mut actions = stop_sandboxes(view);
    if actions.is_empty() {
        actions.push(Action::Finish);
    }
    actions
}

/// All containers ended by themselves for good: nothing to stop but the sandbox. Ended runs stay for their logs.
pub(super) fn after_the_end(view: &View<'_>) -> Vec<Action> {
    let stragglers = view.observed.alive().map(|instance| stop(instance, LEAST_GRACE_SECONDS));
    let mut actions: Vec<Action> = stragglers.collect();
    if actions.is_empty() {
        actions = stop_sandboxes(view);
    }
    if actions.is_empty() {
        actions.push(Action::Finish);
    }
    actions
}

fn stop_sandboxes(view: &View<'_>) -> Vec<Action> {
    let ready = view.observed.sandboxes.iter().filter(|sandbox| sandbox.ready);
    ready.map(|sandbox| Action::StopSandbox { id: sandbox.id.clone() }).collect()
}

fn last_started<'a>(pod: &Pod, sidecars: Vec<&'a Instance>) -> Vec<&'a Instance> {
    let order = |name: &str| spec::containers(pod).position(|(_, container)| container.name == name);
    sidecars.into_iter().max_by_key(|instance| order(&instance.name)).into_iter().collect()
}

fn role(pod: &Pod, instance: &Instance) -> Role {
    spec::container(pod, &instance.name).map_or(Role::Main, |(role, _)| role)
}

pub(super) fn stop(instance: &Instance, grace_seconds: i64) -> Action {
    let message = format!("Stopping container {}", instance.name);
    Action::Stop { id: instance.id.clone(), name: instance.name.clone(), message, grace_seconds }
}
