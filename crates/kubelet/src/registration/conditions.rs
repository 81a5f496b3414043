//! The node's conditions: whether it can run pods, and if not, why.

use std::time::Duration;

use base::Instant;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::proto::cri::{Image, RuntimeStatus};

/// After so long without an answer the runtime counts as down.
const DOWN_AFTER: Duration = Duration::from_secs(5);

/// What the runtime last said.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuntimeHealth {
    answered: Option<Instant>,
    status: RuntimeStatus,
    pub(super) images: Vec<Image>,
}

impl RuntimeHealth {
    pub(super) fn hear(&mut self, status: RuntimeStatus, images: Option<Vec<Image>>, now: Instant) {
        self.status = status;
        self.answered = Some(now);
        if let Some(images) = images {
            self.images = images;
        }
    }

    /// Why the node is not ready, in upstream's words.
    pub(crate) fn problem(&self, now: Instant) -> Option<String> {
        let Some(answered) = self.answered else {
            return Some("container runtime status check may not have completed yet".to_owned());
        };
        if now.duration_since(answered) >= DOWN_AFTER {
            return Some("container runtime is down".to_owned());
        }
        let mut problems = Vec::new();
        for (kind, words) in
            [("RuntimeReady", "container runtime not ready"), ("NetworkReady", "container runtime network not ready")]
        {
            let condition = self.status.conditions.iter().find(|condition| condition.r#type == kind);
            if let Some(condition) = condition.filter(|condition| !condition.status) {
                let (reason, message) = (&condition.reason, &condition.message);
                problems.push(format!("{words}: {kind}=false reason:{reason} message:{message}"));
            }
        }
        match problems.len() {
            0 => None,
            1 => problems.pop(),
            _ => Some(format!("[{}]", problems.join(", "))),
        }
    }
}

/// The node's conditions in upstream's order.
pub(super) fn conditions(problem: Option<String>, old: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let fine = [
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ];
    let mut all: Vec<NodeCondition> =
        fine.into_iter().map(|(kind, reason, message)| condition(kind, false, reason, message, old, now)).collect();
    all.push(match problem {
        None => condition("Ready", true, "KubeletReady", "kubelet is posting ready status", old, now),
        Some(problem) => condition("Ready", false, "KubeletNotReady", &problem, old, now),
    });
    all
}

fn condition(
    kind: &str,
    status: bool,
    reason: &str,
    message: &str,
    old: &[NodeCondition],
    now: Timestamp,
) -> NodeCondition {
    let status = if status { "True" } else { "False" };
    let now = Time(Timestamp::from_second(now.as_second()).expect("a timestamp's second is a timestamp"));
    let before = old.iter().find(|condition| condition.type_ == kind && condition.status == status);
    NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: before.and_then(|before| before.last_transition_time.clone()).or(Some(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::cri::RuntimeCondition;

    #[tokio::test(start_paused = true)]
    async fn tells_why_it_is_not_ready() {
        let clock = base::Clock::system();
        let mut health = RuntimeHealth::default();
        let not_yet = "container runtime status check may not have completed yet";
        assert_eq!(health.problem(clock.instant()).as_deref(), Some(not_yet));
        let condition = |kind: &str, status| RuntimeCondition {
            r#type: kind.into(),
            status,
            reason: "NetworkPluginNotReady".into(),
            message: "no CNI".into(),
        };
        let status = |network| RuntimeStatus {
            conditions: vec![condition("RuntimeReady", true), condition("NetworkReady", network)],
        };
        health.hear(status(false), None, clock.instant());
        let network =
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no CNI";
        assert_eq!(health.problem(clock.instant()).as_deref(), Some(network));
        health.hear(status(true), None, clock.instant());
        assert_eq!(health.problem(clock.instant()), None);
        clock.sleep(DOWN_AFTER).await;
        assert_eq!(health.problem(clock.instant()).as_deref(), Some("container runtime is down"));
    }
}
