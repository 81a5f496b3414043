//! What the server serves, as it says itself.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::api_server::ApiServer;
use crate::kubectl::text;

/// A kind in one version.
pub struct Served {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The resource's name in paths.
    pub plural: String,
    /// The kind's name.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What the server does with it.
    pub verbs: Vec<String>,
    /// Its subresources.
    pub subresources: Vec<String>,
}

impl Served {
    /// As in an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As kubectl takes it: `deployments.v1.apps`.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            return self.plural.clone();
        }
        format!("{}.{}.{}", self.plural, self.version, self.group)
    }

    /// As kubectl shows it: `deployment.apps`.
    pub fn shown(&self) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { kind } else { format!("{kind}.{}", self.group) }
    }

    /// Whether the server does `verb` with it.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|has| has == verb)
    }
}

/// Every kind in every version.
///
/// # Errors
/// When discovery does not answer.
pub fn served(server: &ApiServer) -> Result<Vec<Served>> {
    let mut all = resources(server, "", "v1", "/api/v1")?;
    let groups = ask(server, "/apis")?;
    for group in items(&groups, "groups") {
        for version in items(group, "versions") {
            let path = format!("/apis/{}", text(version, "/groupVersion"));
            all.extend(resources(server, text(group, "/name"), text(version, "/version"), &path)?);
        }
    }
    Ok(all)
}

fn resources(server: &ApiServer, group: &str, version: &str, path: &str) -> Result<Vec<Served>> {
    let list = ask(server, path)?;
    let (parts, whole): (Vec<&Value>, Vec<&Value>) =
        items(&list, "resources").iter().partition(|resource| text(resource, "/name").contains('/'));
    let served = whole.into_iter().map(|resource| Served {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: text(resource, "/name").to_owned(),
        kind: text(resource, "/kind").to_owned(),
        namespaced: resource["namespaced"] == true,
        verbs: items(resource, "verbs").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        subresources: parts
            .iter()
            .filter_map(|part| text(part, "/name").split_once('/'))
            .filter(|(plural, _)| *plural == text(resource, "/name"))
            .map(|(_, name)| name.to_owned())
            .collect(),
    });
    Ok(served.collect())
}

fn ask(server: &ApiServer, path: &str) -> Result<Value> {
    let answer = server.kubectl("get --raw").arg(path).ok()?;
    serde_json::from_str(&answer).with_context(|| format!("reading {path}"))
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}
