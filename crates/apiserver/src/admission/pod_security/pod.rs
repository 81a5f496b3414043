//! A pod as the checks see it, and the words that their messages share.

use machinery::{Object, Value};

/// A pod, or the template of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    pub annotations: Option<&'a Object>,
    pub spec: &'a Value,
}

/// What is wrong: the rule, and where the pod breaks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub reason: &'static str,
    pub detail: String,
}

impl<'a> Pod<'a> {
    /// All containers: init, then plain, then ephemeral ones.
    pub fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| self.spec.items_at(&[list]))
    }

    /// The names of the containers that `bad` holds of.
    pub fn containers_where(self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|container| bad(container)).map(name).collect()
    }

    pub fn volumes(self) -> &'a [Value] {
        self.spec.items_at(&["volumes"])
    }

    /// What the pod's own security context says.
    pub fn security(self, path: &[&str]) -> Option<&'a Value> {
        self.spec.get("securityContext")?.at(path).filter(|value| !value.is_null())
    }

    /// Whether the pod's users are not the node's (KEP-127): root in it is nobody outside.
    pub fn has_own_users(self) -> bool {
        self.spec.bool_at(&["hostUsers"]) == Some(false)
    }

    pub fn is_windows(self) -> bool {
        self.spec.str_at(&["os", "name"]) == Some("windows")
    }
}

/// What a container's own security context says.
pub(super) fn security<'a>(container: &'a Value, path: &[&str]) -> Option<&'a Value> {
    container.get("securityContext")?.at(path).filter(|value| !value.is_null())
}

pub(super) fn name(object: &Value) -> &str {
    object.str_at(&["name"]).unwrap_or_default()
}

/// The type of a profile.
pub(super) fn kind(profile: &Value) -> &str {
    profile.str_at(&["type"]).unwrap_or_default()
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn listed(noun: &str, names: &[&str]) -> String {
    format!("{} {}", plural(noun, names.len()), quoted(names))
}

pub(super) fn plural(noun: &str, count: usize) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

pub(super) fn quoted(texts: &[&str]) -> String {
    texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

/// Sorted, each once.
pub(super) fn distinct<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    texts.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Who set something: `pod`, `container "a"`, `pod and containers "a", "b"`.
pub(super) fn setters(pod: bool, containers: &[&str]) -> Vec<String> {
    let containers = (!containers.is_empty()).then(|| listed("container", containers));
    pod.then(|| "pod".to_owned()).into_iter().chain(containers).collect()
}
