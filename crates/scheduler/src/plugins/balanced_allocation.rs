//! `NodeResourcesBalancedAllocation`: prefers nodes where no resource runs out long before the others.

use super::{BASE, MAX_SCORE, Plugin};
use crate::config::Profile;
use crate::snapshot::{NodeInfo, PodInfo};

pub const PLUGIN: Plugin = Plugin { name: "NodeResourcesBalancedAllocation", score: Some(score), ..BASE };

/// 100 less the standard deviation of the used shares, in per cent.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "shares between 0 and 1 need no more")]
fn score(profile: &Profile, pod: &PodInfo, node: &NodeInfo) -> i64 {
    let shares: Vec<f64> = profile
        .balanced_resources
        .iter()
        .filter(|name| node.allocatable.get(name) > 0)
        .map(|name| {
            let used = node.requested.get(name) + pod.requests.get(name);
            (used as f64 / node.allocatable.get(name) as f64).min(1.0)
        })
        .collect();
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
    use crate::testing::{info, node, pod};

    #[test]
    fn balance_is_best() {
        let here = info(node("n", "4", "4Gi"));
        let of = |cpu: &str, memory: &str| {
            let requests = format!(r#"{{"cpu":"{cpu}","memory":"{memory}"}}"#);
            let spec = format!(r#"{{"containers":[{{"name":"c","resources":{{"requests":{requests}}}}}]}}"#);
            score(&Profile::default(), &pod(&spec), &here)
        };
        assert_eq!(of("2", "2Gi"), 100);
        assert_eq!(of("4", "2Gi"), 75);
        assert_eq!(of("4", "0"), 50);
    }
}
