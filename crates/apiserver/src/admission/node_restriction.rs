//! NodeRestriction: a kubelet writes its own node, its own lease and the pods bound to its node, and no more (KEP-279).

use std::collections::BTreeSet;

use machinery::field::quote;
use machinery::status::In;
use machinery::{Object, Status, Value, meta};

use super::{Context, MIRROR, Operation, Plugin, Request, certificate_subject_restriction, token_audiences};
use crate::authorization::Attributes;
use crate::authorization::node::{LEASE_NAMESPACE, node_name};
use crate::authorization::references::{Kind, of_pod};

/// Labels of Kubernetes' own that a kubelet may set on its node.
const KUBELET_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Label prefixes that are the kubelet's own.
const KUBELET_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Who signs kubelets' certificates.
const KUBELET_SIGNERS: [&str; 2] = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
/// The prefix of labels that only others than kubelets set.
const RESTRICTED_PREFIX: &str = "node-restriction.kubernetes.io";

pub const PLUGIN: Plugin = Plugin { name: "NodeRestriction", admit: Some(admit), validate: None };

fn admit(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if request.operation == Operation::Connect {
        return Ok(());
    }
    let Some(node) = node_name(request.user) else { return Ok(()) };
    if node.is_empty() {
        let user = quote(&request.user.name);
        return Err(request.forbidden(format!("could not determine node from user {user}")));
    }
    let check = Check { request, node, context };
    match (request.group, request.resource, request.subresource) {
        ("", "pods", "") => check.pod(),
        ("", "pods", "status") => check.pod_status(),
        ("", "pods", "eviction") => check.eviction(),
        ("", "pods", other) => {
            check.no(format!("unexpected pod subresource {}, only 'status' and 'eviction' are allowed", quote(other)))
        }
        ("", "nodes", _) => check.own_node(),
        ("", "persistentvolumeclaims", "status") => check.claim_status(),
        ("", "persistentvolumeclaims", _) => check.no("may only update PVC status"),
        ("", "serviceaccounts", "token") => check.token(),
        ("certificates.k8s.io", "certificatesigningrequests", "") => check.certificate(),
        ("coordination.k8s.io", "leases", _) => check.lease(),
        ("storage.k8s.io", "csinodes", _) => check.csi_node(),
        ("resource.k8s.io", "resourceslices", _) => check.resource_slice(),
        _ => Ok(()),
    }
}

type Checked = Result<(), Status>;

struct Check<'a> {
    request: &'a Request<'a>,
    node: &'a str,
    context: &'a Context<'a>,
}

impl Check<'_> {
    fn no(&self, why: impl std::fmt::Display) -> Checked {
        Err(self.request.forbidden(why))
    }

    /// Refuses, unless `holds`, with the node's name in quotes before `why`.
    fn node_must(&self, holds: bool, why: &str) -> Checked {
        if holds { Ok(()) } else { self.no(format!("node {} {why}", quote(self.node))) }
    }

    fn object(&self) -> &Value {
        self.request.object
    }

    fn pod(&self) -> Checked {
        match self.request.operation {
            Operation::Create => self.mirror_pod().and_then(|()| self.references_nothing()),
            Operation::Delete => {
                let pod = self.find_pod(self.request.name)?;
                self.node_must(self.runs(&pod), "can only delete pods with spec.nodeName set to itself")
            }
            other => self.no(format!(
                "unexpected operation {}, node {} can only create and delete mirror pods",
                quote(other.word()),
                quote(self.node)
            )),
        }
    }

    fn mirror_pod(&self) -> Checked {
        let pod = self.object();
        if meta::annotation(pod, MIRROR).is_none() {
            let node = quote(self.node);
            return self.no(format!(
                "pod does not have {} annotation, node {node} can only create mirror pods",
                quote(MIRROR)
            ));
        }
        self.node_must(self.runs(pod), "can only create pods with spec.nodeName set to itself")?;
        let owners = meta::owner_references(pod);
        self.node_must(owners.len() <= 1, "can only create pods with a single owner reference set to itself")?;
        let owner = owners.first().filter(|owner| {
            let is = |field: &str, text: &str| owner.str_at(&[field]) == Some(text);
            is("apiVersion", "v1") && is("kind", "Node") && is("name", self.node)
        });
        let Some(owner) = owner else {
            return self.node_must(false, "can only create pods with an owner reference set to itself");
        };
        let truth = |field: &str| owner.bool_at(&[field]) == Some(true);
        self.node_must(truth("controller"), "can only create pods with a controller owner reference set to itself")?;
        self.node_must(!truth("blockOwnerDeletion"), "must not set blockOwnerDeletion on an owner reference")?;
        self.owner_uid(owner.str_at(&["uid"]).unwrap_or_default())
    }

    fn owner_uid(&self, uid: &str) -> Checked {
        let Some(node) = self.context.objects.get("", "nodes", "", self.node) else {
            return Err(Status::not_found(In { group: "", name: "node" }, self.node));
        };
        if meta::uid(&node) == uid {
            return Ok(());
        }
        self.no(format!("node {} UID mismatch: expected {uid} got {}", self.node, meta::uid(&node)))
    }

    fn references_nothing(&self) -> Checked {
        let references = of_pod(self.object());
        let none = |kind: Kind| references.iter().all(|(k, _)| *k != kind);
        self.node_must(none(Kind::ServiceAccount), "can not create pods that reference a service account")?;
        self.node_must(none(Kind::Secret), "can not create pods that reference secrets")?;
        self.node_must(none(Kind::ConfigMap), "can not create pods that reference configmaps")?;
        let volumes = self.object().items_at(&["spec", "volumes"]).iter();
        let mut sources = volumes.flat_map(|volume| volume.items_at(&["projected", "sources"]));
        let bundles = sources.any(|source| source.get("clusterTrustBundle").is_some());
        self.node_must(!bundles, "can not create pods that reference clustertrustbundles")?;
        self.node_must(none(Kind::Claim), "can not create pods that reference persistentvolumeclaims")?;
        let devices = self.object().items_at(&["spec", "resourceClaims"]);
        self.node_must(devices.is_empty(), "can not create pods that reference resourceclaims")
    }

    fn pod_status(&self) -> Checked {
        let (Operation::Update, Some(old)) = (self.request.operation, self.request.old) else {
            return self.no(format!("unexpected operation {}", quote(self.request.operation.word())));
        };
        self.node_must(self.runs(old), "can only update pod status for pods with spec.nodeName set to itself")?;
        let same = meta::labels(old) == meta::labels(self.object());
        self.node_must(same, "cannot update labels through pod status")?;
        let claims = |pod: &Value| pod.items_at(&["status", "resourceClaimStatuses"]).to_vec();
        self.node_must(claims(old) == claims(self.object()), "cannot update resource claim statues")
    }

    fn eviction(&self) -> Checked {
        if self.request.operation != Operation::Create {
            return self.no(format!("unexpected operation {}", self.request.operation.word()));
        }
        let name = self.request.object_name();
        if name.is_empty() {
            return self.no("could not determine pod from request data");
        }
        if self.runs(&*self.find_pod(name)?) {
            return Ok(());
        }
        self.no(format!("node {} can only evict pods with spec.nodeName set to itself", self.node))
    }

    fn claim_status(&self) -> Checked {
        let (Operation::Update, Some(old)) = (self.request.operation, self.request.old) else {
            return self.no(format!("unexpected operation {}", quote(self.request.operation.word())));
        };
        let rest = |claim: &Value| {
            let mut rest = claim.clone();
            for field in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
                rest.remove_at(&["status", field]);
            }
            for field in ["resourceVersion", "managedFields"] {
                rest.remove_at(&["metadata", field]);
            }
            rest
        };
        let why = "is not allowed to update fields other than status.capacity and status.conditions";
        self.node_must(rest(old) == rest(self.object()), why)
    }

    fn own_node(&self) -> Checked {
        let name = self.request.object_name();
        if name != self.node {
            return self.no(format!("node {} is not allowed to modify node {}", quote(self.node), quote(name)));
        }
        match (self.request.operation, self.request.old) {
            (Operation::Create, _) => self.new_node(),
            (Operation::Update, Some(old)) => self.changed_node(old),
            _ => Ok(()),
        }
    }

    fn new_node(&self) -> Checked {
        let source = self.object().at(&["spec", "configSource"]).is_some();
        self.node_must(!source, "is not allowed to create pods with a non-nil configSource")?;
        let labels = forbidden_labels(meta::labels(self.object()), None);
        self.node_must(labels.is_empty(), &format!("is not allowed to set the following labels: {labels}"))
    }

    fn changed_node(&self, old: &Value) -> Checked {
        let (new, source) = (self.object(), ["spec", "configSource"]);
        let same_source = new.at(&source).is_none() || new.at(&source) == old.at(&source);
        self.node_must(same_source, "is not allowed to update configSource to a new non-nil configSource")?;
        let taints = ["spec", "taints"];
        self.node_must(new.items_at(&taints) == old.items_at(&taints), "is not allowed to modify taints")?;
        let labels = forbidden_labels(meta::labels(new), meta::labels(old));
        if !labels.is_empty() {
            return self.no(format!("is not allowed to modify labels: {labels}"));
        }
        let same_owners = meta::owner_references(new) == meta::owner_references(old);
        self.node_must(same_owners, "is not allowed to modify ownerReferences")
    }

    fn token(&self) -> Checked {
        if self.request.operation != Operation::Create {
            return Ok(());
        }
        let bound = |field: &str| self.object().str_at(&["spec", "boundObjectRef", field]).unwrap_or_default();
        if bound("apiVersion") != "v1" || bound("kind") != "Pod" || bound("name").is_empty() {
            return self.no("node requested token not bound to a pod");
        }
        let uid = bound("uid");
        if uid.is_empty() {
            return self.no("node requested token with a pod binding without a uid");
        }
        let pod = self.find_pod(bound("name"))?;
        if meta::uid(&pod) != uid {
            return self.no(format!("the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"));
        }
        if !self.runs(&pod) {
            return self.no("node requested token bound to a pod scheduled on a different node");
        }
        self.audience(&pod)
    }

    /// A kubelet asks for the audiences that the pod's volumes name, or those that somebody gave it a right to (KEP-4412).
    fn audience(&self, pod: &Value) -> Checked {
        let audience = match self.object().items_at(&["spec", "audiences"]) {
            [] => "",
            [one] => one.as_str().unwrap_or_default(),
            _ => return self.no("node may only request 0 or 1 audiences"),
        };
        if token_audiences::names(pod, audience, self.context.objects) {
            return Ok(());
        }
        let (user, request) = (self.request.user, self.request);
        let asked = Attributes {
            user,
            verb: "request-serviceaccounts-token-audience",
            version: "v1",
            resource: audience,
            namespace: request.namespace,
            name: request.name,
            is_resource: true,
            ..Attributes::default()
        };
        if self.context.authorizer.authorize(&asked).is_allowed() {
            return Ok(());
        }
        self.no(format!(
            "audience {} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            quote(audience),
            user.name
        ))
    }

    /// A certificate that a kubelet asks for names the kubelet's own node.
    fn certificate(&self) -> Checked {
        let signer = self.object().str_at(&["spec", "signerName"]).unwrap_or_default();
        if self.request.operation != Operation::Create || !KUBELET_SIGNERS.contains(&signer) {
            return Ok(());
        }
        match certificate_subject_restriction::common_name(self.object()) {
            None => self.no("unable to parse csr: PEM block type must be CERTIFICATE REQUEST"),
            Some(name) if name == format!("system:node:{}", self.node) => Ok(()),
            Some(_) => self.no(format!("can only create a node CSR with CN=system:node:{}", self.node)),
        }
    }

    fn lease(&self) -> Checked {
        if self.request.namespace != LEASE_NAMESPACE {
            return self.no(format!("can only access leases in the {} system namespace", quote(LEASE_NAMESPACE)));
        }
        if self.request.object_name() == self.node {
            return Ok(());
        }
        self.no("can only access node lease with the same name as the requesting node")
    }

    fn csi_node(&self) -> Checked {
        if self.request.object_name() == self.node {
            return Ok(());
        }
        self.no("can only access CSINode with the same name as the requesting node")
    }

    fn resource_slice(&self) -> Checked {
        let own = self.object().str_at(&["spec", "nodeName"]) == Some(self.node);
        if own || self.request.operation != Operation::Create {
            return Ok(());
        }
        self.no("can only create ResourceSlice with the same NodeName as the requesting node")
    }

    fn runs(&self, pod: &Value) -> bool {
        pod.str_at(&["spec", "nodeName"]) == Some(self.node)
    }

    fn find_pod(&self, name: &str) -> Result<std::sync::Arc<Value>, Status> {
        let pod = self.context.objects.get("", "pods", self.request.namespace, name);
        pod.ok_or_else(|| Status::not_found(In { group: "", name: "pod" }, name))
    }
}

/// The labels that differ and that a kubelet may not touch, as a list.
fn forbidden_labels(new: Option<&Object>, old: Option<&Object>) -> String {
    let names = [new, old].into_iter().flatten().flat_map(Object::keys);
    let changed = names.filter(|name| new.and_then(|l| l.get(name)) != old.and_then(|l| l.get(name)));
    let forbidden: BTreeSet<&str> = changed.map(|name| name.as_str()).filter(|name| is_forbidden(name)).collect();
    forbidden.into_iter().collect::<Vec<_>>().join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let prefix = label.split_once('/').map_or("", |(prefix, _)| prefix);
    let within = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    let own = KUBELET_LABELS.contains(&label) || KUBELET_PREFIXES.iter().any(|prefix| within(prefix));
    within(RESTRICTED_PREFIX) || ((within("kubernetes.io") || within("k8s.io")) && !own)
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    fn check(operation: Operation, path: (&str, &str), mut object: Value, old: Option<&Value>) -> String {
        let user = User::new("system:node:n", &["system:nodes"]);
        let objects = Objects::default()
            .with("", "nodes", value!({"metadata": {"name": "n", "uid": "u"}}))
            .with(
                "",
                "pods",
                value!({"metadata": {"namespace": "ns", "name": "mine", "uid": "p1"}, "spec": {"nodeName": "n", "volumes": [
                    {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
                ]}}),
            )
            .with("", "pods", value!({"metadata": {"namespace": "ns", "name": "theirs"}, "spec": {"nodeName": "zz"}}));
        let mut request = request(operation, path, &mut object, old, &user);
        let answer = ask(&PLUGIN, &mut request, &objects);
        if answer.starts_with('{') || answer == "null" { "fine".to_owned() } else { answer }
    }

    #[test]
    fn pods() {
        let mirror = |spec: Value, owners: Value| {
            value!({"metadata": {
            "name": "mir", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": owners
        }, "spec": spec})
        };
        let owner =
            |uid: &str| value!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": uid, "controller": true}]);
        let create = |pod: Value| check(Operation::Create, ("", "pods"), pod, None);
        let pod = |name: &str| value!({"metadata": {"name": name}});
        let shown = [
            create(pod("plain")),
            create(mirror(value!({"nodeName": "n"}), value!([]))),
            create(mirror(value!({"nodeName": "zz"}), value!([]))),
            create(mirror(value!({"nodeName": "n"}), owner("old"))),
            create(mirror(value!({"nodeName": "n"}), owner("u"))),
            create(mirror(value!({"nodeName": "n", "volumes": [{"configMap": {"name": "c"}}]}), owner("u"))),
            create(mirror(value!({"nodeName": "n", "resourceClaims": [{"name": "d"}]}), owner("u"))),
            check(Operation::Delete, ("", "pods"), Value::Null, Some(&pod("theirs"))),
            check(Operation::Delete, ("", "pods"), Value::Null, Some(&pod("mine"))),
            check(Operation::Create, ("", "pods/eviction"), pod("theirs"), None),
            check(Operation::Create, ("", "pods/binding"), pod("mine"), None),
        ];
        expect_test::expect![[r#"
            403 pods "plain" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n" can only create mirror pods
            403 pods "mir" is forbidden: node "n" can only create pods with an owner reference set to itself
            403 pods "mir" is forbidden: node "n" can only create pods with spec.nodeName set to itself
            403 pods "mir" is forbidden: node n UID mismatch: expected old got u
            fine
            403 pods "mir" is forbidden: node "n" can not create pods that reference configmaps
            403 pods "mir" is forbidden: node "n" can not create pods that reference resourceclaims
            403 pods "theirs" is forbidden: node "n" can only delete pods with spec.nodeName set to itself
            fine
            403 pods "theirs" is forbidden: node n can only evict pods with spec.nodeName set to itself
            403 pods "mine" is forbidden: unexpected pod subresource "binding", only 'status' and 'eviction' are allowed"#]].assert_eq(&shown.join("\n"));
    }

    #[test]
    fn nodes_leases_tokens() {
        let node = |labels: Value, taints: Value| value!({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": taints}});
        let old = node(value!({"a": "b"}), value!([]));
        let named = |name: &str| value!({"metadata": {"name": name}});
        let token = |name: &str, uid: &str| value!({"metadata": {"name": "default"}, "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}}});
        let restricted =
            value!({"node-restriction.kubernetes.io/x": "1", "kubernetes.io/os": "linux", "foo.k8s.io/y": "z"});
        let shown = [
            check(Operation::Create, ("", "nodes"), named("other"), None),
            check(Operation::Create, ("", "nodes"), node(restricted.clone(), value!([])), None),
            check(Operation::Update, ("", "nodes"), node(restricted, value!([])), Some(&old)),
            check(Operation::Update, ("", "nodes"), node(value!({"a": "c"}), value!([])), Some(&old)),
            check(Operation::Update, ("", "nodes"), node(value!({"a": "b"}), value!([{"key": "x"}])), Some(&old)),
            check(Operation::Create, ("coordination.k8s.io", "leases"), named("n"), None),
            check(Operation::Create, ("storage.k8s.io", "csinodes"), named("other"), None),
            check(Operation::Create, ("", "serviceaccounts/token"), named("default"), None),
            check(Operation::Create, ("", "serviceaccounts/token"), token("mine", "p1"), None),
            check(Operation::Create, ("", "serviceaccounts/token"), token("mine", "p0"), None),
            check(Operation::Create, ("", "serviceaccounts/token"), token("nope", "p0"), None),
        ];
        expect_test::expect![[r#"
            403 nodes "other" is forbidden: node "n" is not allowed to modify node "other"
            403 nodes "n" is forbidden: node "n" is not allowed to set the following labels: foo.k8s.io/y, node-restriction.kubernetes.io/x
            403 nodes "n" is forbidden: is not allowed to modify labels: foo.k8s.io/y, node-restriction.kubernetes.io/x
            fine
            403 nodes "n" is forbidden: node "n" is not allowed to modify taints
            403 leases.coordination.k8s.io "n" is forbidden: can only access leases in the "kube-node-lease" system namespace
            403 csinodes.storage.k8s.io "other" is forbidden: can only access CSINode with the same name as the requesting node
            403 serviceaccounts "default" is forbidden: node requested token not bound to a pod
            fine
            403 serviceaccounts "default" is forbidden: the UID in the bound object reference (p0) does not match the UID in record. The object might have been deleted and then recreated
            404 pod "nope" not found"#]].assert_eq(&shown.join("\n"));
    }
}
