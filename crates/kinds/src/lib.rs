//! How kinds behave: one file a kind; pure.
//!
//! A kind is a static [`Kind`]: its names, its table, and hooks for what a schema cannot say. The API server runs
//! `default` → `prepare_for_create` → `check_create` (or the update's three) and knows nothing else about a kind.

use std::collections::HashMap;
use std::sync::LazyLock;

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod coordination;
pub mod core;
pub mod discovery;
pub mod flowcontrol;
mod go_shape;
pub mod kind;
pub mod networking;
pub mod node;
pub mod pod_spec;
pub mod policy;
pub mod quota;
pub mod rbac;
pub mod resource;
pub mod scheduling;
pub mod storage;
pub mod strategy;
pub mod table;
pub mod validate;

pub use kind::{Context, Conversion, Generation, Kind, MetadataChecks, NameRule, Selectable, Subresource, Writes};
pub use table::{Column, Describe};

/// The kinds of each group and version, in discovery's order.
static GROUPS: &[&[&Kind]] = &[
    core::ALL,
    apiregistration::ALL,
    apps::ALL,
    &[&core::event::EVENTS_KIND],
    authentication::ALL,
    authorization::ALL,
    autoscaling::ALL,
    batch::ALL,
    certificates::ALL,
    networking::ALL,
    policy::ALL,
    rbac::ALL,
    storage::ALL,
    admissionregistration::ALL,
    apiextensions::ALL,
    scheduling::ALL,
    coordination::ALL,
    node::ALL,
    discovery::ALL,
    resource::ALL,
    flowcontrol::ALL,
];

/// Every kind.
#[must_use]
pub fn all() -> &'static [&'static Kind] {
    static ALL: LazyLock<Vec<&'static Kind>> = LazyLock::new(|| GROUPS.concat());
    &ALL
}

/// The kind that paths name by group, version and plural.
#[must_use]
pub fn lookup(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    static BY_PLURAL: LazyLock<Index> = LazyLock::new(|| Index::of(|kind| kind.plural));
    BY_PLURAL.find(group, version, plural)
}

/// The kind that objects name by group, version and kind.
#[must_use]
pub fn by_kind(group: &str, version: &str, name: &str) -> Option<&'static Kind> {
    static BY_KIND: LazyLock<Index> = LazyLock::new(|| Index::of(|kind| kind.kind));
    BY_KIND.find(group, version, name)
}

/// The kind in whose form the objects of a resource are stored, whatever version they were written in.
#[must_use]
pub fn stored(group: &str, plural: &str) -> Option<&'static Kind> {
    static STORED: LazyLock<HashMap<&str, Vec<&'static Kind>>> = LazyLock::new(|| {
        let mut kinds: HashMap<&str, Vec<&'static Kind>> = HashMap::new();
        for kind in all().iter().copied().filter(|kind| kind.stored_as.is_none() && !kind.storage.is_empty()) {
            kinds.entry(kind.plural).or_default().push(kind);
        }
        kinds
    });
    STORED.get(plural)?.iter().copied().find(|kind| kind.group == group)
}

/// The kinds by one of their names: every request asks for some.
struct Index(HashMap<&'static str, Vec<&'static Kind>>);

impl Index {
    fn of(name: fn(&Kind) -> &'static str) -> Self {
        let mut kinds: HashMap<&str, Vec<&'static Kind>> = HashMap::new();
        for kind in all().iter().copied() {
            kinds.entry(name(kind)).or_default().push(kind);
        }
        Self(kinds)
    }

    fn find(&self, group: &str, version: &str, name: &str) -> Option<&'static Kind> {
        self.0.get(name)?.iter().copied().find(|kind| kind.group == group && kind.version == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_whole() {
        for kind in all() {
            assert!(machinery::schema::message(kind.schema).is_some(), "{} has no schema {}", kind.kind, kind.schema);
            let cells = (kind.row)(&machinery::Value::object(), jiff::Timestamp::UNIX_EPOCH);
            let more = usize::from(kind.kind == "IPAddress");
            assert_eq!(cells.len(), kind.columns.len() + more, "{}: a cell for each column", kind.kind);
            assert_eq!(lookup(kind.group, kind.version, kind.plural).map(|found| found.kind), Some(kind.kind));
            assert_eq!(by_kind(kind.group, kind.version, kind.kind).map(|found| found.plural), Some(kind.plural));
            let stored = kind.verbs.contains(&"list") && kind.kind != "ComponentStatus";
            assert_eq!(stored, !kind.storage.is_empty(), "{}: what can be listed is stored", kind.kind);
        }
    }
}
