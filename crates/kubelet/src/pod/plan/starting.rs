//! The way up of a pod and keeping it there: sandbox, init containers in order, containers, restarts.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Action, View, crash_key, grace, stopping};
use crate::pod::labels;
use crate::pod::observed::{Instance, Phase, Sandbox};
use crate::pod::spec::{self, Role};

pub(super) fn plan(pod: &Pod, view: &View<'_>) -> Vec<Action> {
    let Some(sandbox) = view.observed.sandbox().filter(|sandbox| usable(pod, sandbox)) else {
        return replace_sandbox(view);
    };
    let strays = view.observed.alive().filter(|instance| instance.sandbox != sandbox.id);
    let mut actions: Vec<Action> = strays.map(|instance| stopping::stop(instance, spec::grace_seconds(pod))).collect();
    let old = view.observed.sandboxes.iter().skip(1).filter(|sandbox| sandbox.ready);
    actions.extend(old.map(|sandbox| Action::StopSandbox { id: sandbox.id.clone() }));
    actions.extend(forget_old_runs(view));
    if init_is_done(pod, view, &mut actions) {
        for container in &spec::spec(pod).containers {
            keep(pod, view, Role::Main, container, &mut actions);
        }
    }
    actions
}

/// Whether every container has ended and none starts again; then the pod's phase is Succeeded or Failed.
pub(super) fn is_over(pod: &Pod, view: &View<'_>) -> bool {
    let ended_for_good = |role: Role, container: &Container| {
        view.observed.latest(&container.name).is_some_and(|instance| {
            instance.phase == Phase::Exited && !spec::restarts_after(pod, role, container, instance.exit_code)
        })
    };
    let failed_init = spec::init_containers(pod).any(|(role, container)| {
        let exit_code = view.observed.latest(&container.name).map(|instance| instance.exit_code);
        role == Role::Init && ended_for_good(role, container) && exit_code != Some(0)
    });
    let mut main = spec::spec(pod).containers.iter();
    failed_init && !has_begun(pod, view) || main.all(|container| ended_for_good(Role::Main, container))
}

fn usable(pod: &Pod, sandbox: &Sandbox) -> bool {
    let host = spec::host_network(pod);
    sandbox.ready && sandbox.host_network == host && (host || !sandbox.ips.is_empty())
}

fn replace_sandbox(view: &View<'_>) -> Vec<Action> {
    let mut actions: Vec<Action> = view.observed.alive().map(|instance| stopping::stop(instance, 0)).collect();
    let ready = view.observed.sandboxes.iter().filter(|sandbox| sandbox.ready);
    actions.extend(ready.map(|sandbox| Action::StopSandbox { id: sandbox.id.clone() }));
    if !actions.is_empty() {
        return actions;
    }
    match view.memory.sandbox_retry.filter(|retry| *retry > view.now) {
        Some(until) => vec![Action::Wait { until }],
        None => {
            let attempt = view.observed.sandbox().map_or(0, |sandbox| sandbox.attempt + 1);
            vec![Action::CreateSandbox { attempt }]
        }
    }
}

/// Whether a container proper was ever made in the current sandbox: then the init containers are done.
fn has_begun(pod: &Pod, view: &View<'_>) -> bool {
    spec::spec(pod).containers.iter().any(|container| view.observed.current(&container.name).is_some())
}

/// Plans for the init containers; whether the containers proper may run.
fn init_is_done(pod: &Pod, view: &View<'_>, actions: &mut Vec<Action>) -> bool {
    let begun = has_begun(pod, view);
    for (role, container) in spec::init_containers(pod) {
        let done = match (role, view.observed.current(&container.name)) {
            (Role::Init, _) if begun => continue,
            (Role::Init, Some(run)) if run.phase == Phase::Exited && run.exit_code == 0 => continue,
            (Role::Sidecar, Some(run)) => run.phase == Phase::Running && has_started(view, container, run),
            _ => false,
        };
        keep(pod, view, role, container, actions);
        if !done && !begun {
            return false;
        }
    }
    true
}

/// A sidecar lets the next one start when its startup probe has passed and its postStart hook has ended.
fn has_started(view: &View<'_>, container: &Container, run: &Instance) -> bool {
    let probed = view.memory.probes.get(&run.id).copied().unwrap_or_default();
    (container.startup_probe.is_none() || probed.startup == Some(true)) && !view.memory.starting.contains(&run.id)
}

/// Plans what keeps one container as it should be.
fn keep(pod: &Pod, view: &View<'_>, role: Role, container: &Container, actions: &mut Vec<Action>) {
    let Some(run) = view.observed.latest(&container.name) else {
        return start(view, container, 0, None, actions);
    };
    let current = view.observed.sandbox().is_some_and(|sandbox| sandbox.id == run.sandbox);
    match run.phase {
        Phase::Running if current => check(pod, view, role, container, run, actions),
        Phase::Running | Phase::Unknown => actions.push(stopping::stop(run, grace(pod, None))),
        Phase::Created => {
            actions.push(Action::RemoveContainer { id: run.id.clone() });
            start(view, container, run.restart_count, None, actions);
        }
        Phase::Exited => {
            // A new sandbox runs the init containers again, even those that succeeded before.
            let again = role == Role::Init && !current;
            if again || spec::restarts_after(pod, role, container, run.exit_code) {
                let finished = run.finished.or(Some(run.created));
                start(view, container, run.restart_count + 1, finished, actions);
            }
        }
    }
}

fn check(pod: &Pod, view: &View<'_>, role: Role, container: &Container, run: &Instance, actions: &mut Vec<Action>) {
    let probed = view.memory.probes.get(&run.id).copied().unwrap_or_default();
    let (what, probe, restarts) = if run.hash != labels::hash(container) {
        ("definition changed", None, true)
    } else if probed.liveness == Some(false) {
        ("failed liveness probe", container.liveness_probe.as_ref(), false)
    } else if probed.startup == Some(false) {
        ("failed startup probe", container.startup_probe.as_ref(), false)
    } else {
        return;
    };
    let restarts = restarts || spec::restarts_after(pod, role, container, 137);
    let ending = if restarts { ", will be restarted" } else { "" };
    let message = format!("Container {} {what}{ending}", container.name);
    let grace_seconds = grace(pod, probe);
    actions.push(Action::Stop { id: run.id.clone(), name: run.name.clone(), message, grace_seconds });
}

fn start(
    view: &View<'_>,
    container: &Container,
    restart_count: i32,
    finished: Option<jiff::Timestamp>,
    actions: &mut Vec<Action>,
) {
    let name = container.name.clone();
    if let Some(ended) = finished {
        let delay = view.memory.crashes.rest(&crash_key(container), ended);
        let until = ended + delay;
        if until > view.now {
            return actions.push(Action::BackOff { name, delay, until });
        }
    }
    match view.memory.waiting.get(&name).filter(|waiting| waiting.retry > view.now) {
        Some(waiting) => actions.push(Action::Wait { until: waiting.retry }),
        None => actions.push(Action::Start { name, restart_count, finished }),
    }
}

/// Of every container the newest two runs are kept: the one that counts and the one before, for its logs.
fn forget_old_runs(view: &View<'_>) -> Vec<Action> {
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    let mut actions = Vec::new();
    for instance in &view.observed.instances {
        let runs = seen.entry(&instance.name).or_default();
        *runs += 1;
        if *runs > 2 && instance.phase == Phase::Exited {
            actions.push(Action::RemoveContainer { id: instance.id.clone() });
        }
    }
    let unused = view.observed.sandboxes.iter().skip(1).filter(|sandbox| !sandbox.ready);
    let unused = unused.filter(|sandbox| view.observed.instances.iter().all(|instance| instance.sandbox != sandbox.id));
    actions.extend(unused.map(|sandbox| Action::RemoveSandbox { id: sandbox.id.clone() }));
    actions
}
