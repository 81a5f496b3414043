//! Job: pods that run to completion, each counted exactly once.
//!
//! Invariant (KEP-2307): a pod that ended keeps its finalizer until the status names it, and is counted only after the
//! finalizer is gone; so no crash between two writes counts it twice or never.

mod failure;
mod indexes;
pub mod metrics;
mod pod;
mod status;

use std::sync::Arc;
use std::time::Duration;

use client::driver::{Controller, Watches};
use client::{Action, Object, Patch, View, reference};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use machinery::value;

use crate::{owners, pods};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "job-controller", workers: 5, watches, plan };

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// One plan makes or deletes at most so many pods.
const BURST: i32 = 500;

/// After a failure the next pod waits, twice as long each time.
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(10);
const MAX_BACKOFF: SignedDuration = SignedDuration::from_secs(600);

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Job>();
    watch.owned::<Pod, Job>();
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(job) = view.get::<Job>(key) else { return release(&abandoned(key, "", view)) };
    let Some(spec) = &job.spec else { return Vec::new() };
    if spec.managed_by.as_deref().is_some_and(|manager| manager != "kubernetes.io/job-controller") {
        return Vec::new();
    }
    let owner = owners::controller_reference(&*job);
    let selector = spec.selector.as_ref().map(owners::selector).unwrap_or_else(machinery::labels::Selector::nothing);
    let claimed = owners::claim(&owner, job.is_deleted(), &selector, view.in_namespace::<Pod>(job.namespace()));
    let mut actions = claimed.writes;
    actions.extend(release(&abandoned(key, job.uid(), view)));
    actions.extend(Work::new(&job, spec, view, claimed.owned).plan());
    actions
}

/// A job and its pods, as one plan sees them.
struct Work<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    view: &'a View,
    pods: Vec<Arc<Pod>>,
    status: JobStatus,
}

impl<'a> Work<'a> {
    fn new(job: &'a Job, spec: &'a JobSpec, view: &'a View, pods: Vec<Arc<Pod>>) -> Self {
        let status = job.status.clone().unwrap_or_default();
        Self { job, spec, view, pods, status }
    }

    fn plan(mut self) -> Vec<Action> {
        if self.is_finished() || self.job.is_deleted() {
            return release(&self.pods);
        }
        let mut events = self.suspend_or_resume();
        let counted = self.count();
        let verdict = self.verdict();
        if let Some((condition, reason, message)) = verdict {
            self.set_condition(condition, "True", reason, &message);
        }
        let pods = self.manage_pods();
        self.count_pods();
        events.extend(self.finish());
        let mut actions: Vec<Action> = self.write_status().into_iter().collect();
        actions.extend(release(&counted));
        actions.extend(pods);
        actions.extend(events);
        actions.extend(self.deadline_left().map(Action::Requeue));
        actions
    }

    fn active(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| pods::is_active(pod))
    }

    fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn is_suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn suspend_or_resume(&mut self) -> Vec<Action> {
        let event = |reason, message: &str| vec![Action::event(reference(self.job), "Normal", reason, message)];
        match (self.is_suspended(), self.truth("Suspended")) {
            (true, known) if known != Some("True") => {
                let events = event("Suspended", "Job suspended");
                self.set_condition("Suspended", "True", "JobSuspended", "Job suspended");
                self.status.start_time = None;
                events
            }
            (false, Some("True")) => {
                let events = event("Resumed", "Job resumed");
                self.set_condition("Suspended", "False", "JobResumed", "Job resumed");
                self.status.start_time = Some(self.now());
                events
            }
            (false, _) if self.status.start_time.is_none() => {
                self.status.start_time = Some(self.now());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Makes and deletes pods so that as many run as should.
    fn manage_pods(&self) -> Vec<Action> {
        let mut active: Vec<&Arc<Pod>> = self.active().collect();
        let running = crate::replicas::number(active.len());
        if self.is_deciding() {
            return self.delete(&active);
        }
        if self.is_suspended() {
            return self.take_back(&active);
        }
        let wanted = self.wanted();
        if running > wanted {
            active.sort_by_key(|pod| (pods::is_ready(pod), std::cmp::Reverse(pods::created(pod))));
            let surplus = usize::try_from((running - wanted).min(BURST)).unwrap_or_default();
            return self.take_back(&active[..surplus]);
        }
        let going = if self.replaces_failed_only() { self.terminating() } else { 0 };
        let missing = (wanted - running - going).min(BURST);
        if missing <= 0 {
            return Vec::new();
        }
        if let Some(wait) = self.backoff() {
            return vec![Action::Requeue(wait)];
        }
        self.create(missing)
    }

    /// How many pods should run.
    fn wanted(&self) -> i32 {
        let (parallelism, succeeded) = (self.spec.parallelism.unwrap_or(1), self.succeeded());
        match self.spec.completions {
            Some(completions) => parallelism.min(completions - succeeded),
            None if succeeded > 0 => crate::replicas::number(self.active().count()).min(parallelism),
            None => parallelism,
        }
    }

    fn replaces_failed_only(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
    }

    fn terminating(&self) -> i32 {
        let going = self.pods.iter().filter(|pod| pod.is_deleted() && !pods::is_terminal(pod));
        crate::replicas::number(going.count())
    }

    /// Deletes pods that did nothing wrong: let go of first, so that they do not count as failed.
    fn take_back(&self, pods: &[&Arc<Pod>]) -> Vec<Action> {
        let mut actions = release(&pods.iter().map(|pod| Arc::clone(pod)).collect::<Vec<_>>());
        actions.extend(self.delete(pods));
        actions
    }

    fn delete(&self, pods: &[&Arc<Pod>]) -> Vec<Action> {
        let deletions = pods.iter().map(|pod| {
            let (regarding, name) = (reference(self.job), pod.name().to_owned());
            Action::delete(&***pod).then(move |outcome| {
                vec![match outcome {
                    Ok(_) => Action::event(regarding, "Normal", "SuccessfulDelete", format!("Deleted pod: {name}")),
                    Err(error) => {
                        Action::event(regarding, "Warning", "FailedDelete", format!("Error deleting: {error}"))
                    }
                }]
            })
        });
        let deletions: Vec<Action> = deletions.collect();
        if deletions.is_empty() { Vec::new() } else { vec![Action::Batch(deletions)] }
    }

    /// How long the next pod has to wait because of failures in a row.
    fn backoff(&self) -> Option<Duration> {
        let ended = |pod: &Arc<Pod>| finished_at(pod).unwrap_or(self.view.now);
        let last_success = self.pods.iter().filter(|pod| pods::phase(pod) == "Succeeded").map(ended).max();
        let failed = self.pods.iter().filter(|pod| pods::phase(pod) == "Failed").map(ended);
        let failed: Vec<Timestamp> = failed.filter(|at| last_success.is_none_or(|success| *at > success)).collect();
        let last = failed.iter().max()?;
        let doublings = u32::try_from(failed.len() - 1).unwrap_or(u32::MAX).min(16);
        let wait = (FIRST_BACKOFF * 2i32.pow(doublings)).min(MAX_BACKOFF) - self.view.now.duration_since(*last);
        Duration::try_from(wait).ok().filter(|wait| !wait.is_zero())
    }

    /// How long until the job has run for too long.
    fn deadline_left(&self) -> Option<Duration> {
        if self.is_deciding() || self.is_suspended() {
            return None;
        }
        let left = self.deadline()?.duration_since(self.view.now);
        Duration::try_from(left).ok()
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.spec.active_deadline_seconds?;
        Some(self.status.start_time.as_ref()?.0 + SignedDuration::from_secs(seconds))
    }
}

/// Pods of a job of this name that is gone.
fn abandoned(key: &str, living: &str, view: &View) -> Vec<Arc<Pod>> {
    let (namespace, name) = client::split_key(key);
    let mut pods = view.in_namespace::<Pod>(namespace);
    pods.retain(|pod| {
        holds(pod) && pod.controller().is_some_and(|o| o.kind == "Job" && o.name == name && o.uid != living)
    });
    pods
}

/// Lets go of pods that are counted, or whose job is over.
fn release(pods: &[Arc<Pod>]) -> Vec<Action> {
    let held = pods.iter().filter(|pod| holds(pod));
    let released = held.map(|pod| {
        let kept = pod.metadata.finalizers.iter().flatten().map(String::as_str).filter(|f| *f != FINALIZER);
        let kept: Vec<&str> = kept.collect();
        let version = pod.resource_version();
        let patch = value!({"metadata": {"finalizers": kept, "resourceVersion": version}});
        Action::patch(&**pod, "", Patch::Merge(patch))
    });
    let released: Vec<Action> = released.collect();
    if released.is_empty() { Vec::new() } else { vec![Action::Batch(released)] }
}

fn holds(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// When the pod's last container ended.
fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pods::status(pod).container_statuses.iter().flatten();
    let ends = statuses.filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    ends.map(|time| time.0).max()
}

#[cfg(test)]
mod tests;
