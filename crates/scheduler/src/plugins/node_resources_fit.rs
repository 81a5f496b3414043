//! `NodeResourcesFit`: a node must have room for what the pod asks; which room is best is a strategy.

use smallvec::SmallVec;

use super::{BASE, MAX_SCORE, Plugin, Reason, Rejection};
use crate::change::Change;
use crate::config::{Profile, Shape, Strategy};
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::resources::Resources;

pub const PLUGIN: Plugin = Plugin { name: "NodeResourcesFit", filter: Some(filter), score: Some(score), helps, ..BASE };

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let mut reasons: SmallVec<[Reason; 1]> = SmallVec::new();
    if node.pods.len() >= node.allowed_pods {
        reasons.push("Too many pods".into());
    }
    let (wanted, has, used) = (&cycle.pod.requests, &node.allocatable, &node.requested);
    let mut hopeless = false;
    for (asks, has, used, reason) in [
        (wanted.milli_cpu, has.milli_cpu, used.milli_cpu, "Insufficient cpu"),
        (wanted.memory, has.memory, used.memory, "Insufficient memory"),
        (wanted.ephemeral_storage, has.ephemeral_storage, used.ephemeral_storage, "Insufficient ephemeral-storage"),
    ] {
        if asks > 0 && asks > has - used {
            reasons.push(reason.into());
            hopeless |= asks > has;
        }
    }
    for (name, asks) in &wanted.scalar {
        let room = has.get(name) - used.get(name);
        if *asks > 0 && *asks > room && !ignored(cycle.profile, name) {
            reasons.push(format!("Insufficient {name}").into());
            hopeless |= *asks > has.get(name);
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, preemptible: !hopeless }) }
}

/// Whether the configuration leaves an extended resource to somebody else.
fn ignored(profile: &Profile, name: &str) -> bool {
    let group = || name.split_once('/').map(|(group, _)| group);
    profile.ignored_resources.contains(name)
        || group().is_some_and(|group| profile.ignored_resource_groups.contains(group))
}

fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let (profile, pod) = (cycle.profile, cycle.pod);
    let (mut sum, mut weights) = (0, 0);
    for (name, weight) in &profile.fit_resources {
        let has = node.allocatable.get(name);
        let plain = matches!(name.as_str(), "cpu" | "memory");
        let used = if plain {
            node.non_zero_requested.get(name) + pod.non_zero_requests.get(name)
        } else {
            node.requested.get(name) + pod.requests.get(name)
        };
        // An extended resource that the pod does not ask for has no say.
        if has == 0 || !plain && pod.requests.get(name) == 0 {
            continue;
        }
        sum += weight * resource_score(&profile.fit_strategy, used, has);
        weights += weight;
    }
    if weights == 0 { 0 } else { sum / weights }
}

fn resource_score(strategy: &Strategy, used: i64, has: i64) -> i64 {
    match strategy {
        Strategy::LeastAllocated if used > has => 0,
        Strategy::LeastAllocated => (has - used) * MAX_SCORE / has,
        Strategy::MostAllocated => used.min(has) * MAX_SCORE / has,
        Strategy::RequestedToCapacityRatio(shape) => on_shape(shape, if used > has { 100 } else { used * 100 / has }),
    }
}

/// The score at `utilization` per cent, in a straight line between the shape's points.
fn on_shape(shape: &[Shape], utilization: i64) -> i64 {
    const SHAPE_MAX_SCORE: i64 = 10;
    let scaled = |point: &Shape| point.score * (MAX_SCORE / SHAPE_MAX_SCORE);
    for (i, point) in shape.iter().enumerate() {
        if utilization <= point.utilization {
            let Some(before) = i.checked_sub(1).map(|i| &shape[i]) else { return scaled(point) };
            let (rise, run) = (scaled(point) - scaled(before), point.utilization - before.utilization);
            return scaled(before) + rise * (utilization - before.utilization) / run;
        }
    }
    shape.last().map_or(0, scaled)
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    match change {
        Change::PodUpdated => true,
        // Every pod takes one of a node's places.
        Change::PodLeft(_) => true,
        Change::NodeAdded(node) | Change::NodeUpdated { new: node, .. } => {
            let status = node.status.as_ref();
            let has = Resources::from_map(status.and_then(|status| status.allocatable.as_ref()));
            change.touches_allocatable() && within(&pod.requests, &has)
        }
        _ => false,
    }
}

fn within(asks: &Resources, has: &Resources) -> bool {
    asks.milli_cpu <= has.milli_cpu
        && asks.memory <= has.memory
        && asks.ephemeral_storage <= has.ephemeral_storage
        && asks.scalar.iter().all(|(name, asks)| *asks <= has.get(name))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{cycle, named, node, node_with, pod, verdicts};

    fn asks(cpu: &str, memory: &str) -> String {
        format!(r#"{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}","memory":"{memory}"}}}}}}]}}"#)
    }

    #[test]
    fn room() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "2", "4Gi"));
        snapshot.set_pod("n", named("q", &asks("1500m", "1Gi")));
        snapshot.set_node(node_with("o", serde_json::json!({}), serde_json::json!({})));
        let mut text = String::new();
        for (cpu, memory) in [("500m", "3Gi"), ("501m", "1Gi"), ("2", "4Gi"), ("3", "1Gi")] {
            let pod = pod(&asks(cpu, memory));
            let profile = Profile::default();
            let cycle = cycle(&profile, &snapshot, &pod);
            let hopeless = snapshot.nodes().filter_map(|n| filter(&cycle, n).err()).filter(|r| !r.preemptible).count();
            text += &format!("{cpu} {memory}, hopeless {hopeless}\n{}", verdicts(&snapshot, &pod));
        }
        expect![[r#"
            500m 3Gi, hopeless 1
            n: ok
            o: Too many pods, Insufficient cpu, Insufficient memory
            501m 1Gi, hopeless 1
            n: Insufficient cpu
            o: Too many pods, Insufficient cpu, Insufficient memory
            2 4Gi, hopeless 1
            n: Insufficient cpu, Insufficient memory
            o: Too many pods, Insufficient cpu, Insufficient memory
            3 1Gi, hopeless 2
            n: Insufficient cpu
            o: Too many pods, Insufficient cpu, Insufficient memory
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn strategies() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "4", "4Gi"));
        let of = |strategy| {
            let profile = Profile { fit_strategy: strategy, ..Profile::default() };
            let pod = pod(&asks("1", "2Gi"));
            score(&cycle(&profile, &snapshot, &pod), snapshot.node("n").unwrap())
        };
        assert_eq!(of(Strategy::LeastAllocated), 62);
        assert_eq!(of(Strategy::MostAllocated), 37);
        let shape = vec![Shape { utilization: 0, score: 0 }, Shape { utilization: 100, score: 10 }];
        assert_eq!(of(Strategy::RequestedToCapacityRatio(shape)), 37);
    }
}
