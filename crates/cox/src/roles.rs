//! What the components may do that Kubernetes has no roles for: pod networking and DNS.

use machinery::Value;

/// The service account that pod networking acts as.
pub const NETWORK: &str = "cox-network";
/// The service account that DNS acts as.
pub const DNS: &str = "cox-dns";

const TEXT: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: 'coxswain:network'}
rules:
- {apiGroups: [''], resources: [nodes, pods], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: 'coxswain:network'}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'coxswain:network'}
subjects:
- {kind: ServiceAccount, name: cox-network, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: 'coxswain:dns'}
rules:
- {apiGroups: [''], resources: [namespaces, services], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: 'coxswain:dns'}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'coxswain:dns'}
subjects:
- {kind: ServiceAccount, name: cox-dns, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: 'coxswain:dns', namespace: kube-system}
rules:
- {apiGroups: [''], resources: [services], verbs: [create]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [create]}
- {apiGroups: [''], resources: [services], resourceNames: [kube-dns], verbs: [get, update]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], resourceNames: [kube-dns, kube-dns-ipv6], verbs: [get, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: 'coxswain:dns', namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: 'coxswain:dns'}
subjects:
- {kind: ServiceAccount, name: cox-dns, namespace: kube-system}
";

/// The roles and their bindings.
pub fn objects() -> Vec<Value> {
    machinery::yaml::parse_all(TEXT).expect("the text above is YAML: a test reads it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_has_a_role() {
        let objects = objects();
        assert_eq!(objects.len(), 6);
        for account in [NETWORK, DNS] {
            let bound = |object: &Value| {
                object.items_at(&["subjects"]).iter().any(|subject| subject.str_at(&["name"]) == Some(account))
            };
            assert!(objects.iter().any(bound), "{account}");
        }
    }
}
