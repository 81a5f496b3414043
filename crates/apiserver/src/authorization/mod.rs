//! Whether a caller may do what a request asks for: the authorizers in their order, and the text of a refusal.
//!
//! Invariant: a decision is read from indexes that the cache's events keep; it never waits and never asks the store.

mod covers;
pub mod escalation;
mod graph;
pub mod node;
mod rbac;
pub mod references;
pub mod review;
mod rules;

use machinery::field::quote;
use machinery::status::In;
use machinery::{Status, Value};
use parking_lot::RwLock;

pub use covers::missing as missing_rules;
pub use rbac::UserRules;
pub use rules::Rule;

use crate::{RequestInfo, User};
use graph::Graph;
use rbac::Rbac;

/// The group whose members may do everything, whatever the modes say.
pub const MASTERS: &str = "system:masters";

/// The resources, as group and plural, whose changes the authorizer must be told.
pub const OBSERVED: &[(&str, &str)] = &[
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("", "pods"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "volumeattachments"),
    ("resource.k8s.io", "resourceslices"),
];

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// get, list, watch, create, update, patch, delete, deletecollection, or a special one (bind, escalate, impersonate).
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The API version.
    pub version: &'a str,
    /// The plural of the kind.
    pub resource: &'a str,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The namespace; empty for cluster-wide requests.
    pub namespace: &'a str,
    /// The object's name; empty for collections and creates.
    pub name: &'a str,
    /// The path, where it is no resource that is asked for.
    pub path: &'a str,
    /// Whether it is a resource of the API.
    pub is_resource: bool,
    /// The field selector as given.
    pub field_selector: &'a str,
}

impl Default for Attributes<'_> {
    fn default() -> Self {
        static NOBODY: User = User {
            name: String::new(),
            uid: String::new(),
            groups: Vec::new(),
            extra: std::collections::BTreeMap::new(),
        };
        Self {
            user: &NOBODY,
            verb: "",
            group: "",
            version: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            is_resource: false,
            field_selector: "",
        }
    }
}

impl<'a> Attributes<'a> {
    /// What `request` of `user` asks for.
    #[must_use]
    pub fn of(user: &'a User, request: &'a RequestInfo) -> Self {
        Self {
            user,
            verb: &request.verb,
            group: &request.group,
            version: &request.version,
            resource: &request.resource,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: &request.name,
            path: &request.path,
            is_resource: request.is_resource_request,
            field_selector: &request.field_selector,
        }
    }

    /// The answer to a request that was refused for `reason`, which may be empty.
    #[must_use]
    pub fn refusal(&self, reason: &str) -> Status {
        let mut why = self.cannot();
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        if self.is_resource {
            Status::forbidden(In { group: self.group, name: self.resource }, self.name, why)
        } else {
            Status::forbidden(In { group: "", name: "" }, "", why)
        }
    }

    /// `User "x" cannot list resource "pods" in API group "" in the namespace "y"`, with the characters escaped that
    /// could turn a message into markup.
    fn cannot(&self) -> String {
        let (user, verb) = (quote(&self.user.name), self.verb);
        let text = if !self.is_resource {
            format!("User {user} cannot {verb} path {}", quote(self.path))
        } else {
            let resource = match self.subresource {
                "" => self.resource.to_owned(),
                subresource => format!("{}/{subresource}", self.resource),
            };
            let place = match self.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {}", quote(namespace)),
            };
            format!(
                "User {user} cannot {verb} resource {} in API group {} {place}",
                quote(&resource),
                quote(self.group)
            )
        };
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }
}

/// What an authorizer says, each with its reason, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes; nobody else is asked.
    Allow(String),
    /// No; nobody else is asked.
    Deny(String),
    /// Somebody else may know; if nobody does it is a no.
    NoOpinion(String),
}

impl Decision {
    /// Whether the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The reason, which may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        let (Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason)) = self;
        reason
    }
}

/// One authorizer, as `--authorization-mode` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Kubelets: what belongs to the pods of their node.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Everything is allowed.
    AlwaysAllow,
    /// Nothing is allowed.
    AlwaysDeny,
}

/// A mode that this server does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("authorization mode {0:?} is not one of AlwaysAllow, AlwaysDeny, Node, RBAC")]
pub struct UnknownMode(String);

impl std::str::FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        match name {
            "Node" => Ok(Self::Node),
            "RBAC" => Ok(Self::Rbac),
            "AlwaysAllow" => Ok(Self::AlwaysAllow),
            "AlwaysDeny" => Ok(Self::AlwaysDeny),
            other => Err(UnknownMode(other.to_owned())),
        }
    }
}

/// A change of an object that authorization depends on.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// The object is there, new or changed.
    Put(&'a Value),
    /// The object is gone.
    Delete,
}

/// All authorizers with what they know.
#[derive(Debug)]
pub struct Authorizer {
    modes: Vec<Mode>,
    node_rules: Vec<Rule>,
    rbac: RwLock<Rbac>,
    graph: RwLock<Graph>,
}

impl Authorizer {
    /// Authorizers asked in the order of `modes`; they know no object yet.
    #[must_use]
    pub fn new(modes: Vec<Mode>) -> Self {
        let node_rules = crate::bootstrap::node_rules();
        Self { modes, node_rules, rbac: RwLock::default(), graph: RwLock::default() }
    }

    /// Takes note of a change of an object of one of the resources in [`OBSERVED`].
    pub fn observe(&self, group: &str, resource: &str, namespace: &str, name: &str, change: Change<'_>) {
        if group == "rbac.authorization.k8s.io" {
            self.rbac.write().observe(resource, namespace, name, change);
        } else {
            self.graph.write().observe(resource, namespace, name, change);
        }
    }

    /// Decides; never `NoOpinion` with an allowing reason, and what nobody allows is not allowed.
    #[must_use]
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.is_in(MASTERS) {
            return Decision::Allow(String::new());
        }
        let mut reasons = Vec::new();
        for mode in &self.modes {
            match self.ask(*mode, attributes) {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    /// Decides, and words a refusal as the API does.
    ///
    /// # Errors
    /// The answer to give when the request is not allowed.
    pub fn require(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        match self.authorize(attributes) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(attributes.refusal(&reason)),
        }
    }

    /// The rules that hold for `user` in `namespace`, as far as rules say it.
    #[must_use]
    pub fn rules_for(&self, user: &User, namespace: &str) -> UserRules {
        let mut all = UserRules::default();
        for mode in &self.modes {
            match mode {
                Mode::Node if user.is_in(node::GROUP) => {
                    all.errors.push("node authorizer does not support user rule resolution".to_owned());
                    all.incomplete = true;
                }
                Mode::AlwaysAllow => all.rules.extend(Rule::everything()),
                Mode::Rbac => all.extend(self.rbac.read().rules_for(user, namespace)),
                Mode::Node | Mode::AlwaysDeny => {}
            }
        }
        all
    }

    /// The rules of the role that a binding in `namespace` refers to; `None` when there is no such role.
    fn referenced_rules(&self, role_ref: &Value, namespace: &str) -> Option<std::sync::Arc<[Rule]>> {
        let text = |name: &str| role_ref.str_at(&[name]).unwrap_or_default();
        self.rbac.read().role(text("kind") == "ClusterRole", namespace, text("name"))
    }

    fn ask(&self, mode: Mode, attributes: &Attributes<'_>) -> Decision {
        match mode {
            Mode::Node => node::authorize(&self.graph.read(), &self.node_rules, attributes),
            Mode::Rbac => self.rbac.read().authorize(attributes),
            Mode::AlwaysAllow => Decision::Allow(String::new()),
            Mode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let user = User::new("x<y", &[]);
        let list = Attributes {
            user: &user,
            verb: "list",
            resource: "pods",
            namespace: "y",
            is_resource: true,
            ..Attributes::default()
        };
        let scale =
            Attributes { verb: "get", group: "apps", resource: "deployments", subresource: "scale", name: "d", ..list };
        let path = Attributes { user: &user, verb: "get", path: "/metrics", ..Attributes::default() };
        let nodes = Attributes { resource: "nodes", namespace: "", ..list };
        let shown = [list.refusal(""), scale.refusal(""), path.refusal(""), nodes.refusal("No Object name found")]
            .map(|status| status.message)
            .join("\n");
        expect_test::expect![[r#"
            pods is forbidden: User "x&lt;y" cannot list resource "pods" in API group "" in the namespace "y"
            deployments.apps "d" is forbidden: User "x&lt;y" cannot get resource "deployments/scale" in API group "apps" in the namespace "y"
            forbidden: User "x&lt;y" cannot get path "/metrics"
            nodes is forbidden: User "x&lt;y" cannot list resource "nodes" in API group "" at the cluster scope: No Object name found"#]]
        .assert_eq(&shown);
    }

    #[test]
    fn modes_in_their_order() {
        let user = User::new("x", &["system:authenticated"]);
        let attributes = Attributes { user: &user, verb: "get", path: "/x", ..Attributes::default() };
        let decide = |modes: &[Mode]| Authorizer::new(modes.to_vec()).authorize(&attributes);
        assert_eq!(decide(&[]), Decision::NoOpinion(String::new()));
        assert!(decide(&[Mode::Node, Mode::Rbac, Mode::AlwaysAllow]).is_allowed());
        assert_eq!(decide(&[Mode::AlwaysDeny]).reason(), "Everything is forbidden.");
        let master = User::new("x", &[MASTERS]);
        assert!(Authorizer::new(vec![]).authorize(&Attributes { user: &master, ..attributes }).is_allowed());
        assert_eq!(
            "Webhook".parse::<Mode>().unwrap_err().to_string(),
            "authorization mode \"Webhook\" is not one of AlwaysAllow, AlwaysDeny, Node, RBAC"
        );
    }
}
