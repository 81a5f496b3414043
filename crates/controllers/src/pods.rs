//! What controllers ask about pods.

use client::Object;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};

/// The pod's status; an empty one if it has none.
pub(crate) fn status(pod: &Pod) -> &PodStatus {
    static EMPTY: std::sync::LazyLock<PodStatus> = std::sync::LazyLock::new(PodStatus::default);
    pod.status.as_ref().unwrap_or(&EMPTY)
}

/// The pod's phase, or nothing.
pub(crate) fn phase(pod: &Pod) -> &str {
    status(pod).phase.as_deref().unwrap_or_default()
}

/// The node that the pod is bound to, or nothing.
pub(crate) fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// Whether all containers have ended for good.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts: neither ended nor going away.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !pod.is_deleted()
}

/// The condition of this type.
pub(crate) fn condition<'a>(pod: &'a Pod, condition_type: &str) -> Option<&'a PodCondition> {
    status(pod).conditions.as_deref().unwrap_or_default().iter().find(|condition| condition.type_ == condition_type)
}

/// Since when the pod is ready, if it is.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

/// Whether the pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// Whether the pod has been ready for long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Available,
    Unready,
    /// It will be available after this time if it stays ready.
    After(SignedDuration),
}

/// Whether the pod has been ready for `min_ready_seconds`.
pub(crate) fn availability(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Availability {
    let Some(since) = ready_since(pod) else { return Availability::Unready };
    let left = since + SignedDuration::from_secs(min_ready_seconds.into()) - now;
    let left = SignedDuration::try_from(left).unwrap_or_default();
    if min_ready_seconds == 0 || !left.is_positive() { Availability::Available } else { Availability::After(left) }
}

/// How often the container that restarted most did so.
pub(crate) fn restarts(pod: &Pod) -> i32 {
    let counts = |list: &Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>| {
        list.iter().flatten().map(|container| container.restart_count).max()
    };
    let status = status(pod);
    counts(&status.container_statuses).max(counts(&status.init_container_statuses)).unwrap_or_default()
}

/// When the pod was made.
pub(crate) fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}
