//! When a job is done, and when it has failed.

use client::Object;
use k8s_openapi::api::batch::v1::PodFailurePolicyRule;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::Work;
use crate::pods;

/// A condition that decides how the job ends, its reason and message.
type Verdict = (&'static str, &'static str, String);

impl Work<'_> {
    /// How the job ends, if that is known now.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        if self.is_deciding() || self.is_suspended() {
            return None;
        }
        if let Some(message) = self.forbidden_failure() {
            return Some(("FailureTarget", "PodFailurePolicy", message));
        }
        if self.failed() > self.backoff_limit() || self.too_many_restarts() {
            let message = "Job has reached the specified backoff limit".to_owned();
            return Some(("FailureTarget", "BackoffLimitExceeded", message));
        }
        if self.deadline().is_some_and(|deadline| self.view.now >= deadline) {
            let message = "Job was active longer than specified deadline".to_owned();
            return Some(("FailureTarget", "DeadlineExceeded", message));
        }
        self.is_complete().then(|| {
            let message = "Reached expected number of successful pods".to_owned();
            ("SuccessCriteriaMet", "CompletionsReached", message)
        })
    }

    fn is_complete(&self) -> bool {
        match self.spec.completions {
            Some(completions) => self.succeeded() >= completions,
            None => self.succeeded() > 0 && self.active().next().is_none(),
        }
    }

    fn backoff_limit(&self) -> i32 {
        self.spec.backoff_limit.unwrap_or(6)
    }

    /// With restart policy OnFailure the kubelet's restarts count as failures.
    fn too_many_restarts(&self) -> bool {
        let policy = self.spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        if policy != Some("OnFailure") {
            return false;
        }
        let running = self.pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
        let restarts: i32 = running.map(|pod| restarts(pod)).sum();
        if self.backoff_limit() == 0 { restarts > 0 } else { restarts >= self.backoff_limit() }
    }

    /// Whether the failure policy does not count this failure.
    pub(super) fn is_ignored(&self, pod: &Pod) -> bool {
        self.rule(pod).is_some_and(|(_, rule, _)| rule.action == "Ignore")
    }

    fn forbidden_failure(&self) -> Option<String> {
        let failed = self.pods.iter().filter(|pod| pods::phase(pod) == "Failed");
        let forbidden = failed.filter_map(|pod| self.rule(pod)).find(|(_, rule, _)| rule.action == "FailJob");
        forbidden.map(|(at, _, why)| format!("{why} matching FailJob rule at index {at}"))
    }

    /// The first rule that the failed pod matches, and how it matches.
    fn rule(&self, pod: &Pod) -> Option<(usize, &PodFailurePolicyRule, String)> {
        let rules = self.spec.pod_failure_policy.as_ref()?.rules.iter().enumerate();
        rules.filter_map(|(at, rule)| Some((at, rule, matches(rule, pod)?))).next()
    }
}

fn matches(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    if let Some(codes) = &rule.on_exit_codes {
        let status = pods::status(pod);
        let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        let named = containers.filter(|c| codes.container_name.as_ref().is_none_or(|name| *name == c.name));
        let hit = named
            .filter_map(|container| Some((container, exit_code(container)?)))
            .find(|(_, code)| *code != 0 && codes.values.contains(code) == (codes.operator == "In"));
        return hit.map(|(container, code)| {
            format!("Container {} for pod {} failed with exit code {code}", container.name, pod.key())
        });
    }
    let patterns = rule.on_pod_conditions.iter().flatten();
    let mut hits = patterns.filter(|pattern| {
        let wanted = pattern.status.as_deref().unwrap_or("True");
        pods::condition(pod, &pattern.type_).is_some_and(|condition| condition.status == wanted)
    });
    hits.next().map(|pattern| format!("Pod {} has condition {}", pod.key(), pattern.type_))
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn restarts(pod: &Pod) -> i32 {
    let status = pods::status(pod);
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.map(|container| container.restart_count).sum()
}
