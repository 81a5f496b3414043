//! What the steps apply, beside the example.

use crate::kubectl::DRILL;

/// The namespace of the tests' own objects.
pub fn namespace() -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {DRILL}\n")
}

/// A busybox pod that runs `script` once; what it writes to `/dev/termination-log` shows in its status.
pub fn job_pod(name: &str, script: &str) -> String {
    pod(name, "Never", script)
}

/// A busybox pod that runs `script` and is restarted when it ends.
pub fn long_pod(name: &str, script: &str) -> String {
    pod(name, "Always", script)
}

fn pod(name: &str, restart: &str, script: &str) -> String {
    let script = serde_json::Value::from(script);
    format!(
        r"
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: {DRILL}
  labels: {{app: {name}}}
spec:
  restartPolicy: {restart}
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox:1.35
    command: [sh, -c, {script}]
"
    )
}

/// A deployment of two busybox pods that end at once when they are told to.
pub fn deployment(name: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  namespace: {DRILL}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox:1.35
        command: [sh, -c, "trap 'exit 0' TERM; while true; do sleep 1; done"]
"#
    )
}

/// A config map with one key.
pub fn config_map(name: &str, key: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {DRILL}\ndata:\n  {key}: {value}\n"
    )
}
