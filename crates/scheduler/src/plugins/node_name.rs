//! `NodeName`: a pod that names its node runs there or nowhere.

use super::{BASE, Plugin, Rejection};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;

pub const PLUGIN: Plugin = Plugin {
    name: "NodeName",
    filter: Some(filter),
    helps: |_, change| matches!(change, Change::NodeAdded(_) | Change::PodUpdated),
    ..BASE
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    match cycle.pod.spec().node_name.as_deref() {
        None | Some("") => Ok(()),
        Some(name) if name == node.name() => Ok(()),
        Some(_) => Err(Rejection::unfit("node(s) didn't match the requested node name")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::snapshot::Snapshot;
    use crate::testing::{node, pod, verdicts};

    #[test]
    fn names() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("m", "1", "1Gi"));
        snapshot.set_node(node("n", "1", "1Gi"));
        expect![[r#"
            m: node(s) didn't match the requested node name
            n: ok
        "#]]
        .assert_eq(&verdicts(&snapshot, &pod(r#"{"containers":[],"nodeName":"n"}"#)));
    }
}
