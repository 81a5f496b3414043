//! `NodeUnschedulable`: a cordoned node takes only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::{BASE, Change, Plugin, Rejection, taint_toleration};
use crate::snapshot::{NodeInfo, PodInfo};

pub const PLUGIN: Plugin = Plugin {
    name: "NodeUnschedulable",
    filter: Some(filter),
    wakes: &[Change::NodeAdded, Change::NodeTaints, Change::PodUpdated],
    ..BASE
};

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    if node.node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true)) {
        return Ok(());
    }
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if taint_toleration::tolerated(pod.spec().tolerations.as_deref().unwrap_or_default(), &cordon) {
        return Ok(());
    }
    Err(Rejection::unfit("node(s) were unschedulable"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, node_with, pod};

    #[test]
    fn cordoned() {
        let cordoned = info(node_with("n", serde_json::json!({"unschedulable": true}), serde_json::json!({})));
        assert!(filter(&pod(r#"{"containers":[]}"#), &cordoned).is_err());
        assert!(filter(&pod(r#"{"containers":[],"tolerations":[{"operator":"Exists"}]}"#), &cordoned).is_ok());
    }
}
