//! What kubelets may do: their own node's objects, and what the pods of their node name (KEP-279, KEP-4601).

use super::graph::Graph;
use super::references::Kind;
use super::{Attributes, Decision, Rule};
use crate::User;

/// The group of all kubelets.
pub const GROUP: &str = "system:nodes";

/// Where node leases live.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The node that `user` is the kubelet of; empty when it is a kubelet whose name does not say which.
#[must_use]
pub fn node_name(user: &User) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| user.is_in(GROUP))
}

/// Decides about a request of a kubelet; has no opinion about others.
pub fn authorize(graph: &Graph, rules: &[Rule], attributes: &Attributes<'_>) -> Decision {
    let Some(node) = node_name(attributes.user) else { return no("") };
    if node.is_empty() {
        return no(format!("unknown node for user {}", machinery::field::quote(&attributes.user.name)));
    }
    let request = Request { graph, node, attributes };
    let checked = match (attributes.is_resource, attributes.group, attributes.resource) {
        (true, "", "secrets") => request.read_namespaced(Kind::Secret),
        (true, "", "configmaps") => request.read_namespaced(Kind::ConfigMap),
        (true, "", "persistentvolumeclaims") if attributes.subresource == "status" => request.update_claim_status(),
        (true, "", "persistentvolumeclaims") => request.get(|g, a| g.reaches(node, Kind::Claim, a.namespace, a.name)),
        (true, "", "persistentvolumes") => request.get(|g, a| g.has_volume(node, a.name)),
        (true, "resource.k8s.io", "resourceclaims") => {
            request.get(|g, a| g.reaches(node, Kind::ResourceClaim, a.namespace, a.name))
        }
        (true, "storage.k8s.io", "volumeattachments") => request.get(|g, a| g.has_attachment(node, a.name)),
        (true, "", "serviceaccounts") => request.service_account(),
        (true, "coordination.k8s.io", "leases") => request.lease(),
        (true, "storage.k8s.io", "csinodes") => request.csi_node(),
        (true, "resource.k8s.io", "resourceslices") => request.resource_slice(),
        (true, "", "nodes") => request.own_node(),
        (true, "", "pods") => request.pod(),
        _ if rules.iter().any(|rule| rule.allows(attributes)) => Ok(()),
        _ => Err(String::new()),
    };
    match checked {
        Ok(()) => Decision::Allow(String::new()),
        Err(reason) => Decision::NoOpinion(reason),
    }
}

/// Fine, or why not; the reason may be empty.
type Checked = Result<(), String>;

struct Request<'a> {
    graph: &'a Graph,
    node: &'a str,
    attributes: &'a Attributes<'a>,
}

impl Request<'_> {
    fn read_namespaced(&self, kind: Kind) -> Checked {
        let a = self.attributes;
        self.verb_among(&["get", "list", "watch"], "can only read resources of this type")?;
        ensure(a.subresource.is_empty(), "cannot read subresource")?;
        ensure(!a.namespace.is_empty(), "can only read namespaced object of this type")?;
        self.related(self.graph.reaches(self.node, kind, a.namespace, a.name))
    }

    fn get(&self, related: impl Fn(&Graph, &Attributes<'_>) -> bool) -> Checked {
        self.verb_among(&["get"], "can only get individual resources of this type")?;
        ensure(self.attributes.subresource.is_empty(), "cannot get subresource")?;
        self.related(related(self.graph, self.attributes))
    }

    fn update_claim_status(&self) -> Checked {
        self.verb_among(&["update", "patch"], "can only get/update/patch this type")?;
        self.related(self.graph.reaches(self.node, Kind::Claim, self.attributes.namespace, self.attributes.name))
    }

    /// The accounts of a node's pods are read for credential providers (KEP-4412), and give tokens.
    fn service_account(&self) -> Checked {
        let a = self.attributes;
        if a.verb == "get" && a.subresource.is_empty() {
            return self.read_namespaced(Kind::ServiceAccount);
        }
        ensure(a.verb == "create" && !a.name.is_empty(), "can only create tokens for individual service accounts")?;
        ensure(a.subresource == "token", "can only create token subresource of serviceaccount")?;
        self.related(self.graph.reaches(self.node, Kind::ServiceAccount, a.namespace, a.name))
    }

    /// Whose lease is created, NodeRestriction checks: its name is not known here.
    fn lease(&self) -> Checked {
        let a = self.attributes;
        let verbs = ["get", "create", "update", "patch", "delete"];
        self.verb_among(&verbs, "can only get, create, update, patch, or delete a node lease")?;
        if a.namespace != LEASE_NAMESPACE {
            return Err(format!("can only access leases in the \"{LEASE_NAMESPACE}\" system namespace"));
        }
        let own = a.verb == "create" || a.name == self.node;
        ensure(own, "can only access node lease with the same name as the requesting node")
    }

    fn csi_node(&self) -> Checked {
        let a = self.attributes;
        let verbs = ["get", "create", "update", "patch", "delete"];
        self.verb_among(&verbs, "can only get, create, update, patch, or delete a CSINode")?;
        ensure(a.subresource.is_empty(), "cannot authorize CSINode subresources")?;
        let own = a.verb == "create" || a.name == self.node;
        ensure(own, "can only access CSINode with the same name as the requesting node")
    }

    fn resource_slice(&self) -> Checked {
        let a = self.attributes;
        ensure(a.subresource.is_empty(), "cannot authorize ResourceSlice subresources")?;
        match a.verb {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(self.graph.has_slice(self.node, a.name)),
            "watch" | "list" | "deletecollection" => ensure(
                self.selects_node("nodeName"),
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
            _ => Err("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection".to_owned()),
        }
    }

    fn own_node(&self) -> Checked {
        let (a, node) = (self.attributes, self.node);
        match (a.subresource, a.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") if a.name == node => Ok(()),
            ("", "get" | "list" | "watch") if a.name.is_empty() => {
                Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => {
                Err(format!("node '{node}' cannot read '{}', only its own Node object", a.name))
            }
            _ => Err(String::new()),
        }
    }

    /// Which pods are created, deleted, evicted and reported about, NodeRestriction checks.
    fn pod(&self) -> Checked {
        let a = self.attributes;
        let own = || self.related(self.graph.has_pod(self.node, a.namespace, a.name));
        match (a.subresource, a.verb) {
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            ("", "get") => own(),
            ("", "list" | "watch") if self.selects_node("spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !a.name.is_empty() => own(),
            ("", "list" | "watch") => Err("can only list/watch pods with spec.nodeName field selector".to_owned()),
            _ => Err(String::new()),
        }
    }

    fn verb_among(&self, verbs: &[&str], otherwise: &str) -> Checked {
        ensure(verbs.contains(&self.attributes.verb), otherwise)
    }

    fn related(&self, related: bool) -> Checked {
        ensure(!self.attributes.name.is_empty(), "No Object name found")?;
        if related {
            Ok(())
        } else {
            Err(format!("no relationship found between node '{}' and this object", self.node))
        }
    }

    /// Whether the request asks only for what belongs to its node.
    fn selects_node(&self, field: &str) -> bool {
        machinery::fields_selector::Selector::parse(self.attributes.field_selector)
            .is_ok_and(|selector| selector.exact(field) == Some(self.node))
    }
}

fn ensure(holds: bool, otherwise: &str) -> Checked {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn no(reason: impl Into<String>) -> Decision {
    Decision::NoOpinion(reason.into())
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;
    use crate::authorization::Change;

    fn decide(line: &str) -> String {
        let words: Vec<&str> = line.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
        let [verb, group, what, namespace, name, field_selector] = words[..] else { panic!("six words: {line}") };
        let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
        let user = User::new("system:node:n", &[GROUP]);
        let mut graph = Graph::default();
        let pod = value!({"metadata": {"name": "p"}, "spec": {
            "nodeName": "n", "serviceAccountName": "sa", "volumes": [{"name": "s", "secret": {"secretName": "used"}}]
        }});
        graph.observe("pods", "a", "p", Change::Put(&pod));
        let rules = [Rule::from_value(&value!({"verbs": ["create"], "apiGroups": [""], "resources": ["events"]}))];
        let attributes = Attributes {
            user: &user,
            verb,
            group,
            resource,
            subresource,
            namespace,
            name,
            field_selector,
            is_resource: true,
            ..Attributes::default()
        };
        match authorize(&graph, &rules, &attributes) {
            Decision::Allow(_) => format!("{line}: yes"),
            other => format!("{line}: no, {}", other.reason()),
        }
    }

    #[test]
    fn who_is_a_kubelet() {
        let of = |name: &str, groups: &[&str]| node_name(&User::new(name, groups)).map(str::to_owned);
        assert_eq!(of("system:node:n", &[GROUP]).as_deref(), Some("n"));
        assert_eq!(of("system:node:", &[GROUP]).as_deref(), Some(""));
        assert_eq!([of("system:node:n", &[]), of("jane", &[GROUP])], [None, None]);
    }

    #[test]
    fn what_a_kubelet_may() {
        let shown = [
            "get - secrets a used -",
            "get - secrets a unused -",
            "list - secrets a - -",
            "update - secrets a used -",
            "list - pods - - spec.nodeName=n",
            "list - pods - - spec.nodeName=m",
            "get - pods a p -",
            "patch - pods a p -",
            "patch - pods/status a p -",
            "create - serviceaccounts/token a sa -",
            "create - serviceaccounts/token a other -",
            "get - nodes - n -",
            "get - nodes - m -",
            "list - nodes - - -",
            "get coordination.k8s.io leases default x -",
            "update coordination.k8s.io leases kube-node-lease m -",
            "list storage.k8s.io csinodes - - -",
            "create - events a - -",
            "list - endpoints a - -",
        ]
        .map(decide)
        .join("\n");
        expect_test::expect![[r#"
            get - secrets a used -: yes
            get - secrets a unused -: no, no relationship found between node 'n' and this object
            list - secrets a - -: no, No Object name found
            update - secrets a used -: no, can only read resources of this type
            list - pods - - spec.nodeName=n: yes
            list - pods - - spec.nodeName=m: no, can only list/watch pods with spec.nodeName field selector
            get - pods a p -: yes
            patch - pods a p -: no, 
            patch - pods/status a p -: yes
            create - serviceaccounts/token a sa -: yes
            create - serviceaccounts/token a other -: no, no relationship found between node 'n' and this object
            get - nodes - n -: yes
            get - nodes - m -: no, node 'n' cannot read 'm', only its own Node object
            list - nodes - - -: no, node 'n' cannot read all nodes, only its own Node object
            get coordination.k8s.io leases default x -: no, can only access leases in the "kube-node-lease" system namespace
            update coordination.k8s.io leases kube-node-lease m -: no, can only access node lease with the same name as the requesting node
            list storage.k8s.io csinodes - - -: no, can only get, create, update, patch, or delete a CSINode
            create - events a - -: yes
            list - endpoints a - -: no, "#]]
        .assert_eq(&shown);
    }
}
