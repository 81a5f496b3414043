//! `VolumeZone`: volumes that are labelled with a zone or region are used only from nodes there.

use std::collections::BTreeSet;

use super::{BASE, Plugin, Prepared, Rejection};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

const NO_ZONE: &str = "node(s) had no available volume zone";
/// Labels of volumes, each with the one that may stand for it on nodes.
const KEYS: [(&str, &str); 4] = [
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

pub const PLUGIN: Plugin = Plugin { name: "VolumeZone", prepare: Some(prepare), filter: Some(filter), helps, ..BASE };

/// What the volumes of one pod demand of a node: a label, the one that may stand for it, and the allowed values.
#[derive(Debug, Default)]
pub struct State(Vec<(&'static str, &'static str, BTreeSet<String>)>);

fn prepare(cycle: &mut Cycle<'_>) -> Prepared {
    let storage = &cycle.snapshot.storage;
    let mut demands = Vec::new();
    for claim in &cycle.pod.claims {
        let claim = storage.claims.get(&client::key(cycle.pod.namespace(), &claim.name));
        let Some(volume) = claim.and_then(|claim| storage.volume_of(claim)) else { continue };
        for (key, stand_in) in KEYS {
            if let Some(value) = volume.metadata.labels.as_ref().and_then(|labels| labels.get(key)) {
                demands.push((key, stand_in, value.split("__").map(str::to_owned).collect()));
            }
        }
    }
    if demands.is_empty() {
        return Prepared::Skip;
    }
    cycle.state.zones = State(demands);
    Prepared::Ask
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let labels = node.labels();
    if !KEYS.iter().any(|(key, _)| labels.contains_key(*key)) {
        return Ok(());
    }
    let met = |(key, stand_in, values): &(&str, &str, BTreeSet<String>)| {
        labels.get(*key).or_else(|| labels.get(*stand_in)).is_some_and(|value| values.contains(value))
    };
    if cycle.state.zones.0.iter().all(met) { Ok(()) } else { Err(Rejection::unfit(NO_ZONE)) }
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    match change {
        Change::PodUpdated | Change::Volume | Change::StorageOffer => true,
        Change::Claim(key) => pod.claims.iter().any(|claim| client::key(pod.namespace(), &claim.name) == *key),
        _ => change.touches_labels(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{labelled, pod};

    #[test]
    fn zones_of_volumes() {
        let mut snapshot = Snapshot::default();
        for (name, labels) in [("a", json!({KEYS[0].0: "a"})), ("b", json!({KEYS[0].0: "b"})), ("x", json!({}))] {
            snapshot.set_node(labelled(name, labels));
        }
        let claim = json!({"metadata": {"name": "c", "namespace": "a"}, "spec": {"volumeName": "v"}});
        snapshot.storage.claims.insert("a/c".into(), Arc::new(serde_json::from_value(claim).unwrap()));
        let volume = json!({"metadata": {"name": "v", "labels": {KEYS[0].0: "b__c"}}, "spec": {}});
        snapshot.storage.volumes.insert("v".into(), Arc::new(serde_json::from_value(volume).unwrap()));
        let pod = pod(r#"{"containers":[],"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}"#);
        let profile = crate::config::Profile::default();
        let mut cycle = crate::cycle::Cycle::new(&profile, &snapshot, &pod);
        assert!(matches!(prepare(&mut cycle), Prepared::Ask));
        let fits: Vec<bool> = snapshot.nodes().map(|node| filter(&cycle, node).is_ok()).collect();
        assert_eq!(fits.len(), 3);
        let fitting: BTreeSet<_> = snapshot.nodes().filter(|n| filter(&cycle, n).is_ok()).map(NodeInfo::name).collect();
        assert_eq!(fitting, BTreeSet::from(["b", "x"]));
    }
}
