//! Tells the API the pod's status: only what changed, only when it changed.

use client::Patch;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use machinery::Value;
use serde_json::{Map, json};

use super::{Latest, Worker};
use crate::pod::spec;
use crate::pod::status::{self, View};

impl Worker {
    pub(super) async fn write_status(&mut self, latest: &Latest) {
        if latest.gone {
            return;
        }
        let base = self.base(&latest.pod);
        let pod = Pod { status: Some(base.clone()), ..(*latest.pod).clone() };
        let new = {
            let memory = self.memory.lock();
            let now = self.node.clock().now();
            status::status(
                &pod,
                &View { observed: &self.observed, memory: &memory, host_ips: &self.node.host_ips, now },
            )
        };
        self.status_failed = false;
        let Some(patch) = patch(spec::uid(&pod), &base, &new) else { return };
        let (namespace, name) = (spec::namespace(&pod), spec::name(&pod));
        match self.node.client().patch_status::<Pod>(namespace, name, &Patch::Strategic(patch)).await {
            Ok(pod) => {
                let revision = revision(&pod);
                self.written = Some((revision, pod.status.unwrap_or_default()));
            }
            // The pod is gone, or another of its name took its place: the informer will tell.
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => {
                tracing::debug!(%error, pod = spec::full_name(&pod), "cannot write a pod's status");
                self.status_failed = true;
            }
        }
    }

    /// What the API has: our last write, or the informer's later word.
    fn base(&self, pod: &Pod) -> PodStatus {
        match &self.written {
            Some((written, status)) if *written > revision(pod) => status.clone(),
            _ => pod.status.clone().unwrap_or_default(),
        }
    }
}

/// Resource versions are ordered numbers (KEP-5504).
fn revision(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// The strategic merge patch from `old` to `new`; `None` when they are equal. Conditions merge by type, so others'
/// conditions are not touched; addresses are replaced as a whole.
fn patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (old, new) = (fields(old), fields(new));
    let mut changed = Map::new();
    for (name, value) in &new {
        if old.get(name) == Some(value) {
            continue;
        }
        let value = match (name.as_str(), value) {
            ("conditions", serde_json::Value::Array(all)) => {
                let before = old.get(name).and_then(|before| before.as_array()).map(Vec::as_slice).unwrap_or_default();
                let changed = all.iter().filter(|condition| !before.contains(condition));
                let different: Vec<_> = changed.map(|condition| replacing(condition, before)).collect();
                if different.is_empty() {
                    // Only their order differs.
                    continue;
                }
                different.into()
            }
            ("podIPs" | "hostIPs", serde_json::Value::Array(all)) => {
                [json!({"$patch": "replace"})].into_iter().chain(all.iter().cloned()).collect()
            }
            _ => value.clone(),
        };
        changed.insert(name.clone(), value);
    }
    changed
        .extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), serde_json::Value::Null)));
    if changed.is_empty() {
        return None;
    }
    machinery::to_value(&json!({"metadata": {"uid": uid}, "status": changed})).into()
}

/// The condition as a patch that also takes away what it no longer says (a reason, a message).
fn replacing(condition: &serde_json::Value, before: &[serde_json::Value]) -> serde_json::Value {
    let mut patch = condition.clone();
    let same = before.iter().find(|known| known["type"] == condition["type"]);
    if let (Some(patch), Some(old)) = (patch.as_object_mut(), same.and_then(serde_json::Value::as_object)) {
        for name in old.keys() {
            patch.entry(name.clone()).or_insert(serde_json::Value::Null);
        }
    }
    patch
}

fn fields(status: &PodStatus) -> Map<String, serde_json::Value> {
    match serde_json::to_value(status) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let status = |text: serde_json::Value| serde_json::from_value::<PodStatus>(text).unwrap();
        let old = status(json!({"phase": "Pending", "message": "x", "conditions": [
            {"type": "A", "status": "True"}, {"type": "B", "status": "False", "reason": "R"}]}));
        let new = status(json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.2"}], "conditions": [
            {"type": "A", "status": "True"}, {"type": "B", "status": "True"}]}));
        let patch = patch("u", &old, &new).unwrap();
        expect![[r#"{"metadata":{"uid":"u"},"status":{"conditions":[{"status":"True","type":"B","reason":null}],"phase":"Running","podIPs":[{"$patch":"replace"},{"ip":"10.0.0.2"}],"message":null}}"#]]
            .assert_eq(&serde_json::to_string(&patch).unwrap());
        assert!(super::patch("u", &old, &old).is_none());
    }
}
