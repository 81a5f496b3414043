//! Namespace: a room for objects.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use crate::kind::{
    BASE, Context, Kind, MetadataChecks, NameRule, STATUS, SUBRESOURCE, Subresource, keep, keep_spec, selectable,
};
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::metadata::{label_name, standard_finalizer};

/// The finalizer that keeps a namespace until it is empty.
const FINALIZER: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Namespace",
    plural: "namespaces",
    short_names: &["ns"],
    namespaced: false,
    storage: "namespaces",
    schema: "io.k8s.api.core.v1.Namespace",
    verbs: &["create", "delete", "get", "list", "patch", "update", "watch"],
    subresources: &[
        Subresource {
            name: "finalize",
            verbs: &["update"],
            prepare: |new, old, _| keep(new, old, &["status"]),
            validate: |new, _| finalizers(new),
            ..SUBRESOURCE
        },
        Subresource { prepare: |new, old, _| keep_spec(new, old), validate: validate_status, ..STATUS },
    ],
    columns: &[NAME, text("Status", Describe::Text("The status of the namespace")), AGE],
    row,
    selectable: selectable!["metadata.name", "status.phase"],
    name: NameRule::Text(names::is_dns1123_label),
    default,
    prepare_create,
    prepare_update: |new, old, _| keep(new, old, &["spec", "finalizers"]),
    validate: finalizers,
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(namespace: &Value, now: Timestamp) -> Vec<Value> {
    vec![meta::name(namespace).into(), str(namespace, &["status", "phase"]), age(namespace, now)]
}

fn default(namespace: &mut Value) {
    let name = meta::name(namespace).to_owned();
    if !name.is_empty() {
        meta::set_label(namespace, NAME_LABEL, &name);
    }
}

fn prepare_create(namespace: &mut Value, _: &Context<'_>) {
    default(namespace);
    namespace.set_at(&["status"], value!({"phase": "Active"}));
    let mut finalizers = namespace.items_at(&["spec", "finalizers"]).to_vec();
    if !finalizers.iter().any(|name| name.as_str() == Some(FINALIZER)) {
        finalizers.push(FINALIZER.into());
        namespace.set_at(&["spec", "finalizers"], Value::Array(finalizers));
    }
}

fn finalizers(namespace: &Value) -> Errors {
    let path = Path::new("spec.finalizers");
    let all = namespace.items_at(&["spec", "finalizers"]).iter().filter_map(Value::as_str);
    all.flat_map(|name| label_name(name, &path).into_iter().chain(standard_finalizer(name, &path))).collect()
}

fn validate_status(new: &Value, _: &Value) -> Errors {
    let phase = new.str_at(&["status", "phase"]).unwrap_or_default();
    let (expected, detail) = if meta::is_deleting(new) {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    let wrong = phase != expected;
    wrong.then(|| Error::invalid(&Path::new("status.Phase"), phase, detail)).into_iter().collect()
}
