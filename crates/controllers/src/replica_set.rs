//! ReplicaSet: as many pods of its template as it asks for.

use std::collections::HashMap;

use client::driver::{Controller, Watches};
use client::{Action, Change, Object, View, reference};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::replicas::{self, Counts, Set};
use crate::{owners, pods};

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "replicaset-controller", workers: 5, watches, plan };

fn watches(watch: &mut Watches<'_>) {
    watch.own::<ReplicaSet>();
    watch.owned::<Pod, ReplicaSet>();
    watch.on::<Pod>(orphans);
}

/// A pod that nobody manages may be wanted by any set that selects it.
fn orphans(change: &Change<Pod>, view: &View) -> Vec<String> {
    let pod = change.object();
    if pod.controller().is_some() || pod.is_deleted() {
        return Vec::new();
    }
    let sets = view.in_namespace::<ReplicaSet>(pod.namespace());
    let selecting = sets.iter().filter(|set| {
        set.spec.as_ref().is_some_and(|spec| owners::selector(&spec.selector).matches(&pod.metadata.labels))
    });
    selecting.map(|set| set.key()).collect()
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(replica_set) = view.get::<ReplicaSet>(key) else { return Vec::new() };
    let Some(spec) = &replica_set.spec else { return Vec::new() };
    let template = spec.template.clone().unwrap_or_default();
    let set = Set {
        owner: owners::controller_reference(&*replica_set),
        regarding: reference(&*replica_set),
        namespace: replica_set.namespace(),
        deleted: replica_set.is_deleted(),
        replicas: usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default(),
        min_ready_seconds: spec.min_ready_seconds.unwrap_or_default(),
        selector: owners::selector(&spec.selector),
        template: &template,
        doubled: doubled(&replica_set, view),
    };
    let planned = replicas::plan(&set, view);
    let mut actions = planned.writes;
    let counts = planned.counts;
    let status = |failure| status(&replica_set, &counts, failure, view);
    let healthy = status(None);
    actions.extend(with_failure(planned.pods, planned.failure_reason, &replica_set, counts, view));
    actions.extend(healthy);
    actions.extend(replicas::requeue(&counts));
    actions
}

/// When making or deleting pods fails, the status says so.
fn with_failure(
    pod_actions: Vec<Action>,
    reason: &'static str,
    replica_set: &ReplicaSet,
    counts: Counts,
    view: &View,
) -> Vec<Action> {
    let (replica_set, view) = (replica_set.clone(), view.clone());
    let steps = pod_actions.into_iter().map(|batch| {
        let (replica_set, view) = (replica_set.clone(), view.clone());
        batch.then(move |outcome| match outcome {
            Ok(_) => Vec::new(),
            Err(error) => status(&replica_set, &counts, Some((reason, error.to_string())), &view).into_iter().collect(),
        })
    });
    steps.collect()
}

/// How many active pods of the same owner's sets run on each node.
fn doubled(replica_set: &ReplicaSet, view: &View) -> HashMap<String, usize> {
    let related = match replica_set.controller() {
        Some(owner) => view.controlled_by::<ReplicaSet>(&owner.uid),
        None => view.get::<ReplicaSet>(&replica_set.key()).into_iter().collect(),
    };
    let mut doubled = HashMap::new();
    for pod in related.iter().flat_map(|set| view.controlled_by::<Pod>(set.uid())).filter(|pod| pods::is_active(pod)) {
        *doubled.entry(pods::node(&pod).to_owned()).or_default() += 1;
    }
    doubled
}

/// The write of the status, if it changes.
fn status(replica_set: &ReplicaSet, counts: &Counts, failure: Option<(&str, String)>, view: &View) -> Option<Action> {
    let old = replica_set.status.clone().unwrap_or_default();
    let known = old.conditions.clone().unwrap_or_default();
    let mut conditions: Vec<_> = known.iter().filter(|c| c.type_ != REPLICA_FAILURE).cloned().collect();
    if let Some((reason, message)) = failure {
        let before = known.into_iter().find(|condition| condition.type_ == REPLICA_FAILURE);
        conditions.push(before.unwrap_or_else(|| ReplicaSetCondition {
            type_: REPLICA_FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(view.now)),
        }));
    }
    let status = ReplicaSetStatus {
        replicas: counts.replicas,
        fully_labeled_replicas: Some(counts.fully_labeled),
        ready_replicas: Some(counts.ready),
        available_replicas: Some(counts.available),
        terminating_replicas: Some(counts.terminating),
        observed_generation: replica_set.metadata.generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
    };
    if same(&old, &status) {
        return None;
    }
    Some(Action::update_status(&ReplicaSet { status: Some(status), ..replica_set.clone() }))
}

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Absent counts are zero.
fn same(old: &ReplicaSetStatus, new: &ReplicaSetStatus) -> bool {
    let counts = |status: &ReplicaSetStatus| {
        [
            Some(status.replicas),
            status.fully_labeled_replicas,
            status.ready_replicas,
            status.available_replicas,
            status.terminating_replicas,
        ]
        .map(Option::unwrap_or_default)
    };
    counts(old) == counts(new)
        && old.observed_generation == new.observed_generation
        && old.conditions.as_deref().unwrap_or_default() == new.conditions.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::table;

    const SET: &str = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: a, uid: r1, generation: 1}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}
";

    fn pod(name: &str, rest: &str, ready: &str) -> String {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: a
  uid: {name}
  labels: {{app: web}}
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: r1, controller: true}}]
  {rest}
spec: {{nodeName: n1, containers: []}}
status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}', lastTransitionTime: '2026-01-01T00:00:00Z'}}]}}
"
        )
    }

    #[test]
    fn pods_are_made_and_deleted() {
        let (ready, unready) = (|name| pod(name, "", "True"), |name| pod(name, "", "False"));
        let orphan = ready("o").replace("uid: r1", "uid: r9").replace("controller: true", "controller: false");
        for (pods, expected) in [
            (
                String::new(),
                expect![[r#"
                    create Pod a/ {"metadata":{"generateName":"web-","labels":{"app":"web"},"namespace":"a","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"r1"}]},"spec":{"containers":[{"image":"i","name":"c"}]}} …
                    create Pod a/ {"metadata":{"generateName":"web-","labels":{"app":"web"},"namespace":"a","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"r1"}]},"spec":{"containers":[{"image":"i","name":"c"}]}} … …
                    update ReplicaSet/status a/web {"availableReplicas":0,"fullyLabeledReplicas":0,"observedGeneration":1,"readyReplicas":0,"replicas":0,"terminatingReplicas":0}
                "#]],
            ),
            (
                ready("x") + &unready("w") + &ready("z"),
                expect![[r#"
                delete Pod a/w … …
                update ReplicaSet/status a/web {"availableReplicas":2,"fullyLabeledReplicas":3,"observedGeneration":1,"readyReplicas":2,"replicas":3,"terminatingReplicas":0}
            "#]],
            ),
            (
                ready("x") + &pod("w", "deletionTimestamp: '2026-01-01T00:00:00Z'", "True"),
                expect![[r#"
                create Pod a/ {"metadata":{"generateName":"web-","labels":{"app":"web"},"namespace":"a","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"r1"}]},"spec":{"containers":[{"image":"i","name":"c"}]}} … …
                update ReplicaSet/status a/web {"availableReplicas":1,"fullyLabeledReplicas":1,"observedGeneration":1,"readyReplicas":1,"replicas":1,"terminatingReplicas":1}
            "#]],
            ),
            (
                ready("x") + &ready("w").replace("labels: {app: web}", "labels: {app: other}"),
                expect![[r#"
                patch Pod a/w {"metadata":{"ownerReferences":[{"$patch":"delete","uid":"r1"}],"uid":"w"}}
                create Pod a/ {"metadata":{"generateName":"web-","labels":{"app":"web"},"namespace":"a","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"r1"}]},"spec":{"containers":[{"image":"i","name":"c"}]}} … …
                update ReplicaSet/status a/web {"availableReplicas":1,"fullyLabeledReplicas":1,"observedGeneration":1,"readyReplicas":1,"replicas":1,"terminatingReplicas":0}
            "#]],
            ),
            (
                ready("x") + &orphan,
                expect![[r#"
                patch Pod a/o {"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"r1"}],"uid":"o"}}
                update ReplicaSet/status a/web {"availableReplicas":2,"fullyLabeledReplicas":2,"observedGeneration":1,"readyReplicas":2,"replicas":2,"terminatingReplicas":0}
            "#]],
            ),
        ] {
            expected.assert_eq(&table::plan(&CONTROLLER, "a/web", &(SET.to_owned() + &pods)));
        }
    }
}
