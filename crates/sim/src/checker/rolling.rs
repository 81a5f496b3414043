//! A rolling update keeps to maxSurge and maxUnavailable (API field `spec.strategy.rollingUpdate`).
//!
//! A controller acts on what it last saw, so a bound counts as kept when it was the Deployment's at some time within
//! [`STALENESS`]; and a pod that became ready within that time may be taken for one that is not.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use machinery::{Value, meta};

use super::{Change, Checker, Objects, under};
use crate::objects::{is_available, is_going, number, owner, store_key};

/// So far a component may lag behind under faults: broken watches and back-off after failed writes.
const STALENESS: SignedDuration = SignedDuration::from_secs(60);

/// Complains when a ReplicaSet grows beyond the surge, or an available pod goes below what must stay.
#[derive(Debug, Default)]
pub struct Rolling {
    bounds: BTreeMap<String, Vec<Bounds>>,
    ready_since: BTreeMap<String, Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    since: Timestamp,
    most: i64,
    least: i64,
}

impl Checker for Rolling {
    fn see(&mut self, change: &Change<'_>) -> Option<String> {
        if change.key.starts_with("/registry/deployments/") {
            self.deployment_changed(change);
            return None;
        }
        if change.key.starts_with("/registry/replicasets/") {
            return self.replica_set_changed(change);
        }
        if change.key.starts_with("/registry/pods/") {
            return self.pod_changed(change);
        }
        None
    }
}

impl Rolling {
    fn deployment_changed(&mut self, change: &Change<'_>) {
        let Some(deployment) = change.new.filter(|deployment| !is_going(deployment)) else {
            self.bounds.remove(change.key);
            return;
        };
        let Some((most, least)) = bounds(deployment) else { return };
        let known = self.bounds.entry(change.key.to_owned()).or_default();
        if known.last().is_none_or(|last| (last.most, last.least) != (most, least)) {
            known.push(Bounds { since: change.now, most, least });
        }
    }

    /// The widest bounds that the Deployment had lately.
    fn lately(&self, deployment: &str, now: Timestamp) -> Option<(i64, i64)> {
        let known = self.bounds.get(deployment)?;
        let still = known.partition_point(|bounds| bounds.since <= now - STALENESS).saturating_sub(1);
        let lately = &known[still..];
        Some((lately.iter().map(|b| b.most).max()?, lately.iter().map(|b| b.least).min()?))
    }

    fn replica_set_changed(&self, change: &Change<'_>) -> Option<String> {
        let replica_set = change.new?;
        let (before, after) = (change.old.map_or(0, replicas), replicas(replica_set));
        if after <= before {
            return None;
        }
        let deployment = owner(replica_set, "Deployment")?;
        let namespace = meta::namespace(replica_set);
        let (most, _) = self.lately(&store_key("deployments", namespace, deployment), change.now)?;
        let total: i64 = replica_sets(change.all, namespace, deployment).map(|(_, set)| replicas(set)).sum();
        (total > most).then(|| {
            format!(
                "deployment {namespace}/{deployment} may have {most} pods; {} grew to {after} of {total}",
                meta::name(replica_set)
            )
        })
    }

    fn pod_changed(&mut self, change: &Change<'_>) -> Option<String> {
        let (was, is) = (change.old.is_some_and(is_available), change.new.is_some_and(is_available));
        if is && !was {
            self.ready_since.insert(change.key.to_owned(), change.now);
        }
        if is || !was {
            return None;
        }
        let since = self.ready_since.remove(change.key)?;
        let pod = change.old?;
        let namespace = meta::namespace(pod);
        let set = change.all.get(&store_key("replicasets", namespace, owner(pod, "ReplicaSet")?))?;
        let deployment = owner(set, "Deployment")?;
        let (_, least) = self.lately(&store_key("deployments", namespace, deployment), change.now)?;
        if since > change.now - STALENESS {
            return None;
        }
        let available = available(change.all, namespace, deployment);
        (available < least).then(|| {
            format!(
                "deployment {namespace}/{deployment} must keep {least} pods available; {} went, {available} are left",
                meta::name(pod)
            )
        })
    }
}

/// How many pods there may be, and how many must be available.
fn bounds(deployment: &Value) -> Option<(i64, i64)> {
    let desired = replicas(deployment);
    let update = deployment.at(&["spec", "strategy", "rollingUpdate"])?;
    let surge = resolve(update.get("maxSurge"), desired, true);
    let unavailable = resolve(update.get("maxUnavailable"), desired, false);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    Some((desired + surge, desired - unavailable))
}

fn resolve(share: Option<&Value>, of: i64, up: bool) -> i64 {
    let percent = share.and_then(Value::as_str).and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match percent {
        Some(percent) => (of * percent + if up { 99 } else { 0 }) / 100,
        None => share.and_then(Value::as_i64).unwrap_or_default(),
    }
}

fn replicas(object: &Value) -> i64 {
    number(object, &["spec", "replicas"])
}

fn replica_sets<'a>(all: &'a Objects, namespace: &str, deployment: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let sets = under(all, &store_key("replicasets", namespace, ""));
    let owned = sets.filter(move |(_, set)| owner(set, "Deployment") == Some(deployment));
    owned.map(|(key, set)| (key.rsplit('/').next().unwrap_or_default(), set))
}

fn available(all: &Objects, namespace: &str, deployment: &str) -> i64 {
    let sets: Vec<&str> = replica_sets(all, namespace, deployment).map(|(name, _)| name).collect();
    let prefix = store_key("pods", namespace, "");
    let pods = under(all, &prefix).filter(|(_, pod)| is_available(pod));
    pods.filter(|(_, pod)| owner(pod, "ReplicaSet").is_some_and(|name| sets.contains(&name))).count() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::judge;

    const DEPLOYMENT: &str =
        r#"{"spec":{"replicas":2,"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":0}}}}"#;

    fn set(replicas: i64) -> String {
        format!(
            r#"{{"metadata":{{"namespace":"a","name":"s","ownerReferences":[{{"controller":true,"kind":"Deployment","name":"d"}}]}},"spec":{{"replicas":{replicas}}}}}"#
        )
    }

    fn pod(name: &str, ready: &str) -> String {
        format!(
            r#"{{"metadata":{{"namespace":"a","name":"{name}","ownerReferences":[{{"controller":true,"kind":"ReplicaSet","name":"s"}}]}},"status":{{"conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#
        )
    }

    #[test]
    fn too_many_and_too_few_are_noticed() {
        let history = format!(
            "0 /registry/deployments/a/d {DEPLOYMENT}
            1 /registry/replicasets/a/s {}
            2 /registry/replicasets/a/s {}
            10 /registry/pods/a/p1 {}
            10 /registry/pods/a/p2 {}
            10 /registry/pods/a/p3 {}
            100 /registry/pods/a/p1
            101 /registry/pods/a/p2 {}",
            set(3),
            set(4),
            pod("p1", "True"),
            pod("p2", "True"),
            pod("p3", "True"),
            pod("p2", "False"),
        );
        expect_test::expect![[r#"
            deployment a/d may have 3 pods; s grew to 4 of 4
            deployment a/d must keep 2 pods available; p2 went, 1 are left"#]]
        .assert_eq(&judge(Rolling::default(), &history));
    }

    #[test]
    fn what_was_allowed_just_now_is_no_mistake() {
        let history = format!(
            "0 /registry/deployments/a/d {}
            50 /registry/deployments/a/d {DEPLOYMENT}
            60 /registry/replicasets/a/s {}
            200 /registry/replicasets/a/s {}",
            DEPLOYMENT.replace("\"replicas\":2", "\"replicas\":8"),
            set(9),
            set(10),
        );
        expect_test::expect!["deployment a/d may have 3 pods; s grew to 10 of 10"]
            .assert_eq(&judge(Rolling::default(), &history));
    }
}
