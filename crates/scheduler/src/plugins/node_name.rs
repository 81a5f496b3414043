//! `NodeName`: a pod that names its node runs there or nowhere.

use super::{BASE, Change, Plugin, Rejection};
use crate::snapshot::{NodeInfo, PodInfo};

pub const PLUGIN: Plugin =
    Plugin { name: "NodeName", filter: Some(filter), wakes: &[Change::NodeAdded, Change::PodUpdated], ..BASE };

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    match pod.spec().node_name.as_deref() {
        None | Some("") => Ok(()),
        Some(name) if name == node.name() => Ok(()),
        Some(_) => Err(Rejection::unfit("node(s) didn't match the requested node name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, node, pod};

    #[test]
    fn names() {
        let here = info(node("n", "1", "1Gi"));
        let takes = |spec| filter(&pod(spec), &here).is_ok();
        assert!(takes(r#"{"containers":[]}"#));
        assert!(takes(r#"{"containers":[],"nodeName":"n"}"#));
        assert!(!takes(r#"{"containers":[],"nodeName":"m"}"#));
    }
}
