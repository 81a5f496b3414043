//! Plugins that look at a write before it counts: some change it, some refuse it (upstream's admission control).
//!
//! Invariant: a plugin is a pure function of the request and of the objects that it looks up; it waits for nothing.

mod always_pull_images;
mod certificate_approval;
mod certificate_subject_restriction;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod deny_service_external_ips;
mod extended_resource_toleration;
mod limit_ranger;
mod lister;
mod metrics;
mod mountable_secrets;
mod namespace_lifecycle;
mod node_restriction;
mod persistent_volume_claim_resize;
mod plugins;
mod pod_security;
mod pod_topology_labels;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
mod token_audiences;

use base::Random;
use machinery::status::In;
use machinery::{Status, Value, meta};

pub use lister::Lister;
#[cfg(test)]
pub use lister::Objects;
pub use plugins::{PluginError, Plugins};
pub use pod_security::Configuration as PodSecurity;

use crate::User;
use crate::authorization::Authorizer;

/// The annotation of a pod that stands for one that a node runs from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// A connection to it is opened: exec, attach, port-forward, proxy.
    Connect,
}

impl Operation {
    /// The word that messages and webhooks use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A write on its way.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is done.
    pub operation: Operation,
    /// The API group of the resource.
    pub group: &'a str,
    /// The kind of `object`; for a subresource its own (Binding, Eviction, TokenRequest).
    pub kind: &'a str,
    /// The plural of the resource.
    pub resource: &'a str,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// The namespace; empty for cluster-wide objects.
    pub namespace: &'a str,
    /// The name; empty while a name is still to be generated.
    pub name: &'a str,
    /// The object to be; `Null` on a delete.
    pub object: &'a mut Value,
    /// The object that is; none on a create.
    pub old: Option<&'a Value>,
    /// Who asks.
    pub user: &'a User,
    /// Whether nothing is to be kept.
    pub dry_run: bool,
    /// What the client is to be warned about; plugins add to it.
    pub warnings: Vec<String>,
}

impl Request<'_> {
    /// Whether it is about `resource` (of the core group when `group` is empty) and no subresource.
    fn is(&self, group: &str, resource: &str) -> bool {
        self.is_part(group, resource, "")
    }

    fn is_part(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.group == group && self.resource == resource && self.subresource == subresource
    }

    /// The name, of the path or of the object.
    fn object_name(&self) -> &str {
        if self.name.is_empty() { meta::name(self.object) } else { self.name }
    }

    /// The answer of a plugin that refuses. An object whose name is still to be generated goes by what its name begins
    /// with.
    fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        let generate_name = self.object.str_at(&["metadata", "generateName"]).unwrap_or_default();
        let name = [self.object_name(), generate_name, "Unknown"].into_iter().find(|name| !name.is_empty());
        Status::forbidden(In { group: self.group, name: self.resource }, name.unwrap_or_default(), why)
    }
}

/// What plugins may look at besides the request.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Other objects.
    pub objects: &'a dyn Lister,
    /// Who may do what.
    pub authorizer: &'a Authorizer,
    /// For generated names.
    pub random: &'a Random,
    /// What the plugin PodSecurity goes by where a namespace says nothing, and whom it leaves alone.
    pub pod_security: &'a PodSecurity,
}

type Hook = fn(&mut Request<'_>, &Context<'_>) -> Result<(), Status>;

/// One plugin: what it does in the phase in which objects are changed, and in the one in which they are only checked.
#[derive(Debug)]
pub struct Plugin {
    /// The name that `--enable-admission-plugins` and `--disable-admission-plugins` take.
    pub name: &'static str,
    admit: Option<Hook>,
    validate: Option<Hook>,
}

/// All plugins in upstream's order.
const ALL: &[Plugin] = &[
    namespace_lifecycle::PLUGIN,
    limit_ranger::PLUGIN,
    service_account::PLUGIN,
    node_restriction::PLUGIN,
    taint_nodes_by_condition::PLUGIN,
    always_pull_images::PLUGIN,
    pod_security::PLUGIN,
    priority::PLUGIN,
    default_toleration_seconds::PLUGIN,
    extended_resource_toleration::PLUGIN,
    default_storage_class::PLUGIN,
    storage_object_in_use_protection::PLUGIN,
    persistent_volume_claim_resize::PLUGIN,
    runtime_class::PLUGIN,
    certificate_approval::APPROVAL,
    certificate_approval::SIGNING,
    certificate_subject_restriction::PLUGIN,
    default_ingress_class::PLUGIN,
    deny_service_external_ips::PLUGIN,
    pod_topology_labels::PLUGIN,
    RESOURCE_QUOTA,
];

/// It writes to the store, so it is no hook: [`crate::quota`] does its work when all others have agreed.
pub const RESOURCE_QUOTA: Plugin = Plugin { name: "ResourceQuota", admit: None, validate: None };

/// Plugins that run only where somebody asks for them.
const OFF: &[&str] = &["AlwaysPullImages", "DenyServiceExternalIPs", "ExtendedResourceToleration"];

#[cfg(test)]
mod testing {
    //! Asks one plugin and shows what it did.

    use machinery::json;

    use super::*;
    use crate::authorization::Mode;

    /// A request in the namespace `ns` by `user`.
    pub fn request<'a>(
        operation: Operation,
        path: (&'a str, &'a str),
        object: &'a mut Value,
        old: Option<&'a Value>,
        user: &'a User,
    ) -> Request<'a> {
        let (resource, subresource) = path.1.split_once('/').unwrap_or((path.1, ""));
        let name = old.map(meta::name).unwrap_or_default();
        let namespace = if matches!(resource, "nodes" | "namespaces") { "" } else { "ns" };
        Request {
            operation,
            group: path.0,
            kind: "",
            resource,
            subresource,
            namespace,
            name,
            object,
            old,
            user,
            dry_run: false,
            warnings: Vec::new(),
        }
    }

    /// Runs `plugin` and shows the object, or the refusal, and the warnings.
    pub fn ask(plugin: &Plugin, request: &mut Request<'_>, objects: &Objects) -> String {
        let authorizer = Authorizer::new(vec![Mode::Rbac]);
        let (random, pod_security) = (Random::seeded(1), PodSecurity::default());
        let context = Context { objects, authorizer: &authorizer, random: &random, pod_security: &pod_security };
        let hooks = [plugin.admit, plugin.validate];
        let answer = hooks.iter().flatten().try_for_each(|hook| hook(request, &context));
        let mut shown = match answer {
            Ok(()) => json::to_string(request.object),
            Err(status) => format!("{} {}", status.code, status.message),
        };
        for warning in &request.warnings {
            shown = format!("{shown}\n  warning: {warning}");
        }
        shown
    }
}
