//! How many pods a second are decided in a cluster of 5,000 nodes, without an API server: plain ones, ones that stay
//! away from their like (upstream's `SchedulingPodAntiAffinity`), and ones that are spread over zones.

use std::sync::Arc;

use base::{Clock, Random};
use k8s_openapi::api::core::v1::{Node, Pod};
use scheduler::config::{Profile, Settings};
use scheduler::cycle::{Verdict, schedule};
use scheduler::metrics::Metrics;
use scheduler::pod::PodInfo;
use scheduler::queue::Queue;
use scheduler::snapshot::Snapshot;
use serde_json::{Value, json};

const NODES: usize = 5_000;
const ZONES: usize = 10;

fn main() {
    let anti_affinity = |i: usize| {
        json!({"containers": containers(), "affinity": {"podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"color": color(i)}}}]}}})
    };
    let spread = |i: usize| {
        json!({"containers": containers(), "topologySpreadConstraints": [{"maxSkew": 5,
            "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"color": color(i)}}}]})
    };
    measure("plain pods", 20_000, |_| json!({"containers": containers()}), |_| "green".to_owned());
    measure("pod anti-affinity, one kind", 4_000, |_| anti_affinity(0), |_| color(0));
    measure("pod anti-affinity, 100 kinds", 10_000, anti_affinity, color);
    measure("topology spread, 100 kinds", 5_000, spread, color);
}

fn color(i: usize) -> String {
    format!("c{}", i % 100)
}

fn containers() -> Value {
    json!([{"name": "c", "image": "pause", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}}])
}

fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for i in 0..NODES {
        let name = format!("node-{i:05}");
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("z{}", i % ZONES)});
        let room = json!({"cpu": "4", "memory": "32Gi", "pods": "110"});
        let node = json!({"metadata": {"name": name, "labels": labels}, "status": {"allocatable": room}});
        let node: Node = serde_json::from_value(node).expect("the node is well-formed");
        snapshot.set_node(Arc::new(node));
    }
    snapshot
}

/// From pods that wait to a snapshot in which each has its node: everything but the API.
fn measure(what: &str, pods: usize, spec: impl Fn(usize) -> Value, label: impl Fn(usize) -> String) {
    let pods: Vec<Arc<Pod>> = (0..pods)
        .map(|i| {
            let metadata = json!({"name": format!("p{i}"), "namespace": "a", "labels": {"color": label(i)}});
            let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec(i)}));
            Arc::new(pod.expect("the pod is well-formed"))
        })
        .collect();
    let (clock, random, profile) = (Clock::system(), Random::seeded(1), Profile::default());
    let mut snapshot = cluster();
    let mut queue = Queue::new(&Settings::default(), Arc::new(Metrics::new()));
    let (mut start, mut placed) = (0, 0);
    let began = clock.instant();
    for pod in &pods {
        queue.put(Arc::new(PodInfo::new(pod.clone())), false, clock.instant());
    }
    while let Some(attempt) = queue.pop(clock.instant()) {
        let pod = attempt.pod;
        snapshot.watch(&pod);
        if let Verdict::Node(placement) = schedule(&profile, &snapshot, &pod, &mut start, &random) {
            snapshot.set_pod(&placement.node, pod.clone());
            placed += 1;
        }
        queue.remove(&pod.key);
    }
    let seconds = (clock.instant() - began).as_secs_f64();
    let measured = format!("{:.0} pods/s ({what}, {placed} pods)", f64::from(placed) / seconds);
    println!("{}", json!({"key": "scheduler", "measured": measured}));
}
