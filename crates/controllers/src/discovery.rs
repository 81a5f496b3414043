//! Which resources the API server has, for controllers that care about all of them.

use client::{ApiError, Client, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResourceList};

/// The preferred version of every resource that has all of `verbs`, and the groups that could not be asked.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    pub(crate) resources: Vec<Resource>,
    pub(crate) failed: Vec<(String, ApiError)>,
}

/// Asks the server for everything it serves.
pub(crate) async fn discover(client: &Client, verbs: &[&str]) -> Result<Discovered, ApiError> {
    let groups: APIGroupList = client.get_path("/apis").await?;
    let preferred = groups.groups.iter().filter_map(|group| {
        let version = group.preferred_version.as_ref().or(group.versions.first())?;
        Some((group.name.clone(), version.version.clone()))
    });
    let mut discovered = Discovered::default();
    for (group, version) in std::iter::once((String::new(), "v1".to_owned())).chain(preferred) {
        let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        match client.get_path::<APIResourceList>(&path).await {
            Ok(list) => discovered.resources.extend(resources(&list, &group, &version, verbs)),
            Err(error) => discovered.failed.push((path, error)),
        }
    }
    Ok(discovered)
}

fn resources(list: &APIResourceList, group: &str, version: &str, verbs: &[&str]) -> Vec<Resource> {
    let whole = list.resources.iter().filter(|resource| !resource.name.contains('/'));
    let able = whole.filter(|resource| verbs.iter().all(|verb| resource.verbs.iter().any(|known| known == verb)));
    able.map(|resource| Resource {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: resource.kind.clone().into(),
        plural: resource.name.clone().into(),
        namespaced: resource.namespaced,
    })
    .collect()
}
