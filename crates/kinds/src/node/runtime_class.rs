//! RuntimeClass: a way to run containers that some nodes have.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use crate::kind::{BASE, Kind, MetadataChecks, Writes};
use crate::pod_spec::check::{shown_toleration, toleration_list};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::{deprecated, metadata, resources};

const CLASS: &str = "io.k8s.api.node.v1.RuntimeClass";

/// The kind.
pub static KIND: Kind = Kind {
    group: "node.k8s.io",
    kind: "RuntimeClass",
    plural: "runtimeclasses",
    namespaced: false,
    storage: "runtimeclasses",
    schema: CLASS,
    columns: &[NAME, text("Handler", Describe::Text("")), AGE],
    row,
    writes: Writes { create_on_update: true, unconditional: false },
    metadata: MetadataChecks::BOTH,
    validate,
    validate_update: |new, old| {
        let mut errors = validate(new);
        errors.extend(immutable(new.get("handler"), old.get("handler"), &Path::new("handler")));
        errors
    },
    warnings: |class, _| {
        let labels = metadata::sorted(class.at(&["scheduling", "nodeSelector"]).and_then(Value::as_object));
        let path = Path::new("scheduling.nodeSelector");
        labels.into_iter().filter_map(|(label, _)| deprecated::label(label, &path)).collect()
    },
    ..BASE
};

fn row(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::name(class).into(), str(class, &["handler"]), age(class, now)]
}

fn validate(class: &Value) -> Errors {
    let path = Path::new("handler");
    let mut errors = Errors::new();
    match class.str_at(&["handler"]).unwrap_or_default() {
        "" => errors.push(Error::required(&path, "")),
        handler => errors.extend(crate::validate::text(names::is_dns1123_label, handler, &path)),
    }
    // Upstream checks the overhead as if it were a container's limits, and says so.
    for (name, amount) in metadata::sorted(class.at(&["overhead", "podFixed"]).and_then(Value::as_object)) {
        errors.extend(resources::container_resource(name, amount, &Path::new("overhead.limits").key(name)));
    }
    let path = Path::new("scheduling");
    let node_selector = class.at(&["scheduling", "nodeSelector"]).and_then(Value::as_object);
    errors.extend(metadata::labels(node_selector, &path.child("nodeSelector")));
    errors.extend(tolerations(class.items_at(&["scheduling", "tolerations"]), &path.child("tolerations")));
    errors
}

fn tolerations(all: &[Value], path: &Path) -> Errors {
    let mut errors = toleration_list(all, path);
    for (i, toleration) in all.iter().enumerate() {
        if all[..i].contains(toleration) {
            errors.push(Error::duplicate(&path.index(i), shown_toleration(toleration)));
        }
    }
    errors
}
