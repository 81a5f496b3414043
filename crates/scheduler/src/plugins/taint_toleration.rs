//! `TaintToleration`: a pod stays off nodes whose taints it does not tolerate, and prefers those with few soft ones.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{Change, Plugin, Rejection, smallest_is_best};
use crate::config::Profile;
use crate::snapshot::{NodeInfo, PodInfo};

pub const PLUGIN: Plugin = Plugin {
    name: "TaintToleration",
    filter: Some(filter),
    score: Some(score),
    normalize: smallest_is_best,
    weight: 3,
    wakes: &[Change::NodeAdded, Change::NodeTaints, Change::PodUpdated],
};

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    let hard = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    match node.taints().iter().filter(hard).find(|taint| !tolerated(tolerations, taint)) {
        None => Ok(()),
        Some(_) => Err(Rejection::unfit("node(s) had untolerated taint(s)")),
    }
}

/// How many soft taints the pod does not tolerate.
fn score(_: &Profile, pod: &PodInfo, node: &NodeInfo) -> i64 {
    let tolerations: Vec<Toleration> = pod
        .spec()
        .tolerations
        .iter()
        .flatten()
        .filter(|t| matches!(t.effect.as_deref(), None | Some("" | "PreferNoSchedule")))
        .cloned()
        .collect();
    let soft = node.taints().iter().filter(|taint| taint.effect == "PreferNoSchedule");
    i64::try_from(soft.filter(|taint| !tolerated(&tolerations, taint)).count()).unwrap_or(i64::MAX)
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
    use crate::testing::{info, node_with, pod};

    fn tainted(effect: &str) -> NodeInfo {
        let taint = serde_json::json!({"key": "dedicated", "value": "db", "effect": effect});
        info(node_with("n", serde_json::json!({"taints": [taint]}), serde_json::json!({})))
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
            let spec = format!(r#"{{"containers":[],"tolerations":[{toleration}]}}"#);
            assert_eq!(filter(&pod(&spec), &tainted("NoSchedule")).is_ok(), fits, "{toleration}");
        }
        assert!(filter(&pod(r#"{"containers":[]}"#), &tainted("PreferNoSchedule")).is_ok());
        assert_eq!(score(&Profile::default(), &pod(r#"{"containers":[]}"#), &tainted("PreferNoSchedule")), 1);
    }
}
