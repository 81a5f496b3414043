//! Tables of jobs.

use expect_test::expect;

use super::CONTROLLER;
use crate::table;

const JOB: &str = "
apiVersion: batch/v1
kind: Job
metadata: {name: sum, namespace: a, uid: j1}
spec:
  completions: 2
  parallelism: 1
  backoffLimit: 1
  selector: {matchLabels: {job: sum}}
  template: {metadata: {labels: {job: sum}}, spec: {restartPolicy: Never, containers: [{name: c}]}}
status: {startTime: '2026-01-01T00:00:00Z', ready: 0, terminating: 0, uncountedTerminatedPods: {}}
";

fn pod(name: &str, phase: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: a
  uid: {name}
  labels: {{job: sum}}
  finalizers: [batch.kubernetes.io/job-tracking]
  ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: sum, uid: j1, controller: true}}]
spec: {{containers: []}}
status: {{phase: {phase}, containerStatuses: [{{name: c, image: i, imageID: i, ready: false, restartCount: 0, state: {{terminated: {{exitCode: 3, finishedAt: '2026-01-01T00:05:00Z'}}}}}}]}}
"
    )
}

#[test]
fn pods_are_made_counted_and_let_go() {
    let policy =
        "podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [3]}}]}\n  selector:";
    let cases = [
        (
            JOB.to_owned(),
            expect![[r#"
            create Pod a/ {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"},"namespace":"a","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"sum","uid":"j1"}]},"spec":{"containers":[{"name":"c"}],"restartPolicy":"Never"}} …
        "#]],
        ),
        (
            JOB.to_owned() + &pod("p1", "Succeeded"),
            expect![[r#"
                update Job/status a/sum {"ready":0,"startTime":"2026-01-01T00:00:00Z","terminating":0,"uncountedTerminatedPods":{"succeeded":["p1"]}} …
                patch Pod a/p1 {"metadata":{"finalizers":[],"resourceVersion":""}}
                create Pod a/ {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-","labels":{"job":"sum"},"namespace":"a","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"sum","uid":"j1"}]},"spec":{"containers":[{"name":"c"}],"restartPolicy":"Never"}} …
            "#]],
        ),
        (
            JOB.replace("uncountedTerminatedPods: {}", "uncountedTerminatedPods: {succeeded: [p1]}, succeeded: 1"),
            expect![[r#"
                update Job/status a/sum {"completionTime":"2026-01-01T00:10:00Z","conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Reached expected number of successful pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"},{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Reached expected number of successful pods","reason":"CompletionsReached","status":"True","type":"Complete"}],"ready":0,"startTime":"2026-01-01T00:00:00Z","succeeded":2,"terminating":0,"uncountedTerminatedPods":{}} …
                event Normal Completed: Job completed
            "#]],
        ),
        (
            JOB.to_owned() + &pod("p1", "Failed") + &pod("p2", "Failed"),
            expect![[r#"
                update Job/status a/sum {"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}],"ready":0,"startTime":"2026-01-01T00:00:00Z","terminating":0,"uncountedTerminatedPods":{"failed":["p1","p2"]}} …
                patch Pod a/p1 {"metadata":{"finalizers":[],"resourceVersion":""}}
                patch Pod a/p2 {"metadata":{"finalizers":[],"resourceVersion":""}}
            "#]],
        ),
        (
            JOB.replace("selector:", policy) + &pod("p1", "Failed") + &pod("p2", "Running"),
            expect![[r#"
                update Job/status a/sum {"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Container c for pod a/p1 failed with exit code 3 matching FailJob rule at index 0","reason":"PodFailurePolicy","status":"True","type":"FailureTarget"}],"ready":0,"startTime":"2026-01-01T00:00:00Z","terminating":1,"uncountedTerminatedPods":{"failed":["p1"]}} …
                patch Pod a/p1 {"metadata":{"finalizers":[],"resourceVersion":""}}
                delete Pod a/p2 …
            "#]],
        ),
        (
            JOB.replace("completions: 2", "completions: 2\n  completionMode: Indexed"),
            expect![[r#"
            create Pod a/ {"metadata":{"annotations":{"batch.kubernetes.io/job-completion-index":"0"},"finalizers":["batch.kubernetes.io/job-tracking"],"generateName":"sum-0-","labels":{"batch.kubernetes.io/job-completion-index":"0","job":"sum"},"namespace":"a","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"sum","uid":"j1"}]},"spec":{"containers":[{"env":[{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['batch.kubernetes.io/job-completion-index']"}}}],"name":"c"}],"hostname":"sum-0","restartPolicy":"Never"}} …
        "#]],
        ),
        (
            JOB.replace("completions: 2", "completions: 2\n  suspend: true") + &pod("p2", "Running"),
            expect![[r#"
                update Job/status a/sum {"conditions":[{"lastProbeTime":"2026-01-01T00:10:00Z","lastTransitionTime":"2026-01-01T00:10:00Z","message":"Job suspended","reason":"JobSuspended","status":"True","type":"Suspended"}],"ready":0,"terminating":1,"uncountedTerminatedPods":{}} …
                patch Pod a/p2 {"metadata":{"finalizers":[],"resourceVersion":""}}
                delete Pod a/p2 …
                event Normal Suspended: Job suspended
            "#]],
        ),
    ];
    for (yaml, expected) in cases {
        expected.assert_eq(&table::plan(&CONTROLLER, "a/sum", &yaml));
    }
}
