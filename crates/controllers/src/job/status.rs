//! A job's status: counting ended pods once, and the conditions that end a job.

use std::collections::HashSet;
use std::sync::Arc;

use client::{Action, Object, reference};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::metrics::News;
use super::{Work, holds, indexes};
use crate::{pods, replicas};

impl Work<'_> {
    pub(super) fn now(&self) -> Time {
        Time(self.view.now)
    }

    pub(super) fn truth(&self, condition_type: &str) -> Option<&str> {
        let conditions = self.status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|condition| condition.type_ == condition_type).map(|condition| &*condition.status)
    }

    pub(super) fn is_finished(&self) -> bool {
        ["Complete", "Failed"].iter().any(|end| self.truth(end) == Some("True"))
    }

    /// The end is known; only its pods have to stop.
    pub(super) fn is_deciding(&self) -> bool {
        ["SuccessCriteriaMet", "FailureTarget"].iter().any(|end| self.truth(end) == Some("True"))
    }

    pub(super) fn set_condition(&mut self, condition_type: &str, truth: &str, reason: &str, message: &str) {
        let condition = JobCondition {
            type_: condition_type.to_owned(),
            status: truth.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_probe_time: Some(self.now()),
            last_transition_time: Some(self.now()),
        };
        let conditions = self.status.conditions.get_or_insert_default();
        conditions.retain(|known| known.type_ != condition_type);
        conditions.push(condition);
    }

    /// Counts pods that were let go, and names those that ended since; gives all that are named, to let them go.
    pub(super) fn count(&mut self) -> Vec<Arc<Pod>> {
        let held: HashSet<&str> = self.pods.iter().filter(|pod| holds(pod)).map(|pod| pod.uid()).collect();
        let mut uncounted = self.status.uncounted_terminated_pods.take().unwrap_or_default();
        let succeeded = settle(&mut uncounted.succeeded, &held);
        let failed = settle(&mut uncounted.failed, &held);
        if !self.is_indexed() {
            *self.status.succeeded.get_or_insert_default() += succeeded;
        }
        *self.status.failed.get_or_insert_default() += failed;
        let mut named = Vec::new();
        for pod in self.pods.clone().into_iter().filter(|pod| holds(pod)) {
            let list = match pods::phase(&pod) {
                "Succeeded" => &mut uncounted.succeeded,
                "Failed" => &mut uncounted.failed,
                // A pod that was deleted while it ran counts as failed unless only failed pods are replaced.
                _ if pod.is_deleted() && !self.replaces_failed_only() => &mut uncounted.failed,
                _ => continue,
            };
            let list = list.get_or_insert_default();
            if pods::phase(&pod) == "Failed" && self.is_ignored(&pod) {
                named.push(pod);
                continue;
            }
            if !list.iter().any(|uid| uid == pod.uid()) {
                list.push(pod.uid().to_owned());
            }
            named.push(pod);
        }
        if self.is_indexed() {
            self.count_indexes();
        }
        self.status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
            succeeded: uncounted.succeeded.filter(|list| !list.is_empty()),
            failed: uncounted.failed.filter(|list| !list.is_empty()),
        });
        named
    }

    fn count_indexes(&mut self) {
        let mut done = indexes::parse(self.status.completed_indexes.as_deref().unwrap_or_default());
        let succeeded = self.pods.iter().filter(|pod| pods::phase(pod) == "Succeeded");
        done.extend(succeeded.filter_map(|pod| indexes::of_pod(pod)));
        done.retain(|index| *index < self.spec.completions.unwrap_or_default());
        self.status.succeeded = Some(replicas::number(done.len()));
        self.status.completed_indexes = Some(indexes::format(&done)).filter(|text| !text.is_empty());
    }

    fn uncounted(&self) -> (i32, i32) {
        let uncounted = self.status.uncounted_terminated_pods.as_ref();
        let length = |list: Option<&Vec<String>>| replicas::number(list.map_or(0, Vec::len));
        (
            length(uncounted.and_then(|uncounted| uncounted.succeeded.as_ref())),
            length(uncounted.and_then(|uncounted| uncounted.failed.as_ref())),
        )
    }

    pub(super) fn succeeded(&self) -> i32 {
        let counted = self.status.succeeded.unwrap_or_default();
        if self.is_indexed() { counted } else { counted + self.uncounted().0 }
    }

    pub(super) fn failed(&self) -> i32 {
        self.status.failed.unwrap_or_default() + self.uncounted().1
    }

    /// What the pods that are not over look like.
    pub(super) fn count_pods(&mut self) {
        let (active, ready) =
            self.active().fold((0, 0), |(all, ready), pod| (all + 1, ready + i32::from(pods::is_ready(pod))));
        let stops = self.is_deciding() || self.is_suspended();
        self.status.active = Some(if stops { 0 } else { active }).filter(|active| *active != 0);
        self.status.ready = Some(if stops { 0 } else { ready });
        self.status.terminating = Some(self.terminating() + if stops { active } else { 0 });
    }

    /// Ends a job whose end is known once all its pods have stopped and are counted.
    pub(super) fn finish(&mut self) -> Vec<Action> {
        let quiet = self.active().next().is_none() && self.terminating() == 0 && self.uncounted() == (0, 0);
        let conditions = self.status.conditions.clone().unwrap_or_default();
        let known =
            |end: &str| conditions.iter().find(|condition| condition.type_ == end && condition.status == "True");
        let (end, decided) = match (known("FailureTarget"), known("SuccessCriteriaMet")) {
            (Some(failure), _) if quiet => ("Failed", failure),
            (None, Some(success)) if quiet => ("Complete", success),
            _ => return Vec::new(),
        };
        let (reason, message) =
            (decided.reason.clone().unwrap_or_default(), decided.message.clone().unwrap_or_default());
        self.set_condition(end, "True", &reason, &message);
        if end == "Complete" {
            self.status.completion_time = Some(self.now());
            return vec![Action::event(reference(self.job), "Normal", "Completed", "Job completed")];
        }
        vec![Action::event(reference(self.job), "Warning", &reason, message)]
    }

    pub(super) fn write_status(&self) -> Option<Action> {
        let plain = |status: &JobStatus| JobStatus {
            active: status.active.filter(|count| *count != 0),
            succeeded: status.succeeded.filter(|count| *count != 0),
            failed: status.failed.filter(|count| *count != 0),
            uncounted_terminated_pods: status
                .uncounted_terminated_pods
                .clone()
                .or_else(|| Some(UncountedTerminatedPods::default())),
            ..status.clone()
        };
        let (new, old) = (plain(&self.status), self.job.status.clone().unwrap_or_default());
        if new == plain(&old) {
            return None;
        }
        let news = News::of(self.is_indexed(), &old, &new);
        let write = Action::update_status(&Job { status: Some(new), ..self.job.clone() });
        Some(write.then(move |outcome| {
            if outcome.is_ok() {
                news.count();
            }
            Vec::new()
        }))
    }
}

/// Takes out of `list` the pods that are not held any more; gives how many.
fn settle(list: &mut Option<Vec<String>>, held: &HashSet<&str>) -> i32 {
    let Some(uids) = list else { return 0 };
    let before = uids.len();
    uids.retain(|uid| held.contains(uid.as_str()));
    replicas::number(before - uids.len())
}
