//! ReplicationController: the ReplicaSet of old, with a plain selector.

use std::collections::HashMap;

use client::driver::{Controller, Watches};
use client::{Action, Object, View, reference};
use k8s_openapi::api::core::v1::{
    Pod, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use machinery::labels::Selector;

use crate::owners;
use crate::replicas::{self, Counts, Set};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "replicationcontroller-controller", workers: 5, watches, plan };

const REPLICA_FAILURE: &str = "ReplicaFailure";

fn watches(watch: &mut Watches<'_>) {
    watch.own::<ReplicationController>();
    watch.owned::<Pod, ReplicationController>();
    watch.on::<Pod>(|change, view| {
        let pod = change.object();
        if pod.controller().is_some() || pod.is_deleted() {
            return Vec::new();
        }
        let all = view.in_namespace::<ReplicationController>(pod.namespace());
        let selecting = all.iter().filter(|controller| selector(controller).matches(&pod.metadata.labels));
        selecting.map(|controller| controller.key()).collect()
    });
}

fn selector(controller: &ReplicationController) -> Selector {
    let labels = controller.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|labels| !labels.is_empty());
    let Some(labels) = labels else { return Selector::nothing() };
    let pairs = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Selector::from_map(pairs).unwrap_or_else(|_| Selector::nothing())
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(controller) = view.get::<ReplicationController>(key) else { return Vec::new() };
    let Some(spec) = &controller.spec else { return Vec::new() };
    let template = spec.template.clone().unwrap_or_default();
    let set = Set {
        owner: owners::controller_reference(&*controller),
        regarding: reference(&*controller),
        namespace: controller.namespace(),
        deleted: controller.is_deleted(),
        replicas: usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default(),
        min_ready_seconds: spec.min_ready_seconds.unwrap_or_default(),
        selector: selector(&controller),
        template: &template,
        doubled: HashMap::new(),
    };
    let planned = replicas::plan(&set, view);
    let (counts, reason) = (planned.counts, planned.failure_reason);
    let mut actions = planned.writes;
    for batch in planned.pods {
        let (controller, view) = (controller.clone(), view.clone());
        actions.push(batch.then(move |outcome| match outcome {
            Ok(_) => Vec::new(),
            Err(error) => status(&controller, &counts, Some((reason, error.to_string())), &view).into_iter().collect(),
        }));
    }
    actions.extend(status(&controller, &counts, None, view));
    actions.extend(replicas::requeue(&counts));
    actions
}

fn status(
    controller: &ReplicationController,
    counts: &Counts,
    failure: Option<(&str, String)>,
    view: &View,
) -> Option<Action> {
    let old = controller.status.clone().unwrap_or_default();
    let known = old.conditions.clone().unwrap_or_default();
    let (failed, mut conditions): (Vec<_>, Vec<_>) = known.into_iter().partition(|c| c.type_ == REPLICA_FAILURE);
    if let Some((reason, message)) = failure {
        conditions.push(failed.into_iter().next().unwrap_or_else(|| ReplicationControllerCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(view.now)),
        }));
    }
    let number = |count: i32| Some(count).filter(|count| *count != 0);
    let status = ReplicationControllerStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: number(counts.fully_labeled),
        ready_replicas: number(counts.ready),
        available_replicas: number(counts.available),
        observed_generation: controller.metadata.generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
    };
    if old == status {
        return None;
    }
    Some(Action::update_status(&ReplicationController { status: Some(status), ..controller.clone() }))
}
