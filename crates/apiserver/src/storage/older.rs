//! Older forms of objects. Three kinds are stored in one that is no longer served: a server of that time can read them,
//! and definitions are smaller so. All that earlier servers have left is read: an object that nobody has written since
//! keeps the version in which it was stored.

mod definition;
mod ingress;
mod slice;

use kinds::Kind;
use machinery::schema::{self, FieldValidation, Message};
use machinery::{Value, meta};

/// The older version in which some kinds are stored.
pub const VERSION: &str = "v1beta1";

const DEFINITION: &str = "CustomResourceDefinition";

/// The kinds that are stored in it, each with its group.
const STORED: [(&str, &str); 3] = [
    ("apiextensions.k8s.io", DEFINITION),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
];

/// The versions of each group in which earlier servers stored what is v1 now.
const READ: [(&str, &[&str]); 17] = [
    ("admissionregistration.k8s.io", &["v1beta1"]),
    ("apiextensions.k8s.io", &["v1beta1"]),
    ("apiregistration.k8s.io", &["v1beta1"]),
    ("apps", &["v1beta1", "v1beta2"]),
    ("batch", &["v1beta1"]),
    ("certificates.k8s.io", &["v1beta1"]),
    ("coordination.k8s.io", &["v1beta1"]),
    ("discovery.k8s.io", &["v1beta1"]),
    ("extensions", &["v1beta1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"]),
    ("networking.k8s.io", &["v1beta1"]),
    ("node.k8s.io", &["v1beta1"]),
    ("policy", &["v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1beta1"]),
    ("resource.k8s.io", &["v1beta2"]),
    ("scheduling.k8s.io", &["v1beta1"]),
    ("storage.k8s.io", &["v1alpha1", "v1beta1"]),
];

/// The older versions that are more than another name for v1: how their objects come to it.
type Serve = fn(&mut Value);
const CONVERTED: [(&str, &[&str], &str, Serve); 4] = [
    ("apiextensions.k8s.io", &["v1beta1"], DEFINITION, definition::serve),
    ("discovery.k8s.io", &["v1beta1"], "EndpointSlice", slice::serve),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2"], "PriorityLevelConfiguration", serve_priority_level),
    ("networking.k8s.io", &["v1beta1"], "Ingress", ingress::serve),
];

/// Whether objects of a kind are stored in the older form.
#[must_use]
pub fn is_used_for(kind: &Kind) -> bool {
    STORED.contains(&(kind.group, kind.kind))
}

/// Whether the bytes of a stored object are of one of the kinds, told by how our own begin.
pub(super) fn may_be_of(value: &[u8]) -> bool {
    let rest = value.strip_prefix(b"{\"kind\":\"");
    rest.is_some_and(|rest| STORED.iter().any(|(_, kind)| rest.starts_with(kind.as_bytes())))
}

/// The message of an object in an older form.
pub(super) fn message(group: &str, version: &str, kind: &str) -> Option<&'static Message> {
    let kind = served(group, version, kind)?;
    match conversion(kind, version) {
        // The flow control's are the same but for the version.
        Some(_) => schema::of_kind(kind.group, VERSION, kind.kind),
        None => schema::of_kind(kind.group, kind.version, kind.kind),
    }
}

/// From an older form to that of v1.
pub(super) fn to_served(object: &mut Value) {
    let (group, version) = meta::api_version(object).split_once('/').unwrap_or_default();
    let Some(kind) = served(group, version, meta::kind(object)) else { return };
    if let Some(serve) = conversion(kind, version) {
        serve(object);
    }
    meta::set_type(object, &kind.api_version(), kind.kind);
}

/// From the form of v1 to the older one in which it is stored.
pub(super) fn to_stored(object: &mut Value) {
    let (group, version) = meta::api_version(object).split_once('/').unwrap_or_default();
    let stored = STORED.into_iter().find(|stored| *stored == (group, meta::kind(object)));
    let Some((group, kind)) = stored.filter(|_| version == "v1") else { return };
    if kind == DEFINITION {
        definition::store(object);
    }
    meta::set_type(object, &format!("{group}/{VERSION}"), kind);
    if let Some(message) = message(group, VERSION, kind) {
        // It was in the form of v1, so every field has its type.
        drop(schema::decode(message, object, FieldValidation::Ignore));
    }
}

/// The kind whose objects earlier servers stored so.
fn served(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    let (_, versions) = READ.iter().find(|(read, _)| *read == group)?;
    if !versions.contains(&version) {
        return None;
    }
    let group = match (group, kind) {
        ("extensions", "Ingress" | "NetworkPolicy") => "networking.k8s.io",
        ("extensions", _) => "apps",
        (group, _) => group,
    };
    kinds::by_kind(group, "v1", kind)
}

/// How an object of this older version becomes one of v1, where more than the version differs.
fn conversion(kind: &Kind, version: &str) -> Option<Serve> {
    let found = CONVERTED.iter().find(|(group, _, converted, _)| (*group, *converted) == (kind.group, kind.kind))?;
    found.1.contains(&version).then_some(found.3)
}

fn serve_priority_level(level: &mut Value) {
    let limited = level.at_mut(&["spec", "limited"]).filter(|limited| limited.as_object().is_some());
    let Some(limited) = limited else { return };
    if let Some(shares) = definition::take(limited, "assuredConcurrencyShares") {
        limited.set_at(&["nominalConcurrencyShares"], shares);
    }
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    #[test]
    fn every_older_version_leads_to_a_kind() {
        for (group, versions) in READ.into_iter().filter(|(group, _)| *group != "extensions") {
            let known: Vec<_> =
                kinds::all().iter().filter(|kind| (kind.group, kind.version) == (group, "v1")).collect();
            assert!(!known.is_empty(), "{group}");
            for (kind, version) in known.iter().flat_map(|kind| versions.iter().map(move |version| (kind, version))) {
                assert!(message(group, version, kind.kind).is_some(), "{group}/{version} {}", kind.kind);
            }
        }
        for (kind, group) in [("Deployment", "apps"), ("DaemonSet", "apps"), ("Ingress", "networking.k8s.io")] {
            assert_eq!(served("extensions", "v1beta1", kind).unwrap().group, group);
        }
        for (group, version, kind) in
            [("apps", "v1", "Deployment"), ("apps", "v1alpha1", "Deployment"), ("", "v1", "Pod")]
        {
            assert!(served(group, version, kind).is_none(), "{group}/{version} {kind}");
        }
    }

    #[test]
    fn levels_of_priority_share_by_another_name() {
        let mut level = value!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1beta2", "kind": "PriorityLevelConfiguration",
            "spec": {"type": "Limited", "limited": {"assuredConcurrencyShares": 5}}});
        to_served(&mut level);
        assert_eq!(meta::api_version(&level), "flowcontrol.apiserver.k8s.io/v1");
        assert_eq!(level.int_at(&["spec", "limited", "nominalConcurrencyShares"]), Some(5));
    }
}
