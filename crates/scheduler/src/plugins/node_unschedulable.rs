//! `NodeUnschedulable`: a cordoned node takes only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::{BASE, Plugin, Rejection, taint_toleration};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;

pub const PLUGIN: Plugin = Plugin {
    name: "NodeUnschedulable",
    filter: Some(filter),
    helps: |_, change| change.touches_taints() || matches!(change, Change::PodUpdated),
    ..BASE
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    if !node.unschedulable {
        return Ok(());
    }
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if taint_toleration::tolerated(cycle.pod.spec().tolerations.as_deref().unwrap_or_default(), &cordon) {
        return Ok(());
    }
    Err(Rejection::unfit("node(s) were unschedulable"))
}

#[cfg(test)]
mod tests {
    use crate::snapshot::Snapshot;
    use crate::testing::{node_with, pod, verdicts};

    #[test]
    fn cordoned() {
        let mut snapshot = Snapshot::default();
        let room = serde_json::json!({"allocatable": {"pods": "10"}});
        snapshot.set_node(node_with("n", serde_json::json!({"unschedulable": true}), room));
        assert_eq!(verdicts(&snapshot, &pod(r#"{"containers":[]}"#)), "n: node(s) were unschedulable\n");
        let tolerates = r#"{"containers":[],"tolerations":[{"operator":"Exists"}]}"#;
        assert_eq!(verdicts(&snapshot, &pod(tolerates)), "n: ok\n");
    }
}
