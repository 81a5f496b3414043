//! What to do next for a pod: a pure function of what it asks for and what is seen. Called after every change, so each
//! call plans one step and the next call sees what came of it.

mod starting;
mod stopping;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::memory::Memory;
use super::observed::Observed;
use super::spec;

/// One thing to do. Those of one plan do not depend on one another, unless one is [`Action::Start`]: these are done in
/// order, after the others.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Makes the pod's volumes, directories and cgroup, then a sandbox.
    CreateSandbox {
        /// How many there were before.
        attempt: u32,
    },
    /// Pulls the image if needed, then makes and starts a container.
    Start {
        /// The container's name.
        name: String,
        /// How often it was started before.
        restart_count: i32,
        /// When its last run ended, if it had one: what back-off counts from.
        finished: Option<Timestamp>,
    },
    /// Lets a container rest before its next start.
    BackOff {
        /// The container's name.
        name: String,
        /// For how long since its last run ended.
        delay: SignedDuration,
        /// Until when.
        until: Timestamp,
    },
    /// Ends a container: preStop hook, SIGTERM, SIGKILL after the grace period.
    Stop {
        /// The runtime's id.
        id: String,
        /// The container's name.
        name: String,
        /// The event's text.
        message: String,
        /// What the preStop hook and SIGTERM have together.
        grace_seconds: i64,
    },
    /// Stops a sandbox.
    StopSandbox {
        /// The runtime's id.
        id: String,
    },
    /// Forgets an ended run of a container.
    RemoveContainer {
        /// The runtime's id.
        id: String,
    },
    /// Forgets a stopped sandbox.
    RemoveSandbox {
        /// The runtime's id.
        id: String,
    },
    /// Looks again at this time.
    Wait {
        /// When.
        until: Timestamp,
    },
    /// Nothing of the pod runs or will run again: volumes and cgroup can go, the API may forget a deleted pod.
    Finish,
}

/// All that a plan is made from, beside the pod.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What the runtime has.
    pub observed: &'a Observed,
    /// What the runtime cannot tell.
    pub memory: &'a Memory,
    /// The time.
    pub now: Timestamp,
}

/// The next step for `pod`.
#[must_use]
pub fn plan(pod: &Pod, view: &View<'_>) -> Vec<Action> {
    match view.memory.termination {
        Some(termination) => stopping::plan(pod, view, termination),
        None if has_ended(pod) || starting::is_over(pod, view) => stopping::after_the_end(view),
        None => starting::plan(pod, view),
    }
}

/// Invariant: a pod that the API knows as ended is never started again, even if the runtime has forgotten its containers.
fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase.and_then(super::status::Phase::parse).is_some_and(super::status::Phase::is_final)
}

/// The key of a container's crash back-off: another image starts afresh.
#[must_use]
pub fn crash_key(container: &k8s_openapi::api::core::v1::Container) -> String {
    format!("{}/{}", container.name, super::labels::hash(container))
}

/// What a preStop hook and SIGTERM have together when the kubelet restarts a container.
fn grace(pod: &Pod, probe: Option<&k8s_openapi::api::core::v1::Probe>) -> i64 {
    probe.and_then(|probe| probe.termination_grace_period_seconds).unwrap_or_else(|| spec::grace_seconds(pod))
}

#[cfg(test)]
mod tests;
