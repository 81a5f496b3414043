//! TTL after finished: a job that is over goes when its time to live has passed.

use std::time::Duration;

use client::driver::{Controller, Watches};
use client::{Action, Object, View};
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "ttl-after-finished-controller", workers: 1, watches, plan };

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Job>();
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(job) = view.get::<Job>(key).filter(|job| !job.is_deleted()) else { return Vec::new() };
    let Some(ttl) = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished) else { return Vec::new() };
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ends = conditions.filter(|c| matches!(&*c.type_, "Complete" | "Failed") && c.status == "True");
    let Some(end) = ends.find_map(|condition| condition.last_transition_time.as_ref()) else { return Vec::new() };
    let left = SignedDuration::from_secs(ttl.into()) - view.now.duration_since(end.0);
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => vec![Action::Requeue(left)],
        _ => {
            let propagation_policy = Some("Foreground".to_owned());
            vec![Action::delete_with(&*job, DeleteOptions { propagation_policy, ..DeleteOptions::default() })]
        }
    }
}
