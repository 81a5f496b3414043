//! What a container finds: its environment, its files, their later versions; and probes that restart it.

use serde_json::{Value, json};

use crate::lifecycle::{pod, ready, shell};
use crate::machine::Machine;

fn message(pod: &Value) -> String {
    let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    state["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_finds_what_was_promised() {
    let machine = Machine::start().await;
    let api = machine.api.clone();
    let map = |text: &str| json!({"metadata": {"name": "map", "namespace": "default"}, "data": {"key": text}});
    let map_path = "/api/v1/namespaces/default/configmaps/map";
    api.put(map_path, map("first"));
    let script = "until grep -q second /map/key; do sleep 0.1; done
        { echo $GREETING; id -u; cat /all/name; cat /all/token; echo; cat /sub; echo; stat -f -c %T /memory; hostname; grep -c ndots:5 /etc/resolv.conf; grep -c web /etc/hosts; } > /dev/termination-log";
    let mut container = shell("main", script);
    container["env"] = json!([
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "key"}}},
        {"name": "GREETING", "value": "hello $(KEY)"}]);
    container["volumeMounts"] = json!([
        {"name": "map", "mountPath": "/map"}, {"name": "all", "mountPath": "/all"}, {"name": "memory", "mountPath": "/memory"},
        {"name": "map", "mountPath": "/sub", "subPath": "key"}]);
    container["resources"] = json!({"limits": {"memory": "64Mi", "cpu": "500m"}});
    let spec = json!({
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
        "containers": [container],
        "volumes": [
            {"name": "map", "configMap": {"name": "map"}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
            {"name": "all", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}],
    });
    let (path, object) = pod("web", spec);
    api.put(&path, object);
    api.until(&path, "ready", ready).await;
    api.put(map_path, map("second"));
    let ended = api.until(&path, "over", |pod| pod["status"]["phase"] == "Succeeded").await;
    let text = message(&ended);
    assert_eq!(text, "hello first\n1000\nweba-token\nfirst\ntmpfs\nweb\n1\n1\n");
    machine.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_liveness_probe_restarts_the_container() {
    let machine = Machine::start().await;
    let api = machine.api.clone();
    let mut container = shell("main", "touch /tmp/ok; sleep 1000");
    container["livenessProbe"] =
        json!({"exec": {"command": ["test", "-e", "/tmp/never"]}, "periodSeconds": 1, "failureThreshold": 1});
    let (path, object) = pod("sick", json!({"terminationGracePeriodSeconds": 1, "containers": [container]}));
    api.put(&path, object);
    api.until(&path, "restarted", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    let events = api.events().join("\n");
    for event in
        ["Unhealthy Liveness probe failed: ", "Killing Container main failed liveness probe, will be restarted"]
    {
        assert!(events.contains(event), "{event} is not in\n{events}");
    }
    api.delete(&path, 1);
    api.until(&path, "gone", Value::is_null).await;
    machine.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_config_map_holds_the_pod_until_it_is_there() {
    let machine = Machine::start().await;
    let api = machine.api.clone();
    let mut container = shell("main", "sleep 1000");
    container["env"] = json!([{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "key"}}}]);
    let (path, object) = pod("early", json!({"terminationGracePeriodSeconds": 1, "containers": [container]}));
    api.put(&path, object);
    let waits = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    };
    let found = api.until(&path, "waiting", waits).await;
    assert_eq!(found["status"]["containerStatuses"][0]["state"]["waiting"]["message"], "configmap \"late\" not found");
    let map = json!({"metadata": {"name": "late", "namespace": "default"}, "data": {"key": "x"}});
    api.put("/api/v1/namespaces/default/configmaps/late", map);
    api.until(&path, "ready", ready).await;
    machine.clean_up().await;
}
