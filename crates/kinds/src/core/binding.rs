//! Binding: tells the API server on which node a pod runs; never stored.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, field};

use crate::kind::{BASE, Kind};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Binding",
    plural: "bindings",
    schema: "io.k8s.api.core.v1.Binding",
    verbs: &["create"],
    validate: check,
    ..BASE
};

/// What is wrong with a binding of a pod. Upstream answers with these as an internal error, not as `Invalid`.
#[must_use]
pub fn check(binding: &Value) -> Errors {
    let path = Path::new("target");
    let mut errors = Errors::new();
    let kind = binding.str_at(&["target", "kind"]).unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        errors.push(field::Error::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if binding.str_at(&["target", "name"]).is_none_or(str::is_empty) {
        errors.push(Error::required(&path.child("name"), ""));
    }
    errors
}
