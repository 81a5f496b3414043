//! Which resource a request speaks of, and what every object has.

use std::any::TypeId;
use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The names under which the API serves a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version within the group.
    pub version: Cow<'static, str>,
    /// The kind, as objects name it.
    pub kind: Cow<'static, str>,
    /// The plural name, as paths name it.
    pub plural: Cow<'static, str>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// The resource of a built-in kind.
    #[must_use]
    pub fn of<K: Kind>() -> Self {
        Self {
            group: K::GROUP.into(),
            version: K::VERSION.into(),
            kind: K::KIND.into(),
            plural: K::URL_PATH_SEGMENT.into(),
            namespaced: TypeId::of::<K::Scope>() == TypeId::of::<NamespaceResourceScope>(),
        }
    }

    /// `v1` or `GROUP/VERSION`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of the collection (empty `name`), of an object, or of a subresource. An empty namespace means all.
    #[must_use]
    pub fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        for segment in [&*self.plural, name, subresource] {
            if !segment.is_empty() {
                path.push('/');
                path.push_str(segment);
            }
        }
        path
    }
}

/// Any object with metadata that can be sent and received.
pub trait Object: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// The object's metadata.
    fn meta(&self) -> &ObjectMeta;

    /// The object's metadata, to change it.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// The object's name, or nothing.
    fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }

    /// The object's namespace; empty for cluster-wide kinds.
    fn namespace(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }

    /// The object's uid, or nothing.
    fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }

    /// The object's resource version, or nothing.
    fn resource_version(&self) -> &str {
        self.meta().resource_version.as_deref().unwrap_or_default()
    }

    /// `NAMESPACE/NAME`, or `NAME` for cluster-wide kinds.
    fn key(&self) -> String {
        key(self.namespace(), self.name())
    }

    /// The owner that manages this object.
    fn controller(&self) -> Option<&OwnerReference> {
        self.meta().owner_references.as_deref()?.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether deletion was asked for.
    fn is_deleted(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }

    /// The label `name`, or nothing.
    fn label(&self, name: &str) -> &str {
        self.meta().labels.as_ref().and_then(|labels| labels.get(name)).map_or("", String::as_str)
    }

    /// The annotation `name`.
    fn annotation(&self, name: &str) -> Option<&str> {
        self.meta().annotations.as_ref()?.get(name).map(String::as_str)
    }
}

/// `NAMESPACE/NAME`, or `NAME` without a namespace.
#[must_use]
pub fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// Namespace (empty if none) and name of a key.
#[must_use]
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

/// A built-in kind: an [`Object`] that knows its resource.
pub trait Kind: Object + k8s_openapi::Resource<Scope: 'static> {}

impl<K> Object for K
where
    K: k8s_openapi::Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }
}

impl<K: Object + k8s_openapi::Resource<Scope: 'static>> Kind for K {}

/// An object of any kind, metadata only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartialObject {
    /// The group and version.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The metadata.
    pub metadata: ObjectMeta,
}

impl Object for PartialObject {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::{Node, Pod};

    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let (pods, nodes, deployments) = (Resource::of::<Pod>(), Resource::of::<Node>(), Resource::of::<Deployment>());
        for (path, expected) in [
            (pods.path("", "", ""), "/api/v1/pods"),
            (pods.path("a", "b", "binding"), "/api/v1/namespaces/a/pods/b/binding"),
            (nodes.path("", "n", "status"), "/api/v1/nodes/n/status"),
            (deployments.path("a", "", ""), "/apis/apps/v1/namespaces/a/deployments"),
        ] {
            assert_eq!(path, expected);
        }
        assert_eq!(deployments.api_version(), "apps/v1");
    }
}
