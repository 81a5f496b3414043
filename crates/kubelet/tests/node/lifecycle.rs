//! A pod's life: up, restarted, over, deleted; and the kubelet's own restart beside it.

use serde_json::{Value, json};

use crate::machine::{IMAGE, Machine, NODE};

pub fn pod(name: &str, spec: Value) -> (String, Value) {
    let mut object =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    object["spec"]["nodeName"] = json!(NODE);
    (format!("/api/v1/namespaces/default/pods/{name}"), object)
}

pub fn shell(name: &str, script: &str) -> Value {
    json!({"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]})
}

fn phase(pod: &Value, phase: &str) -> bool {
    pod["status"]["phase"] == phase
}

pub fn ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_lives_through_a_kubelets_restart_and_is_deleted() {
    let mut machine = Machine::start().await;
    let api = machine.api.clone();
    let spec = json!({
        "terminationGracePeriodSeconds": 2,
        "initContainers": [shell("init", "echo prepared > /data/file")],
        "containers": [shell("main", "cat /data/file; trap 'exit 0' TERM; while true; do sleep 0.1; done")],
        "volumes": [{"name": "data", "emptyDir": {}}],
    });
    let (path, mut object) = pod("web", spec);
    for list in ["initContainers", "containers"] {
        object["spec"][list][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    }
    api.put(&path, object);
    let running = api.until(&path, "ready", ready).await;
    assert_eq!(running["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(running["status"]["podIP"].as_str().unwrap().starts_with("10.213.47."), "{running}");
    let id = running["status"]["containerStatuses"][0]["containerID"].clone();

    machine.stop_kubelet().await;
    machine.start_kubelet().await;
    let (other, object) = pod("other", json!({"restartPolicy": "Never", "containers": [shell("main", "exit 3")]}));
    api.put(&other, object);
    let failed = api.until(&other, "failed", |pod| phase(pod, "Failed")).await;
    assert_eq!(failed["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    let after = api.get(&path).unwrap();
    assert_eq!(after["status"]["containerStatuses"][0]["containerID"], id);
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 0);

    api.delete(&path, 2);
    api.until(&path, "gone", Value::is_null).await;
    api.delete(&other, 0);
    api.until(&other, "gone", Value::is_null).await;
    let left: Vec<_> = std::fs::read_dir(machine.root().join("pods")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let events = api.events().join("\n");
    for event in ["Started Container started", "Created Container created", "Killing Stopping container main"] {
        assert!(events.contains(event), "{event} is not in\n{events}");
    }
    machine.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_containerd_leaves_is_taken_away() {
    let mut machine = Machine::start().await;
    let (path, object) = pod("orphan", json!({"containers": [shell("main", "while true; do sleep 0.1; done")]}));
    machine.api.put(&path, object);
    machine.api.until(&path, "ready", ready).await;
    machine.stop_kubelet().await;
    machine.kill_containerd();
    let socket = machine.dir.path().join("containerd/containerd.sock");
    assert_eq!(shims(&socket), 1, "the pod runs on without its containerd");
    let namespaces = network_namespaces();
    machine.clean_up().await;
    assert_eq!(shims(&socket), 0);
    assert_eq!(network_namespaces(), namespaces - 1);
}

fn network_namespaces() -> usize {
    let all = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().starts_with("cni-")).count()
}

/// How many shims report to a containerd.
fn shims(socket: &std::path::Path) -> usize {
    let socket = socket.to_string_lossy();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains("containerd-shim") && line.contains(&*socket)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashing_container_restarts_and_backs_off() {
    let machine = Machine::start().await;
    let api = machine.api.clone();
    let (path, object) = pod(
        "crash",
        json!({"terminationGracePeriodSeconds": 1, "containers": [shell("main", "echo bye > /dev/termination-log; exit 7")]}),
    );
    api.put(&path, object);
    let waiting =
        |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    let found = api.until(&path, "backing off", waiting).await;
    let status = &found["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], 1, "{status}");
    let last = &status["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["message"]), (&json!(7), &json!("bye\n")), "{status}");
    let message = status["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.starts_with("back-off 10s restarting failed container=main pod=crash_default("), "{message}");
    assert_eq!(found["status"]["phase"], "Running");
    machine.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_image_is_told() {
    let machine = Machine::start().await;
    let api = machine.api.clone();
    let container = json!({"name": "main", "image": "example.com/absent:1", "imagePullPolicy": "Never"});
    let (path, object) = pod("absent", json!({"containers": [container]}));
    api.put(&path, object);
    let reason =
        |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImageNeverPull";
    let found = api.until(&path, "ErrImageNeverPull", reason).await;
    assert_eq!(found["status"]["phase"], "Pending");
    machine.clean_up().await;
}
