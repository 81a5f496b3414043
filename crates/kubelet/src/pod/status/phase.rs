//! The pod's phase: one word for where all its containers are.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::View;
use crate::pod::spec::{self, RestartPolicy, Role};

/// A pod's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers have been started yet.
    Pending,
    /// At least one runs or will run again.
    Running,
    /// All ended with 0 and none runs again.
    Succeeded,
    /// All ended, at least one not with 0, and none runs again.
    Failed,
}

impl Phase {
    /// The API's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// The API's word read back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed].into_iter().find(|phase| phase.as_str() == text)
    }

    /// Whether the pod has ended for good.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

#[derive(Default)]
struct Count {
    waiting: usize,
    unknown: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

pub(super) fn phase(pod: &Pod, view: &View<'_>, init: &[ContainerStatus], main: &[ContainerStatus]) -> Phase {
    // Invariant: an ended pod does not come back to life.
    let old = pod.status.as_ref().and_then(|status| status.phase.as_deref()).and_then(Phase::parse);
    if view.memory.failed.is_some() {
        return Phase::Failed;
    }
    if let Some(ended) = old.filter(|phase| phase.is_final()) {
        return ended;
    }
    let computed = of_containers(pod, init, main);
    // While a container of an ending pod still runs, the pod has not ended.
    if computed.is_final() && view.observed.alive().next().is_some() {
        return Phase::Running;
    }
    // A pod that is being deleted ends as failed unless all its containers succeeded.
    if view.memory.termination.is_some() && view.observed.alive().next().is_none() && !computed.is_final() {
        let succeeded = main.iter().all(|status| exit_code(status) == Some(0)) && !main.is_empty();
        return if succeeded { Phase::Succeeded } else { Phase::Failed };
    }
    computed
}

fn of_containers(pod: &Pod, init: &[ContainerStatus], main: &[ContainerStatus]) -> Phase {
    let begun = main.iter().any(|status| status.container_id.is_some());
    let roles = spec::init_containers(pod).zip(init);
    let (mut pending_init, mut failed_init) = (0, 0);
    for ((role, container), status) in roles {
        if role == Role::Sidecar {
            pending_init += usize::from(!begun && !status.started.unwrap_or(false));
        } else if let Some(code) = exit_code(status) {
            if code != 0 {
                let again = spec::restarts_after(pod, role, container, code);
                *(if again { &mut pending_init } else { &mut failed_init }) += 1;
            }
        } else if !begun {
            pending_init += 1;
        }
    }
    if failed_init > 0 && spec::restart_policy(pod) == RestartPolicy::Never {
        return Phase::Failed;
    }
    let mut count = Count::default();
    let mut restarts = false;
    for (container, status) in spec::spec(pod).containers.iter().zip(main) {
        tally(status, &mut count);
        restarts |= exit_code(status).is_some_and(|code| spec::restarts_after(pod, Role::Main, container, code));
    }
    match count {
        _ if pending_init > 0 && !begun => Phase::Pending,
        Count { waiting: 1.., .. } => Phase::Pending,
        Count { running: 1.., unknown: 0, .. } => Phase::Running,
        Count { running: 0, stopped: 1.., unknown: 0, .. } if restarts => Phase::Running,
        Count { running: 0, stopped, succeeded, unknown: 0, .. } if stopped > 0 => {
            if stopped == succeeded {
                Phase::Succeeded
            } else {
                Phase::Failed
            }
        }
        _ => Phase::Pending,
    }
}

fn tally(status: &ContainerStatus, count: &mut Count) {
    let Some(state) = &status.state else { return count.unknown += 1 };
    let last_ended = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if state.running.is_some() {
        count.running += 1;
    } else if let Some(ended) = &state.terminated {
        count.stopped += 1;
        count.succeeded += usize::from(ended.exit_code == 0);
    } else if last_ended {
        // Between two runs: as good as stopped.
        count.stopped += 1;
    } else {
        count.waiting += 1;
    }
}

fn exit_code(status: &ContainerStatus) -> Option<i32> {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).map(|ended| ended.exit_code)
    };
    let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    ended(&status.state).or_else(|| waits.then(|| ended(&status.last_state)).flatten())
}
