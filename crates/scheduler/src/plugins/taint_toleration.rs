//! `TaintToleration`: a pod stays off nodes whose taints it does not tolerate, and prefers those with few soft ones.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{BASE, Plugin, Rejection, smallest_is_best};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::{NodeInfo, is_hard};
use crate::pod::PodInfo;

pub const PLUGIN: Plugin = Plugin {
    name: "TaintToleration",
    filter: Some(filter),
    // Where no node has a soft taint all nodes are equal.
    prepare_score: Some(|cycle, _| cycle.snapshot.has_soft_taints()),
    score: Some(score),
    normalize: smallest_is_best,
    weight: 3,
    helps,
    ..BASE
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    if !node.has_hard_taints || allows(cycle.pod, node.taints()) {
        return Ok(());
    }
    Err(Rejection::unfit("node(s) had untolerated taint(s)"))
}

/// Whether the pod tolerates all hard taints among these.
#[must_use]
pub fn allows(pod: &PodInfo, taints: &[Taint]) -> bool {
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    taints.iter().filter(|taint| is_hard(taint)).all(|taint| tolerated(tolerations, taint))
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    let taints = |node: &k8s_openapi::api::core::v1::Node| {
        node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default()
    };
    let fits = || change.node().is_some_and(|node| allows(pod, &taints(node)));
    matches!(change, Change::PodUpdated) || change.touches_taints() && fits()
}

/// How many soft taints the pod does not tolerate.
fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    if !node.has_soft_taints {
        return 0;
    }
    let soft = |toleration: &&Toleration| matches!(toleration.effect.as_deref(), None | Some("" | "PreferNoSchedule"));
    let tolerations: Vec<&Toleration> = cycle.pod.spec().tolerations.iter().flatten().filter(soft).collect();
    let taints = node.taints().iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let open = taints.filter(|taint| !tolerations.iter().any(|toleration| covers(toleration, taint))).count();
    i64::try_from(open).unwrap_or(i64::MAX)
}

/// Whether one of `tolerations` covers `taint`.
#[must_use]
pub fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| covers(toleration, taint))
}

fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    let (wanted, actual) =
        (toleration.value.as_deref().unwrap_or_default(), taint.value.as_deref().unwrap_or_default());
    let numbers = || Some((wanted.parse::<i64>().ok()?, actual.parse::<i64>().ok()?));
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => wanted == actual,
        Some("Gt") => numbers().is_some_and(|(wanted, actual)| actual > wanted),
        Some("Lt") => numbers().is_some_and(|(wanted, actual)| actual < wanted),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{node, node_with, pod, scores, verdicts};

    fn tainted(effect: &str) -> Snapshot {
        let taint = serde_json::json!({"key": "dedicated", "value": "db", "effect": effect});
        let room = serde_json::json!({"allocatable": {"pods": "10"}});
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node_with("n", serde_json::json!({"taints": [taint]}), room));
        snapshot
    }

    #[test]
    fn tolerations() {
        for (toleration, fits) in [
            (r"{}", false),
            (r#"{"key":"dedicated","operator":"Exists"}"#, true),
            (r#"{"key":"dedicated","value":"db"}"#, true),
            (r#"{"key":"dedicated","value":"web"}"#, false),
            (r#"{"operator":"Exists","effect":"NoExecute"}"#, false),
            (r#"{"operator":"Exists"}"#, true),
        ] {
            let pod = pod(&format!(r#"{{"containers":[],"tolerations":[{toleration}]}}"#));
            let expected = if fits { "n: ok\n" } else { "n: node(s) had untolerated taint(s)\n" };
            assert_eq!(verdicts(&tainted("NoSchedule"), &pod), expected, "{toleration}");
        }
    }

    #[test]
    fn soft_taints_cost() {
        let mut snapshot = tainted("PreferNoSchedule");
        let plain = pod(r#"{"containers":[]}"#);
        snapshot.set_node(node("m", "1", "1Gi"));
        assert_eq!(verdicts(&snapshot, &plain), "m: ok\nn: ok\n");
        assert_eq!(scores(&PLUGIN, &snapshot, &plain), "m: 100\nn: 0\n");
    }
}
