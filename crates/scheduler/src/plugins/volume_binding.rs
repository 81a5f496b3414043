//! `VolumeBinding`: a pod goes where its volumes are or can be made; claims that wait for their first pod get their
//! volume, or a node to make it for, when the pod is placed.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::{BASE, Plugin, Prepared, Rejection};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::{ClaimName, PodInfo};
use crate::storage::{self, Storage};

const UNREACHABLE: &str = "node(s) didn't match PersistentVolume's node affinity";
const NO_VOLUME: &str = "node(s) didn't find available persistent volumes to bind";
const NO_SPACE: &str = "node(s) did not have enough free storage";
const VOLUME_GONE: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";
/// Classes of this provisioner have volumes made by hand only.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

pub const PLUGIN: Plugin =
    Plugin { name: "VolumeBinding", prepare: Some(prepare), filter: Some(filter), helps, ..BASE };

/// A claim with its key.
type Claim<'a> = (String, &'a Arc<PersistentVolumeClaim>);

/// What the filter knows of one pod.
#[derive(Debug, Default)]
pub struct State<'a> {
    bound: Vec<Claim<'a>>,
    /// Claims that get their volume with the pod, the smallest first.
    waiting: Vec<Claim<'a>>,
}

/// What placing the pod on a node means for its claims.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Volumes that claims get: volume, claim.
    pub bindings: Vec<(Arc<PersistentVolume>, Arc<PersistentVolumeClaim>)>,
    /// Claims whose volume is to be made for the node.
    pub provisions: Vec<Provision>,
}

/// A claim whose volume is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Provision {
    /// The claim.
    pub claim: Arc<PersistentVolumeClaim>,
    /// Whether the claim says so already.
    pub announced: bool,
}

impl Decision {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty() && self.provisions.is_empty()
    }
}

fn prepare<'a>(cycle: &mut Cycle<'a>) -> Prepared {
    let (storage, pod) = (&cycle.snapshot.storage, cycle.pod);
    if pod.claims.is_empty() {
        return Prepared::Skip;
    }
    let mut state = State::default();
    let mut immediate = false;
    for name in &pod.claims {
        let key = client::key(pod.namespace(), &name.name);
        let claim = match claim(storage, pod, name, &key) {
            Ok(claim) => claim,
            Err(reason) => return Prepared::Reject(Rejection::unfit(reason)),
        };
        if storage::is_bound(claim) {
            state.bound.push((key, claim));
        } else if storage.waits_for_pod(claim) && !storage::names_volume(claim) {
            state.waiting.push((key, claim));
        } else {
            immediate = true;
        }
    }
    if immediate {
        return Prepared::Reject(Rejection::unfit(UNBOUND));
    }
    state.waiting.sort_by_key(|(_, claim)| storage::requested(claim));
    cycle.state.volumes = state;
    Prepared::Ask
}

fn claim<'a>(
    storage: &'a Storage,
    pod: &PodInfo,
    name: &ClaimName,
    key: &str,
) -> Result<&'a Arc<PersistentVolumeClaim>, String> {
    let ClaimName { name, ephemeral } = name;
    let Some(claim) = storage.claims.get(key) else {
        return Err(if *ephemeral {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\"")
        } else {
            format!("persistentvolumeclaim \"{name}\" not found")
        });
    };
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
        return Err(format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
    }
    let owned = claim.metadata.owner_references.iter().flatten().any(|owner| owner.uid == pod.uid());
    if *ephemeral && !owned {
        let (namespace, pod) = (pod.namespace(), pod.pod.metadata.name.as_deref().unwrap_or_default());
        return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"));
    }
    Ok(claim)
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    decide(cycle, node).map(drop)
}

/// Which volumes the claims of the pod get on `node`.
///
/// # Errors
/// Why it cannot have them there.
pub fn decide(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<Decision, Rejection> {
    let (state, storage) = (&cycle.state.volumes, &cycle.snapshot.storage);
    for (_, claim) in &state.bound {
        let Some(volume) = storage.volume_of(claim) else { return Err(Rejection::unfit(VOLUME_GONE)) };
        if !storage::reaches(volume, &node.node) {
            return Err(Rejection::unfit(UNREACHABLE));
        }
    }
    let mut decision = Decision::default();
    for (key, claim) in &state.waiting {
        if let Some(selected) = storage.selected_node(key, claim) {
            if selected != node.name() {
                return Err(Rejection::unfit(NO_VOLUME));
            }
            decision.provisions.push(Provision { claim: (*claim).clone(), announced: true });
        } else if let Some(volume) = smallest(storage, key, claim, node, &decision) {
            decision.bindings.push((volume.clone(), (*claim).clone()));
        } else {
            can_make(storage, claim, node)?;
            decision.provisions.push(Provision { claim: (*claim).clone(), announced: false });
        }
    }
    Ok(decision)
}

/// The smallest volume at hand that suits a claim on a node.
fn smallest<'a>(
    storage: &'a Storage,
    key: &str,
    claim: &PersistentVolumeClaim,
    node: &NodeInfo,
    taken: &Decision,
) -> Option<&'a Arc<PersistentVolume>> {
    let free = |name: &String| storage.assumed.get(name).is_none_or(|owner| owner == key);
    let chosen = |volume: &Arc<PersistentVolume>| taken.bindings.iter().any(|(other, _)| Arc::ptr_eq(other, volume));
    let suiting = storage.volumes.iter().filter(|(name, volume)| {
        free(name) && !chosen(volume) && storage::suits(volume, key, claim) && storage::reaches(volume, &node.node)
    });
    let owned = |volume: &PersistentVolume| volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
    suiting.map(|(_, volume)| volume).min_by_key(|volume| (!owned(volume), storage::capacity(volume)))
}

/// Whether a volume for a claim can be made on a node.
fn can_make(storage: &Storage, claim: &PersistentVolumeClaim, node: &NodeInfo) -> Result<(), Rejection> {
    let class = storage.class_of(claim).filter(|class| !matches!(class.provisioner.as_str(), "" | NO_PROVISIONER));
    let Some(class) = class else { return Err(Rejection::unfit(NO_VOLUME)) };
    if !storage::allows(class.allowed_topologies.as_deref().unwrap_or_default(), &node.node) {
        return Err(Rejection::unfit(NO_VOLUME));
    }
    if has_space(storage, class, storage::requested(claim), node) { Ok(()) } else { Err(Rejection::unfit(NO_SPACE)) }
}

/// Whether a driver that publishes what it has left (KEP-1472) has enough for a node.
fn has_space(storage: &Storage, class: &StorageClass, bytes: i64, node: &NodeInfo) -> bool {
    let driver = storage.drivers.get(&class.provisioner);
    if driver.is_none_or(|driver| driver.spec.storage_capacity != Some(true)) {
        return true;
    }
    let name = class.metadata.name.as_deref().unwrap_or_default();
    storage.capacities.values().filter(|capacity| capacity.storage_class_name == name).any(|capacity| {
        let largest = capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref());
        let enough = largest.and_then(|text| machinery::quantity::Quantity::parse(&text.0).ok());
        enough.is_some_and(|quantity| quantity.value() >= bytes)
            && crate::affinity::to_selector(capacity.node_topology.as_ref()).matches(node.labels())
    })
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    match change {
        Change::PodUpdated | Change::Volume | Change::StorageOffer | Change::CsiNode => true,
        Change::Claim(key) => pod.claims.iter().any(|claim| client::key(pod.namespace(), &claim.name) == *key),
        _ => change.touches_labels(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{labelled, place, pod, verdicts};

    fn cluster(mode: &str, claim: Value, volumes: &[(&str, &str, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        ["a", "b"].iter().for_each(|name| snapshot.set_node(labelled(name, json!({}))));
        let class = json!({"metadata": {"name": "s"}, "provisioner": NO_PROVISIONER, "volumeBindingMode": mode});
        snapshot.storage.classes.insert("s".into(), Arc::new(serde_json::from_value(class).unwrap()));
        let mut object = json!({"metadata": {"name": "c", "namespace": "a", "uid": "u"}, "spec": {"storageClassName": "s",
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        for (part, fields) in claim.as_object().unwrap() {
            object[part].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        }
        snapshot.storage.claims.insert("a/c".into(), Arc::new(serde_json::from_value(object).unwrap()));
        for (name, size, node) in volumes {
            let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}});
            let volume = json!({"metadata": {"name": name}, "spec": {"storageClassName": "s", "nodeAffinity": affinity,
                "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}, "status": {"phase": "Available"}});
            snapshot.storage.volumes.insert((*name).into(), Arc::new(serde_json::from_value(volume).unwrap()));
        }
        snapshot
    }

    const USES: &str = r#"{"containers":[],"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}"#;

    #[test]
    fn claims_that_cannot_be_used() {
        let mut snapshot = cluster("Immediate", json!({}), &[]);
        let mut text = place(&snapshot, &pod(USES)) + "\n";
        snapshot.storage.claims.clear();
        text += &place(&snapshot, &pod(USES));
        expect![[r#"
            0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.
            0/2 nodes are available: persistentvolumeclaim "c" not found."#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_bound_claim_is_where_its_volume_is() {
        let bound = json!({"metadata": {"annotations": {storage::BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "v"}});
        let snapshot = cluster("Immediate", bound.clone(), &[("v", "1Gi", "b")]);
        expect![[r#"
            a: node(s) didn't match PersistentVolume's node affinity
            b: ok
        "#]]
        .assert_eq(&verdicts(&snapshot, &pod(USES)));
        let gone = cluster("Immediate", bound, &[]);
        assert!(verdicts(&gone, &pod(USES)).contains("non-existent pv(s)"));
    }

    #[test]
    fn a_waiting_claim_takes_the_smallest_volume_that_suits() {
        let volumes = [("big", "5Gi", "b"), ("fits", "2Gi", "b"), ("small", "500Mi", "a")];
        let mut snapshot = cluster("WaitForFirstConsumer", json!({}), &volumes);
        expect![[r#"
            a: node(s) didn't find available persistent volumes to bind
            b: ok
        "#]]
        .assert_eq(&verdicts(&snapshot, &pod(USES)));
        let (profile, pod) = (crate::config::Profile::default(), pod(USES));
        let chosen = |snapshot: &Snapshot| {
            let cycle = crate::testing::cycle(&profile, snapshot, &pod);
            let decision = decide(&cycle, snapshot.node("b").unwrap()).unwrap();
            decision.bindings.iter().filter_map(|(volume, _)| volume.metadata.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&snapshot), ["fits"]);
        snapshot.storage.assumed.insert("fits".into(), "a/other".into());
        assert_eq!(chosen(&snapshot), ["big"]);
    }

    #[test]
    fn a_volume_is_made_where_the_class_allows() {
        let mut snapshot = cluster("WaitForFirstConsumer", json!({}), &[]);
        let class = json!({"metadata": {"name": "s"}, "provisioner": "csi.x", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["a"]}]}]});
        snapshot.storage.classes.insert("s".into(), Arc::new(serde_json::from_value(class).unwrap()));
        assert!(verdicts(&snapshot, &pod(USES)).contains("a: ok"));
        assert!(!verdicts(&snapshot, &pod(USES)).contains("b: ok"));
        let driver = json!({"metadata": {"name": "csi.x"}, "spec": {"storageCapacity": true}});
        snapshot.storage.drivers.insert("csi.x".into(), Arc::new(serde_json::from_value(driver).unwrap()));
        assert!(verdicts(&snapshot, &pod(USES)).contains("a: node(s) did not have enough free storage"));
    }
}
