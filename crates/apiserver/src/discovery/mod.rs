//! What the server serves, for clients that ask before they act: groups, versions and resources, one by one and all in
//! one answer (KEP-3352). Everything follows from the kinds' declarations.

mod aggregated;
mod legacy;

pub use aggregated::aggregated;
pub use legacy::{core_versions, group, groups, resources};

use kinds::Kind;

/// A group and version with its kinds, sorted by resource.
struct GroupVersion {
    group: &'static str,
    version: &'static str,
    kinds: Vec<&'static Kind>,
}

/// Groups in the order in which clients should prefer them; the core group stands apart. Groups that are not named
/// here come last.
const GROUP_ORDER: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Every group and version that this server serves, preferred ones first.
#[must_use]
pub fn served() -> Vec<(&'static str, &'static str)> {
    group_versions().iter().map(|one| (one.group, one.version)).collect()
}

/// Every group and version, preferred ones first: later versions of a group before earlier ones.
fn group_versions() -> Vec<GroupVersion> {
    let mut all: Vec<GroupVersion> = Vec::new();
    for kind in kinds::all().iter().copied().filter(|kind| !kind.verbs.is_empty()) {
        match all.iter_mut().find(|known| known.group == kind.group && known.version == kind.version) {
            Some(known) => known.kinds.push(kind),
            None => all.push(GroupVersion { group: kind.group, version: kind.version, kinds: vec![kind] }),
        }
    }
    let rank = |group: &str| GROUP_ORDER.iter().position(|known| *known == group).unwrap_or(GROUP_ORDER.len());
    all.sort_by(|a, b| rank(a.group).cmp(&rank(b.group)).then_with(|| b.version.cmp(a.version)));
    for one in &mut all {
        one.kinds.sort_by_key(|kind| kind.plural);
    }
    all
}

impl GroupVersion {
    /// Group and version as objects carry them.
    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

#[cfg(test)]
mod tests {
    use kinds::Subresource;
    use machinery::Value;

    use super::*;

    /// A resource in a line: name, scope, kind, verbs, short names, categories, singular name.
    fn line(name: &str, entry: &Value) -> String {
        let list = |field: &str| {
            let texts: Vec<&str> = entry.items_at(&[field]).iter().filter_map(Value::as_str).collect();
            if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
        };
        let part = |field: &str| entry.str_at(&[field]).filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
        let scope = if entry.bool_at(&["namespaced"]) == Some(true) { "namespaced" } else { "cluster" };
        let mut kind = part("kind");
        if let Some(group) = entry.str_at(&["group"]) {
            kind = format!("{group}/{}/{kind}", part("version"));
        }
        let verbs = match list("verbs") {
            verbs if verbs == kinds::kind::ALL_VERBS.join(",") => "all".to_owned(),
            verbs => verbs,
        };
        let hash = part("storageVersionHash");
        format!(
            "  {name} {scope} {kind} {verbs} {} {} {} {hash}",
            list("shortNames"),
            list("categories"),
            part("singularName")
        )
    }

    /// The whole of discovery as a table, compared with that of Kubernetes 1.36 (`served.txt`).
    #[test]
    fn what_is_served_is_what_1_36_serves() {
        let mut shown = Vec::new();
        for (group, version) in served() {
            shown.push(if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") });
            let list = resources(group, version).unwrap();
            for entry in list.items_at(&["resources"]) {
                shown.push(line(entry.str_at(&["name"]).unwrap(), entry));
            }
        }
        expect_test::expect_file!["served.txt"].assert_eq(&(shown.join("\n") + "\n"));
    }

    #[test]
    fn both_forms_speak_of_the_same_resources() {
        let mut whole: Vec<String> = Vec::new();
        for core in [true, false] {
            let document = aggregated(core);
            for group in document.items_at(&["items"]) {
                for version in group.items_at(&["versions"]) {
                    for resource in version.items_at(&["resources"]) {
                        let name = resource.str_at(&["resource"]).unwrap();
                        whole.push(name.to_owned());
                        let below = resource.items_at(&["subresources"]).iter();
                        whole.extend(below.map(|sub| format!("{name}/{}", sub.str_at(&["subresource"]).unwrap())));
                    }
                }
            }
        }
        let of_kind = |kind: &&'static Kind| {
            let mut below: Vec<&Subresource> = kind.subresources.iter().collect();
            below.sort_by_key(|sub| sub.name);
            let below = below.into_iter().map(|sub| format!("{}/{}", kind.plural, sub.name));
            std::iter::once(kind.plural.to_owned()).chain(below).collect::<Vec<_>>()
        };
        let declared: Vec<String> = group_versions().iter().flat_map(|one| &one.kinds).flat_map(of_kind).collect();
        assert_eq!(whole, declared);
    }
}
