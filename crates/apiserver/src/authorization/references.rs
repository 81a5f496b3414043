//! Which other objects a pod or a volume names: what its node may read.

use machinery::{Value, meta};

/// What kind of object is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// A PersistentVolumeClaim.
    Claim,
    /// A ServiceAccount.
    ServiceAccount,
    /// A ResourceClaim (KEP-4381).
    ResourceClaim,
}

/// Every object of its own namespace that `pod` names, in no particular order, doubles included.
#[must_use]
pub fn of_pod(pod: &Value) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let mut add = |kind, name: Option<&str>| {
        found.extend(name.filter(|name| !name.is_empty()).map(|name| (kind, name.to_owned())));
    };
    add(Kind::ServiceAccount, pod.str_at(&["spec", "serviceAccountName"]));
    for secret in pod.items_at(&["spec", "imagePullSecrets"]) {
        add(Kind::Secret, secret.str_at(&["name"]));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        pod.items_at(&["spec", list]).iter().for_each(|container| of_container(container, &mut add));
    }
    for volume in pod.items_at(&["spec", "volumes"]) {
        of_pod_volume(volume, meta::name(pod), &mut add);
    }
    for (list, field) in [("spec", "resourceClaims"), ("status", "resourceClaimStatuses")] {
        for claim in pod.items_at(&[list, field]) {
            add(Kind::ResourceClaim, claim.str_at(&["resourceClaimName"]));
        }
    }
    add(Kind::ResourceClaim, pod.str_at(&["status", "extendedResourceClaimStatus", "resourceClaimName"]));
    found
}

fn of_container(container: &Value, add: &mut impl FnMut(Kind, Option<&str>)) {
    for env in container.items_at(&["env"]) {
        add(Kind::Secret, env.str_at(&["valueFrom", "secretKeyRef", "name"]));
        add(Kind::ConfigMap, env.str_at(&["valueFrom", "configMapKeyRef", "name"]));
    }
    for from in container.items_at(&["envFrom"]) {
        add(Kind::Secret, from.str_at(&["secretRef", "name"]));
        add(Kind::ConfigMap, from.str_at(&["configMapRef", "name"]));
    }
}

/// Where the sources of a pod's volumes name secrets.
const POD_VOLUME_SECRETS: &[&[&str]] = &[
    &["secret", "secretName"],
    &["azureFile", "secretName"],
    &["cephfs", "secretRef", "name"],
    &["cinder", "secretRef", "name"],
    &["flexVolume", "secretRef", "name"],
    &["iscsi", "secretRef", "name"],
    &["rbd", "secretRef", "name"],
    &["scaleIO", "secretRef", "name"],
    &["storageos", "secretRef", "name"],
    &["csi", "nodePublishSecretRef", "name"],
];

fn of_pod_volume(volume: &Value, pod: &str, add: &mut impl FnMut(Kind, Option<&str>)) {
    for path in POD_VOLUME_SECRETS {
        add(Kind::Secret, volume.str_at(path));
    }
    add(Kind::ConfigMap, volume.str_at(&["configMap", "name"]));
    add(Kind::Claim, volume.str_at(&["persistentVolumeClaim", "claimName"]));
    for source in volume.items_at(&["projected", "sources"]) {
        add(Kind::Secret, source.str_at(&["secret", "name"]));
        add(Kind::ConfigMap, source.str_at(&["configMap", "name"]));
    }
    if volume.get("ephemeral").is_some_and(|ephemeral| !ephemeral.is_null()) {
        // A generic ephemeral volume's claim has the pod's and the volume's name (KEP-1698).
        let claim = format!("{pod}-{}", volume.str_at(&["name"]).unwrap_or_default());
        add(Kind::Claim, Some(&claim));
    }
}

/// Where the sources of a PersistentVolume name secrets that the node needs.
const VOLUME_SECRETS: &[&[&str]] = &[
    &["cephfs", "secretRef"],
    &["flexVolume", "secretRef"],
    &["iscsi", "secretRef"],
    &["rbd", "secretRef"],
    &["scaleIO", "secretRef"],
    &["storageos", "secretRef"],
    &["csi", "nodePublishSecretRef"],
    &["csi", "nodeStageSecretRef"],
    &["csi", "nodeExpandSecretRef"],
];

/// The secrets, as namespace and name, that mounting a PersistentVolume takes. Without a namespace of its own a
/// secret is one of the claim's.
#[must_use]
pub fn secrets_of_volume(volume: &Value) -> Vec<(String, String)> {
    let claim_namespace = volume.str_at(&["spec", "claimRef", "namespace"]).unwrap_or_default();
    let place = |namespace: Option<&str>, name: &str| {
        (namespace.filter(|n| !n.is_empty()).unwrap_or(claim_namespace).to_owned(), name.to_owned())
    };
    let Some(spec) = volume.get("spec") else { return Vec::new() };
    let referenced = VOLUME_SECRETS.iter().filter_map(|path| {
        let secret = spec.at(path)?;
        Some(place(secret.str_at(&["namespace"]), secret.str_at(&["name"])?))
    });
    let azure = spec
        .get("azureFile")
        .and_then(|azure| Some(place(azure.str_at(&["secretNamespace"]), azure.str_at(&["secretName"])?)));
    referenced.chain(azure).collect()
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    #[test]
    fn what_a_pod_names() {
        let pod = value!({
            "metadata": {"name": "p"},
            "spec": {
                "serviceAccountName": "default",
                "imagePullSecrets": [{"name": "pull"}],
                "initContainers": [{"envFrom": [{"secretRef": {"name": "env"}}]}],
                "containers": [{"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}],
                "volumes": [
                    {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
                    {"name": "p", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}
                ]
            }
        });
        let shown: Vec<String> = of_pod(&pod).iter().map(|(kind, name)| format!("{kind:?} {name}")).collect();
        expect_test::expect![[r#"
            ServiceAccount default
            Secret pull
            Secret env
            ConfigMap c
            Claim data
            Claim p-e
            ConfigMap kube-root-ca.crt"#]]
        .assert_eq(&shown.join("\n"));
    }
}
