//! One container's status: what it does, what it did last, whether it is ready.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, LinuxContainerUser, Pod, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::View;
use crate::pod::observed::{Instance, Phase};
use crate::pod::spec::{self, Role};

pub(super) fn status(pod: &Pod, role: Role, container: &Container, view: &View<'_>) -> ContainerStatus {
    let mut runs = view.observed.instances.iter().filter(|run| run.name == container.name);
    let (Some(run), previous) = (runs.next(), runs.next()) else {
        return never_run(pod, container, view);
    };
    let waiting = view.memory.waiting.get(&container.name).filter(|_| run.phase == Phase::Exited);
    let restarts = view.memory.termination.is_none() && spec::restarts_after(pod, role, container, run.exit_code);
    let (state, last_state) = match (run.phase, waiting) {
        (Phase::Exited, Some(waiting)) if restarts => {
            (wait(&waiting.reason, &waiting.message), Some(terminated(run, view)))
        }
        _ => (state(run, view), previous.map(|run| terminated(run, view))),
    };
    let probed = view.memory.probes.get(&run.id).copied().unwrap_or_default();
    let running = run.phase == Phase::Running;
    let started = running
        && (container.startup_probe.is_none() || probed.startup == Some(true))
        && !view.memory.starting.contains(&run.id);
    let ready = match role {
        Role::Init => run.phase == Phase::Exited && run.exit_code == 0,
        _ => started && (container.readiness_probe.is_none() || probed.readiness == Some(true)),
    };
    ContainerStatus {
        name: container.name.clone(),
        state: Some(state),
        last_state: last_state.or_else(|| Some(ContainerState::default())),
        ready,
        started: Some(started),
        restart_count: run.restart_count,
        image: run.image.clone(),
        image_id: run.image_id.clone(),
        container_id: Some(container_id(&run.id)),
        resources: running.then(|| container.resources.clone().unwrap_or_default()),
        allocated_resources: container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.clone())
            .filter(|_| running),
        user: run.user.as_ref().map(user),
        volume_mounts: mounts(container),
        ..ContainerStatus::default()
    }
}

fn never_run(pod: &Pod, container: &Container, view: &View<'_>) -> ContainerStatus {
    let old = old_status(pod, &container.name);
    // The runtime forgot an ended container (or the whole node was set up anew): what the API knows stays.
    if let Some(old) = old.filter(|old| ended(old) || view.memory.termination.is_some() && old.container_id.is_some()) {
        return lost(old, view.now);
    }
    let has_init = spec::init_containers(pod).next().is_some();
    let idle = if has_init { "PodInitializing" } else { "ContainerCreating" };
    let state = match view.memory.waiting.get(&container.name) {
        Some(waiting) => wait(&waiting.reason, &waiting.message),
        None => wait(idle, ""),
    };
    ContainerStatus {
        name: container.name.clone(),
        state: Some(state),
        last_state: Some(ContainerState::default()),
        ready: false,
        started: Some(false),
        image: container.image.clone().unwrap_or_default(),
        volume_mounts: mounts(container),
        ..ContainerStatus::default()
    }
}

fn lost(mut status: ContainerStatus, now: Timestamp) -> ContainerStatus {
    if !ended(&status) {
        let since =
            status.state.as_ref().and_then(|state| state.running.as_ref()).and_then(|state| state.started_at.clone());
        status.state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 137,
                reason: Some("ContainerStatusUnknown".to_owned()),
                message: Some("The container could not be located when the pod was terminated".to_owned()),
                started_at: since,
                finished_at: Some(Time(super::whole_second(now))),
                container_id: status.container_id.clone(),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
    }
    status.ready = false;
    status.started = Some(false);
    status
}

fn ended(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

fn old_status(pod: &Pod, name: &str) -> Option<ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name).cloned()
}

fn state(run: &Instance, view: &View<'_>) -> ContainerState {
    match run.phase {
        Phase::Created | Phase::Unknown => wait("ContainerCreating", ""),
        Phase::Running => {
            let started_at = run.started.map(|time| Time(super::whole_second(time)));
            ContainerState { running: Some(ContainerStateRunning { started_at }), ..ContainerState::default() }
        }
        Phase::Exited => terminated(run, view),
    }
}

fn wait(reason: &str, message: &str) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()).filter(|message| !message.is_empty()),
    };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(run: &Instance, view: &View<'_>) -> ContainerState {
    let time = |time: Option<Timestamp>| time.map(|time| Time(super::whole_second(time)));
    let last_words = view.memory.last_words.get(&run.id).filter(|text| !text.is_empty());
    let message = [Some(&run.message).filter(|text| !text.is_empty()), last_words];
    let message: Vec<&str> = message.into_iter().flatten().map(String::as_str).collect();
    let default = if run.exit_code == 0 { "Completed" } else { "Error" };
    let reason = if run.reason.is_empty() { default } else { &run.reason };
    let terminated = ContainerStateTerminated {
        exit_code: run.exit_code,
        reason: Some(reason.to_owned()),
        message: Some(message.join(": ")).filter(|message| !message.is_empty()),
        started_at: time(run.started),
        finished_at: time(run.finished),
        container_id: Some(container_id(&run.id)),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn container_id(id: &str) -> String {
    format!("containerd://{id}")
}

fn user(user: &crate::proto::cri::LinuxContainerUser) -> ContainerUser {
    let groups = Some(user.supplemental_groups.clone()).filter(|groups| !groups.is_empty());
    let linux = LinuxContainerUser { uid: user.uid, gid: user.gid, supplemental_groups: groups };
    ContainerUser { linux: Some(linux) }
}

fn mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.iter().flatten().map(|mount| {
        let read_only = mount.read_only.unwrap_or(false);
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: read_only.then_some(true),
            recursive_read_only: read_only.then(|| "Disabled".to_owned()),
            ..VolumeMountStatus::default()
        }
    });
    Some(mounts.collect::<Vec<_>>()).filter(|mounts| !mounts.is_empty())
}
