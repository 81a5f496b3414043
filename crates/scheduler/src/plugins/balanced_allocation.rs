//! `NodeResourcesBalancedAllocation`: prefers nodes where no resource runs out long before the others.

use smallvec::SmallVec;

use super::{BASE, MAX_SCORE, Plugin};
use crate::cycle::Cycle;
use crate::node::NodeInfo;

pub const PLUGIN: Plugin = Plugin {
    name: "NodeResourcesBalancedAllocation",
    // A pod that asks for nothing balances nothing.
    prepare_score: Some(|cycle, _| {
        cycle.profile.balanced_resources.iter().any(|name| cycle.pod.requests.get(name) > 0)
    }),
    score: Some(score),
    ..BASE
};

/// 100 less the standard deviation of the used shares, in per cent.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "shares between 0 and 1 need no more")]
fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let mut shares: SmallVec<[f64; 4]> = SmallVec::new();
    for name in &cycle.profile.balanced_resources {
        let has = node.allocatable.get(name);
        if has > 0 {
            let used = node.requested.get(name) + cycle.pod.requests.get(name);
            shares.push((used as f64 / has as f64).min(1.0));
        }
    }
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    let deviation = match shares.as_slice() {
        [a, b] => ((a - b) / 2.0).abs(),
        all if all.len() > 2 => (all.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt(),
        _ => 0.0,
    };
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use crate::snapshot::Snapshot;
    use crate::testing::{cycle, node, pod};

    #[test]
    fn balance_is_best() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "4", "4Gi"));
        let profile = Profile::default();
        let of = |cpu: &str, memory: &str| {
            let requests = format!(r#"{{"cpu":"{cpu}","memory":"{memory}"}}"#);
            let pod = pod(&format!(r#"{{"containers":[{{"name":"c","resources":{{"requests":{requests}}}}}]}}"#));
            score(&cycle(&profile, &snapshot, &pod), snapshot.node("n").unwrap())
        };
        assert_eq!(of("2", "2Gi"), 100);
        assert_eq!(of("4", "2Gi"), 75);
        assert_eq!(of("4", "0"), 50);
    }
}
