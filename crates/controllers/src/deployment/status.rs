//! The status of a deployment: counts, and the conditions Available, Progressing and ReplicaFailure.

use std::time::Duration;

use client::{Action, Object, View};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Rollout, actual, available, size};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

impl Rollout<'_> {
    /// How long a rollout may stand still; `i32::MAX` means for ever.
    pub(super) fn deadline(&self) -> Option<i32> {
        self.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
    }

    /// The write of the counts, if they change.
    pub(super) fn sync_status(&self) -> Vec<Action> {
        self.write(self.counted())
    }

    /// The write of counts and progress, if they change; else when to look again.
    pub(super) fn sync_rollout_status(&self) -> Vec<Action> {
        let mut status = self.counted();
        match self.deadline() {
            None => remove(&mut status, PROGRESSING),
            Some(_) => self.judge_progress(&mut status),
        }
        match self.failure() {
            Some(failure) => set(&mut status, failure),
            None => remove(&mut status, REPLICA_FAILURE),
        }
        let requeue = self.check_again(&status);
        let mut actions = self.write(status);
        actions.extend(requeue);
        actions
    }

    /// Notes that the deployment was paused or goes on, if that is news.
    pub(super) fn pause_condition(&self) -> Option<Action> {
        self.deadline()?;
        let known = self.deployment.status.as_ref().and_then(|status| find(status, PROGRESSING));
        let reason = known.and_then(|condition| condition.reason.as_deref()).unwrap_or_default();
        let was_paused = reason == "DeploymentPaused";
        match (self.spec.paused == Some(true), was_paused) {
            (true, false) if reason != TIMED_OUT => {
                Some(progressing(self.deployment, self.view, "Unknown", "DeploymentPaused", "Deployment is paused"))
            }
            (false, true) => {
                Some(progressing(self.deployment, self.view, "Unknown", "DeploymentResumed", "Deployment is resumed"))
            }
            _ => None,
        }
    }

    /// The note that a set of the current template was there already, if progress is not known at all.
    pub(super) fn found(&self, new: &ReplicaSet) -> Option<Action> {
        self.deadline()?;
        if self.deployment.status.as_ref().and_then(|status| find(status, PROGRESSING)).is_some() {
            return None;
        }
        let message = format!("Found new replica set {:?}", new.name());
        Some(progressing(self.deployment, self.view, "True", "FoundNewReplicaSet", &message))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.completes(&self.deployment.status.clone().unwrap_or_default())
    }

    fn completes(&self, status: &DeploymentStatus) -> bool {
        let wanted = self.replicas();
        let all = [status.updated_replicas, status.replicas, status.available_replicas];
        all.into_iter().all(|count| count.unwrap_or_default() == wanted)
            && status.observed_generation >= self.deployment.metadata.generation
    }

    fn counted(&self) -> DeploymentStatus {
        let old = self.deployment.status.clone().unwrap_or_default();
        let total = |count: fn(&ReplicaSet) -> i32| Some(self.sets().map(count).sum::<i32>());
        let mut status = DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: total(actual),
            updated_replicas: Some(self.new.as_ref().map_or(0, actual)),
            ready_replicas: total(|set| set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or_default()),
            available_replicas: total(available),
            unavailable_replicas: Some((self.total() - self.available()).max(0)),
            terminating_replicas: total(|s| s.status.as_ref().and_then(|s| s.terminating_replicas).unwrap_or_default()),
            collision_count: old.collision_count,
            conditions: old.conditions,
        };
        let enough = self.available() >= self.replicas() - self.max_unavailable();
        let (truth, reason, message) = if enough {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set(&mut status, condition(self.view, AVAILABLE, truth, reason, message));
        status
    }

    fn judge_progress(&self, status: &mut DeploymentStatus) {
        let before = self.deployment.status.clone().unwrap_or_default();
        let known = find(&before, PROGRESSING).cloned();
        let done = known.as_ref().is_some_and(|known| known.reason.as_deref() == Some(NEW_SET_AVAILABLE));
        if done && status.replicas == status.updated_replicas {
            return;
        }
        let subject = match &self.new {
            Some(new) => format!("ReplicaSet {:?}", new.name()),
            None => format!("Deployment {:?}", self.deployment.name()),
        };
        if self.completes(status) {
            let message = format!("{subject} has successfully progressed.");
            set(status, condition(self.view, PROGRESSING, "True", NEW_SET_AVAILABLE, &message));
        } else if progresses(&before, status) {
            let message = format!("{subject} is progressing.");
            let mut progress = condition(self.view, PROGRESSING, "True", "ReplicaSetUpdated", &message);
            if let Some(known) = known.filter(|known| known.status == "True") {
                progress.last_transition_time = known.last_transition_time;
            }
            remove(status, PROGRESSING);
            set(status, progress);
        } else if self.timed_out(known.as_ref()) {
            let message = format!("{subject} has timed out progressing.");
            set(status, condition(self.view, PROGRESSING, "False", TIMED_OUT, &message));
        }
    }

    fn timed_out(&self, known: Option<&DeploymentCondition>) -> bool {
        let Some(known) = known else { return false };
        match known.reason.as_deref() {
            Some(NEW_SET_AVAILABLE) => false,
            Some(TIMED_OUT) => true,
            _ => self.time_left(known).is_some_and(|left| left.is_negative()),
        }
    }

    fn time_left(&self, known: &DeploymentCondition) -> Option<SignedDuration> {
        let from = known.last_update_time.as_ref()?.0;
        Some(SignedDuration::from_secs(self.deadline()?.into()) - self.view.now.duration_since(from))
    }

    /// A stuck rollout is looked at again when its deadline has passed.
    fn check_again(&self, status: &DeploymentStatus) -> Option<Action> {
        let known = find(status, PROGRESSING)?;
        if self.completes(status) || matches!(known.reason.as_deref(), Some(TIMED_OUT | NEW_SET_AVAILABLE)) {
            return None;
        }
        let left = Duration::try_from(self.time_left(known)?).unwrap_or_default();
        Some(Action::Requeue(left + Duration::from_secs(1)))
    }

    /// What keeps the sets from making pods; the current set's reason counts first.
    fn failure(&self) -> Option<DeploymentCondition> {
        let sets = self.new.iter().chain(self.old.iter().filter(|set| size(set) > 0));
        let conditions = sets.filter_map(|set| set.status.as_ref()?.conditions.as_ref()).flatten();
        let failure = conditions.into_iter().find(|c| c.type_ == REPLICA_FAILURE && c.status == "True")?;
        Some(DeploymentCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: failure.status.clone(),
            reason: failure.reason.clone(),
            message: failure.message.clone(),
            last_transition_time: failure.last_transition_time.clone(),
            last_update_time: failure.last_transition_time.clone(),
        })
    }

    fn write(&self, status: DeploymentStatus) -> Vec<Action> {
        let old = self.deployment.status.clone().unwrap_or_default();
        if same(&old, &status) {
            return Vec::new();
        }
        vec![Action::update_status(&Deployment { status: Some(status), ..self.deployment.clone() })]
    }
}

/// Absent counts are zero.
fn same(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let counts = |s: &DeploymentStatus| {
        [
            s.replicas,
            s.updated_replicas,
            s.ready_replicas,
            s.available_replicas,
            s.unavailable_replicas,
            s.terminating_replicas,
        ]
        .map(Option::unwrap_or_default)
    };
    counts(old) == counts(new)
        && old.observed_generation == new.observed_generation
        && old.conditions.as_deref().unwrap_or_default() == new.conditions.as_deref().unwrap_or_default()
}

fn progresses(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let count = |field: Option<i32>| field.unwrap_or_default();
    let old = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(after.updated_replicas) > count(before.updated_replicas)
        || old(after) < old(before)
        || count(after.ready_replicas) > count(before.ready_replicas)
        || count(after.available_replicas) > count(before.available_replicas)
}

/// The write of the condition Progressing alone.
pub(super) fn progressing(deployment: &Deployment, view: &View, truth: &str, reason: &str, message: &str) -> Action {
    let mut deployment = deployment.clone();
    let status = deployment.status.get_or_insert_default();
    set(status, condition(view, PROGRESSING, truth, reason, message));
    Action::update_status(&deployment)
}

fn condition(view: &View, condition_type: &str, truth: &str, reason: &str, message: &str) -> DeploymentCondition {
    DeploymentCondition {
        type_: condition_type.to_owned(),
        status: truth.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(Time(view.now)),
        last_update_time: Some(Time(view.now)),
    }
}

fn find<'a>(status: &'a DeploymentStatus, condition_type: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == condition_type)
}

fn remove(status: &mut DeploymentStatus, condition_type: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != condition_type);
    }
}

/// Sets a condition; one that says the same already stays as it is.
fn set(status: &mut DeploymentStatus, mut new: DeploymentCondition) {
    if let Some(known) = find(status, &new.type_) {
        if known.status == new.status && known.reason == new.reason {
            return;
        }
        if known.status == new.status {
            new.last_transition_time.clone_from(&known.last_transition_time);
        }
    }
    remove(status, &new.type_);
    status.conditions.get_or_insert_default().push(new);
}
