//! `NodeVolumeLimits`: a CSI driver attaches only so many volumes to a node.

use std::collections::{BTreeMap, BTreeSet};

use super::{BASE, Plugin, Prepared, Rejection};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::storage::Storage;

const TOO_MANY: &str = "node(s) exceed max volume count";

pub const PLUGIN: Plugin =
    Plugin { name: "NodeVolumeLimits", prepare: Some(prepare), filter: Some(filter), helps, ..BASE };

/// The volumes that one pod brings: driver and handle.
#[derive(Debug, Default)]
pub struct State(BTreeSet<(String, String)>);

fn prepare(cycle: &mut Cycle<'_>) -> Prepared {
    let volumes: BTreeSet<_> = volumes(&cycle.snapshot.storage, cycle.pod).collect();
    if volumes.is_empty() {
        return Prepared::Skip;
    }
    cycle.state.attached = State(volumes);
    Prepared::Ask
}

/// The CSI volumes of a pod; a claim without a volume counts as one of its class's driver.
fn volumes<'a>(storage: &'a Storage, pod: &'a PodInfo) -> impl Iterator<Item = (String, String)> + 'a {
    pod.claims.iter().filter_map(|claim| {
        let key = client::key(pod.namespace(), &claim.name);
        let object = storage.claims.get(&key)?;
        if let Some(volume) = storage.volume_of(object) {
            let csi = volume.spec.as_ref()?.csi.as_ref()?;
            return Some((csi.driver.clone(), csi.volume_handle.clone()));
        }
        Some((storage.class_of(object)?.provisioner.clone(), key))
    })
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let storage = &cycle.snapshot.storage;
    let Some(csi_node) = storage.csi_nodes.get(node.name()) else { return Ok(()) };
    let limit = |driver: &str| {
        let entry = csi_node.spec.drivers.iter().find(|entry| entry.name == driver)?;
        usize::try_from(entry.allocatable.as_ref()?.count?).ok()
    };
    let mut all = cycle.state.attached.0.clone();
    let before: BTreeSet<_> = node.pods.iter().flat_map(|pod| volumes(storage, pod)).collect();
    all.retain(|volume| !before.contains(volume));
    let mut new: BTreeMap<&str, usize> = BTreeMap::new();
    all.iter().for_each(|(driver, _)| *new.entry(driver).or_default() += 1);
    let attached = |driver: &str| before.iter().filter(|(of, _)| of == driver).count();
    if new.iter().any(|(driver, new)| limit(driver).is_some_and(|limit| attached(driver) + new > limit)) {
        return Err(Rejection::crowded(TOO_MANY));
    }
    Ok(())
}

fn helps(_: &PodInfo, change: &Change) -> bool {
    match change {
        Change::PodUpdated | Change::NodeAdded(_) | Change::CsiNode | Change::Claim(_) => true,
        Change::PodLeft(left) => !left.claims.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{named, node, pod};

    #[test]
    fn limits() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "1", "1Gi"));
        let limit = json!({"metadata": {"name": "n"}, "spec": {"drivers": [
            {"name": "csi.x", "nodeID": "n", "allocatable": {"count": 1}}]}});
        snapshot.storage.csi_nodes.insert("n".into(), Arc::new(serde_json::from_value(limit).unwrap()));
        for name in ["c", "d"] {
            let claim = json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"volumeName": name}});
            snapshot.storage.claims.insert(format!("a/{name}"), Arc::new(serde_json::from_value(claim).unwrap()));
            let volume =
                json!({"metadata": {"name": name}, "spec": {"csi": {"driver": "csi.x", "volumeHandle": name}}});
            snapshot.storage.volumes.insert(name.into(), Arc::new(serde_json::from_value(volume).unwrap()));
        }
        let uses = |claim: &str| {
            format!(
                r#"{{"containers":[],"volumes":[{{"name":"v","persistentVolumeClaim":{{"claimName":"{claim}"}}}}]}}"#
            )
        };
        snapshot.set_pod("n", named("q", &uses("c")));
        for (claim, fits) in [("c", true), ("d", false)] {
            let (profile, pod) = (crate::config::Profile::default(), pod(&uses(claim)));
            let mut cycle = Cycle::new(&profile, &snapshot, &pod);
            prepare(&mut cycle);
            assert_eq!(filter(&cycle, snapshot.node("n").unwrap()).is_ok(), fits, "{claim}");
        }
    }
}
