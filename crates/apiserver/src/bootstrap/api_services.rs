//! An APIService for each group and version that this server serves itself, so that clients of the aggregator see them
//! beside those of others.

use machinery::{Value, value};

/// The groups, each with its rank among all of them: the higher is preferred. The core group stands before all.
const GROUP_PRIORITIES: [(&str, i64); 20] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("admissionregistration.k8s.io", 16_700),
    ("apiextensions.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
];

/// The label of objects that the server makes when it starts.
pub const MANAGED: (&str, &str) = ("kube-aggregator.kubernetes.io/automanaged", "onstart");

/// The services of this server's own groups and versions.
pub fn objects() -> Vec<Value> {
    let served = crate::discovery::served();
    let priority = |group: &str| GROUP_PRIORITIES.iter().find(|(known, _)| *known == group).map(|(_, rank)| *rank);
    served.into_iter().filter_map(|(group, version)| Some(service(group, version, priority(group)?))).collect()
}

fn service(group: &str, version: &str, priority: i64) -> Value {
    let mut service = value!({
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": (format!("{version}.{group}"))},
        "spec": {}
    });
    machinery::meta::set_label(&mut service, MANAGED.0, MANAGED.1);
    if !group.is_empty() {
        service.set_at(&["spec", "group"], group);
    }
    service.set_at(&["spec", "version"], version);
    service.set_at(&["spec", "groupPriorityMinimum"], priority);
    service.set_at(&["spec", "versionPriority"], version_priority(group, version));
    service
}

/// The rank of a version among those of its group.
fn version_priority(group: &str, version: &str) -> i64 {
    match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io" | "resource.k8s.io", _) => 21,
        _ => 15,
    }
}

#[cfg(test)]
mod tests {
    use machinery::{json, meta};

    use super::*;

    #[test]
    fn every_group_but_the_aggregator_s_own() {
        let objects = objects();
        let shown = |name: &str| json::to_string(objects.iter().find(|object| meta::name(object) == name).unwrap());
        expect_test::expect![[r#"
            {"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1","metadata":{"name":"v1.","labels":{"kube-aggregator.kubernetes.io/automanaged":"onstart"}},"spec":{"version":"v1","groupPriorityMinimum":18000,"versionPriority":1}}
            {"kind":"APIService","apiVersion":"apiregistration.k8s.io/v1","metadata":{"name":"v2.autoscaling","labels":{"kube-aggregator.kubernetes.io/automanaged":"onstart"}},"spec":{"group":"autoscaling","version":"v2","groupPriorityMinimum":17500,"versionPriority":30}}"#]]
        .assert_eq(&["v1.", "v2.autoscaling"].map(shown).join("\n"));
        assert_eq!(objects.len(), GROUP_PRIORITIES.len() + 1);
    }
}
