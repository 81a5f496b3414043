//! `NodeResourcesFit`: a node must have room for what the pod asks; which room is best is a strategy.

use super::{BASE, Change, MAX_SCORE, Plugin, Rejection};
use crate::config::{Profile, Shape, Strategy};
use crate::snapshot::{NodeInfo, PodInfo};

pub const PLUGIN: Plugin = Plugin {
    name: "NodeResourcesFit",
    filter: Some(filter),
    score: Some(score),
    wakes: &[Change::NodeAdded, Change::NodeAllocatable, Change::PodLeft, Change::PodUpdated],
    ..BASE
};

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let mut reasons = Vec::new();
    if i64::try_from(node.pods.len()).unwrap_or(i64::MAX) + 1 > node.allowed_pods {
        reasons.push("Too many pods".to_owned());
    }
    let wanted = &pod.requests;
    let names = ["cpu", "memory", "ephemeral-storage"].into_iter().chain(wanted.scalar.keys().map(String::as_str));
    let (mut lacking, mut hopeless) = (Vec::new(), false);
    for name in names {
        let (asks, has) = (wanted.get(name), node.allocatable.get(name));
        if asks > 0 && asks > has - node.requested.get(name) {
            lacking.push(format!("Insufficient {name}"));
            hopeless |= asks > has;
        }
    }
    reasons.extend(lacking);
    match (reasons.is_empty(), hopeless) {
        (true, _) => Ok(()),
        (false, hopeless) => Err(Rejection { reasons, preemptible: !hopeless }),
    }
}

fn score(profile: &Profile, pod: &PodInfo, node: &NodeInfo) -> i64 {
    let (mut sum, mut weights) = (0, 0);
    for (name, weight) in &profile.fit_resources {
        let has = node.allocatable.get(name);
        let used = if matches!(name.as_str(), "cpu" | "memory") {
            node.non_zero_requested.get(name) + pod.non_zero_requests.get(name)
        } else {
            node.requested.get(name) + pod.requests.get(name)
        };
        if has == 0 || (used == 0 && !matches!(name.as_str(), "cpu" | "memory")) {
            continue;
        }
        sum += weight * resource_score(&profile.fit_strategy, used, has);
        weights += weight;
    }
    if weights == 0 { 0 } else { sum / weights }
}

fn resource_score(strategy: &Strategy, used: i64, has: i64) -> i64 {
    match strategy {
        Strategy::LeastAllocated => {
            if used > has {
                0
            } else {
                (has - used) * MAX_SCORE / has
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, node, pod};

    fn asks(cpu: &str, memory: &str) -> String {
        format!(r#"{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{cpu}","memory":"{memory}"}}}}}}]}}"#)
    }

    #[test]
    fn room() {
        let mut here = info(node("n", "2", "4Gi"));
        here.add("a/q".into(), pod(&asks("1500m", "1Gi")));
        for (cpu, memory, expected) in [
            ("500m", "3Gi", Ok(())),
            ("501m", "1Gi", Err(Rejection::crowded(vec!["Insufficient cpu".into()]))),
            ("2", "4Gi", Err(Rejection::crowded(vec!["Insufficient cpu".into(), "Insufficient memory".into()]))),
            ("3", "1Gi", Err(Rejection::unfit("Insufficient cpu"))),
        ] {
            assert_eq!(filter(&pod(&asks(cpu, memory)), &here), expected, "{cpu} {memory}");
        }
        assert_eq!(
            filter(
                &pod(&asks("0", "0")),
                &info(crate::testing::node_with("n", serde_json::json!({}), serde_json::json!({})))
            ),
            Err(Rejection::crowded(vec!["Too many pods".into()]))
        );
    }

    #[test]
    fn strategies() {
        let here = info(node("n", "4", "4Gi"));
        let of = |strategy| {
            let profile = Profile { fit_strategy: strategy, ..Profile::default() };
            score(&profile, &pod(&asks("1", "2Gi")), &here)
        };
        assert_eq!(of(Strategy::LeastAllocated), 62);
        assert_eq!(of(Strategy::MostAllocated), 37);
        let shape = vec![Shape { utilization: 0, score: 0 }, Shape { utilization: 100, score: 10 }];
        assert_eq!(of(Strategy::RequestedToCapacityRatio(shape)), 37);
    }
}
