//! `VolumeRestrictions`: disks that one node at a time may have, and claims that one pod at a time may use (KEP-2485).

use k8s_openapi::api::core::v1::Volume;

use super::{BASE, Plugin, Prepared, Rejection};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

const DISK: &str = "node(s) had no available disk";
const ONE_POD: &str = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";

pub const PLUGIN: Plugin = Plugin {
    name: "VolumeRestrictions",
    prepare: Some(prepare),
    filter: Some(filter),
    adjust: Some(adjust),
    helps,
    ..BASE
};

/// What the filter knows of one pod.
#[derive(Debug, Default)]
pub struct State {
    /// The pod's claims that only one pod may use.
    alone: Vec<String>,
    /// How many uses of them there are.
    users: i64,
}

fn prepare(cycle: &mut Cycle<'_>) -> Prepared {
    let (snapshot, pod) = (cycle.snapshot, cycle.pod);
    let alone = |name: &&String| {
        let claim = snapshot.storage.claims.get(&client::key(pod.namespace(), name));
        let modes = claim.and_then(|claim| claim.spec.as_ref()?.access_modes.as_ref());
        modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"))
    };
    let alone: Vec<String> = pod.claims.iter().map(|claim| &claim.name).filter(alone).cloned().collect();
    let disks = pod.spec().volumes.iter().flatten().any(|volume| Disk::of(volume).is_some());
    if alone.is_empty() && !disks {
        return Prepared::Skip;
    }
    let users = alone.iter().map(|name| snapshot.claim_users(pod.namespace(), name)).sum::<usize>();
    cycle.state.restricted = State { alone, users: i64::try_from(users).unwrap_or(i64::MAX) };
    Prepared::Ask
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let mine: Vec<Disk<'_>> = disks(cycle.pod).collect();
    let clash = |other: Disk<'_>| mine.iter().any(|disk| disk.conflicts(&other));
    if !mine.is_empty() && node.pods.iter().any(|pod| disks(pod).any(clash)) {
        return Err(Rejection::crowded(DISK));
    }
    if cycle.state.restricted.users > 0 { Err(Rejection::crowded(ONE_POD)) } else { Ok(()) }
}

fn adjust(cycle: &mut Cycle<'_>, _: &NodeInfo, other: &PodInfo, sign: i64) {
    if cycle.pod.namespace() == other.namespace() {
        let state = &mut cycle.state.restricted;
        let uses = other.claims.iter().filter(|claim| state.alone.contains(&claim.name)).count();
        state.users += sign * i64::try_from(uses).unwrap_or(0);
    }
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    match change {
        Change::PodUpdated | Change::NodeAdded(_) => true,
        Change::PodLeft(left) => {
            disks(left).next().is_some()
                || left.namespace() == pod.namespace() && left.claims.iter().any(|claim| pod.claims.contains(claim))
        }
        Change::Claim(key) => pod.claims.iter().any(|claim| client::key(pod.namespace(), &claim.name) == *key),
        _ => false,
    }
}

fn disks(pod: &PodInfo) -> impl Iterator<Item = Disk<'_>> {
    pod.spec().volumes.iter().flatten().filter_map(Disk::of)
}

/// A disk that a pod names directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk<'a> {
    Gce { name: &'a str, read_only: bool },
    Aws { id: &'a str },
    Iscsi { iqn: &'a str, read_only: bool },
    Rbd { monitors: &'a [String], pool: &'a str, image: &'a str, read_only: bool },
}

impl<'a> Disk<'a> {
    fn of(volume: &'a Volume) -> Option<Self> {
        if let Some(disk) = &volume.gce_persistent_disk {
            return Some(Self::Gce { name: &disk.pd_name, read_only: disk.read_only == Some(true) });
        }
        if let Some(disk) = &volume.aws_elastic_block_store {
            return Some(Self::Aws { id: &disk.volume_id });
        }
        if let Some(disk) = &volume.iscsi {
            return Some(Self::Iscsi { iqn: &disk.iqn, read_only: disk.read_only == Some(true) });
        }
        let disk = volume.rbd.as_ref()?;
        let pool = disk.pool.as_deref().unwrap_or("rbd");
        let read_only = disk.read_only == Some(true);
        Some(Self::Rbd { monitors: &disk.monitors, pool, image: &disk.image, read_only })
    }

    /// Whether both cannot stand on one node.
    fn conflicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gce { name: a, read_only: ra }, Self::Gce { name: b, read_only: rb }) => a == b && !(*ra && *rb),
            (Self::Aws { id: a }, Self::Aws { id: b }) => a == b,
            (Self::Iscsi { iqn: a, read_only: ra }, Self::Iscsi { iqn: b, read_only: rb }) => a == b && !(*ra && *rb),
            (
                Self::Rbd { monitors: ma, pool: pa, image: ia, read_only: ra },
                Self::Rbd { monitors: mb, pool: pb, image: ib, read_only: rb },
            ) => ma.iter().any(|monitor| mb.contains(monitor)) && (pa, ia) == (pb, ib) && !(*ra && *rb),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use crate::snapshot::Snapshot;
    use crate::testing::{named, node, pod, verdicts};

    #[test]
    fn a_disk_is_on_one_node() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "1", "1Gi"));
        let disk = |read_only: bool| {
            format!(
                r#"{{"containers":[],"volumes":[{{"name":"v","gcePersistentDisk":{{"pdName":"d","readOnly":{read_only}}}}}]}}"#
            )
        };
        snapshot.set_pod("n", named("q", &disk(true)));
        assert_eq!(verdicts(&snapshot, &pod(&disk(true))), "n: ok\n");
        assert_eq!(verdicts(&snapshot, &pod(&disk(false))), "n: node(s) had no available disk\n");
    }

    #[test]
    fn a_claim_for_one_pod() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "1", "1Gi"));
        let claim = json!({"metadata": {"name": "c", "namespace": "a"}, "spec": {"accessModes": ["ReadWriteOncePod"]}});
        snapshot.storage.claims.insert("a/c".into(), Arc::new(serde_json::from_value(claim).unwrap()));
        let uses = r#"{"containers":[],"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}"#;
        let verdict = |snapshot: &Snapshot| {
            let (profile, pod) = (crate::config::Profile::default(), pod(uses));
            let cycle = crate::testing::cycle(&profile, snapshot, &pod);
            super::filter(&cycle, snapshot.node("n").unwrap()).is_ok()
        };
        assert!(verdict(&snapshot));
        snapshot.set_pod("n", named("q", uses));
        assert!(!verdict(&snapshot));
    }
}
