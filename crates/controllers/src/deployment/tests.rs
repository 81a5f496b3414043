//! Tables of rollouts.

use expect_test::expect;

use super::CONTROLLER;
use crate::table;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a, uid: d1, generation: 1, annotations: {deployment.kubernetes.io/revision: '2'}}
status: {conditions: [{type: Progressing, status: 'True', reason: ReplicaSetUpdated, lastUpdateTime: '2026-01-01T00:09:00Z'}]}
spec:
  replicas: 4
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: web}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: v2}]}}
";

fn set(name: &str, image: &str, replicas: i32, available: i32, max: i32) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: {name}
  namespace: a
  uid: {name}
  generation: 1
  creationTimestamp: '2026-01-01T00:00:00Z'
  labels: {{app: web}}
  annotations:
    deployment.kubernetes.io/revision: '1'
    deployment.kubernetes.io/desired-replicas: '4'
    deployment.kubernetes.io/max-replicas: '{max}'
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d1, controller: true}}]
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}
status: {{replicas: {replicas}, readyReplicas: {available}, availableReplicas: {available}, observedGeneration: 1}}
"
    )
}

/// The set of the current template.
fn current(name: &str, replicas: i32, available: i32) -> String {
    set(name, "v2", replicas, available, 5).replace("revision: '1'", "revision: '2'")
}

/// The lines of a plan without the statuses, which are long.
fn plan(yaml: &str) -> String {
    let all = table::plan(&CONTROLLER, "a/web", yaml);
    let short = all.lines().filter(|line| !line.contains("/status")).map(|line| {
        let replicas = line.find("\"replicas\":").map(|at| line[at..].split([',', '}']).next().unwrap_or_default());
        match replicas {
            Some(replicas) => format!("{} {replicas}", line.split(" {").next().unwrap_or_default()),
            None => line.to_owned(),
        }
    });
    short.map(|line| line + "\n").collect()
}

#[test]
fn rollouts_step_by_step() {
    let old = |replicas, available| set("web-old", "v1", replicas, available, 5);
    let new = |replicas, available| current("web-new", replicas, available);
    for (state, expected) in [
        (
            String::new(),
            expect![[r#"
            create ReplicaSet a/ "replicas":4
        "#]],
        ),
        (
            old(4, 4),
            expect![[r#"
            create ReplicaSet a/ "replicas":1
        "#]],
        ),
        (
            new(1, 0) + &old(4, 4),
            expect![[r#"
                update ReplicaSet a/web-old "replicas":3
                event Normal ScalingReplicaSet: Scaled down replica set web-old from 4 to 3
                requeue after 601s
            "#]],
        ),
        (
            new(2, 0) + &old(3, 3),
            expect![[r#"
                requeue after 601s
            "#]],
        ),
        (
            new(2, 1) + &old(3, 3),
            expect![[r#"
                update ReplicaSet a/web-old "replicas":2
                event Normal ScalingReplicaSet: Scaled down replica set web-old from 3 to 2
                requeue after 601s
            "#]],
        ),
        (
            new(2, 2) + &old(3, 1),
            expect![[r#"
                update ReplicaSet a/web-old "replicas":1
                event Normal ScalingReplicaSet: Scaled down replica set web-old from 3 to 1
                requeue after 601s
            "#]],
        ),
        (new(4, 4) + &old(0, 0), expect![""]),
    ] {
        expected.assert_eq(&plan(&(DEPLOYMENT.to_owned() + &state)));
    }
}

#[test]
fn a_resize_in_the_middle_is_spread() {
    let state = current("web-new", 2, 1) + &set("web-old", "v1", 3, 3, 5);
    let larger = DEPLOYMENT.replace("replicas: 4", "replicas: 9");
    expect![[r#"
        update ReplicaSet a/web-old "replicas":7
        event Normal ScalingReplicaSet: Scaled up replica set web-old from 3 to 7
        update ReplicaSet a/web-new "replicas":5
        event Normal ScalingReplicaSet: Scaled up replica set web-new from 2 to 5
    "#]]
    .assert_eq(&plan(&(larger + &state)));
}

#[test]
fn recreate_waits_for_the_last_pod() {
    let recreate = DEPLOYMENT
        .replace("{type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}", "{type: Recreate}");
    let pod = "---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: a, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-old, uid: web-old, controller: true}]}
status: {phase: Running}
";
    for (state, expected) in [
        (
            set("web-old", "v1", 4, 4, 4),
            expect![[r#"
            update ReplicaSet a/web-old "replicas":0
            event Normal ScalingReplicaSet: Scaled down replica set web-old from 4 to 0
            requeue after 601s
        "#]],
        ),
        (
            set("web-old", "v1", 0, 0, 4) + pod,
            expect![[r#"
            requeue after 541s
        "#]],
        ),
        (
            set("web-old", "v1", 0, 0, 4),
            expect![[r#"
            create ReplicaSet a/ "replicas":4
        "#]],
        ),
    ] {
        expected.assert_eq(&plan(&(recreate.clone() + &state)));
    }
}

#[test]
fn the_status_tells_of_progress() {
    let done = DEPLOYMENT.to_owned() + &current("web-new", 4, 4) + &set("web-old", "v1", 0, 0, 5);
    expect![[r#"
        update Deployment/status a/web {"availableReplicas":4,"conditions":[{"lastTransitionTime":"2026-01-01T00:10:00Z","lastUpdateTime":"2026-01-01T00:10:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"lastUpdateTime":"2026-01-01T00:10:00Z","message":"ReplicaSet \"web-new\" has successfully progressed.","reason":"NewReplicaSetAvailable","status":"True","type":"Progressing"}],"observedGeneration":1,"readyReplicas":4,"replicas":4,"terminatingReplicas":0,"unavailableReplicas":0,"updatedReplicas":4}
    "#]].assert_eq(&table::plan(&CONTROLLER, "a/web", &done));
}
