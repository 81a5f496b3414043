//! The objects that are written.

use serde_json::{Value, json};

/// A pod as `kubectl run` makes it.
pub fn small_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"run": "bench"}},
        "spec": {"containers": [{"name": "main", "image": "docker.io/library/busybox:1.35", "command": ["sleep", "3600"]}]},
    })
}

/// A pod with about as much in it as an application's has.
pub fn large_pod(name: &str) -> Value {
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 5, "failureThreshold": 6});
    let container = |name: &str| {
        let env: Vec<Value> = (0..6)
            .map(|n| json!({"name": format!("APPLICATION_SETTING_{n}"), "value": format!("the value of setting {n}")}))
            .collect();
        json!({
            "name": name, "image": format!("registry.example/team/{name}:v1.24.3"), "args": ["--listen=:8080", "--verbose=2"],
            "ports": [{"name": "http", "containerPort": 8080}], "env": env,
            "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": probe("/ready"), "livenessProbe": probe("/healthy"),
            "volumeMounts": [{"name": "configuration", "mountPath": "/etc/application"}],
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": "application", "app.kubernetes.io/instance": "bench", "app.kubernetes.io/part-of": "measurements"},
            "annotations": {"example.com/revision": "3f786850e387550fdab836ed7e6dc881de23001b"},
        },
        "spec": {
            "containers": [container("application"), container("companion")],
            "volumes": [{"name": "configuration", "emptyDir": {}}],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "terminationGracePeriodSeconds": 30,
        },
    })
}
