//! What is counted of jobs, under upstream's names.

use std::sync::LazyLock;

use base::metrics::{Counters, Registry, stable};
use k8s_openapi::api::batch::v1::JobStatus;

/// One for the process, as there is one such controller in it.
static COUNTS: LazyLock<Counts> = LazyLock::new(Counts::new);

struct Counts {
    registry: Registry,
    jobs: Counters,
    pods: Counters,
}

impl Counts {
    fn new() -> Self {
        let registry = Registry::new();
        Self {
            jobs: registry.counters(
                stable("job_controller_jobs_finished_total", "Jobs that ended."),
                &["completion_mode", "result", "reason"],
            ),
            pods: registry.counters(
                stable("job_controller_job_pods_finished_total", "Pods of jobs that ended and were counted."),
                &["completion_mode", "result"],
            ),
            registry,
        }
    }
}

/// All that is counted.
pub fn registry() -> Registry {
    COUNTS.registry.clone()
}

/// What a new status says that the old one did not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    mode: &'static str,
    /// How the job ended and why.
    end: Option<(&'static str, String)>,
    succeeded: u64,
    failed: u64,
}

impl News {
    pub(super) fn of(is_indexed: bool, old: &JobStatus, new: &JobStatus) -> Self {
        let more = |old: Option<i32>, new: Option<i32>| {
            u64::try_from(new.unwrap_or_default() - old.unwrap_or_default()).unwrap_or_default()
        };
        Self {
            mode: if is_indexed { "Indexed" } else { "NonIndexed" },
            end: end(new).filter(|_| end(old).is_none()),
            succeeded: more(old.succeeded, new.succeeded),
            failed: more(old.failed, new.failed),
        }
    }

    /// The new status is stored.
    pub(super) fn count(&self) {
        if let Some((result, reason)) = &self.end {
            COUNTS.jobs.with(&[self.mode, result, reason]).inc();
        }
        for (result, pods) in [("succeeded", self.succeeded), ("failed", self.failed)] {
            if pods > 0 {
                COUNTS.pods.with(&[self.mode, result]).add(pods);
            }
        }
    }
}

fn end(status: &JobStatus) -> Option<(&'static str, String)> {
    status.conditions.iter().flatten().filter(|condition| condition.status == "True").find_map(|condition| {
        let reason = condition.reason.clone().unwrap_or_default();
        match condition.type_.as_str() {
            "Complete" => Some(("succeeded", reason)),
            "Failed" => Some(("failed", reason)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::JobCondition;

    use super::*;

    #[test]
    fn only_news_count() {
        let condition = |kind: &str, reason: &str| JobCondition {
            type_: kind.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            ..JobCondition::default()
        };
        let old = JobStatus { succeeded: Some(1), ..JobStatus::default() };
        let conditions = vec![condition("SuccessCriteriaMet", "x"), condition("Complete", "CompletionsReached")];
        let new = JobStatus { succeeded: Some(3), conditions: Some(conditions), ..JobStatus::default() };
        let end = Some(("succeeded", "CompletionsReached".to_owned()));
        assert_eq!(News::of(true, &old, &new), News { mode: "Indexed", end, succeeded: 2, failed: 0 });
        assert_eq!(News::of(false, &new, &new), News { mode: "NonIndexed", end: None, succeeded: 0, failed: 0 });
    }
}
