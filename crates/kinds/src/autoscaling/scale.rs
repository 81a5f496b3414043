//! Scale: the number of replicas of any kind that has one, seen through one window.

use machinery::field::{Errors, Path};
use machinery::{Value, labels, meta, value};

use crate::kind::{BASE, Kind};
use crate::table::{AGE, Column, Describe, NAME, age, int, integer};
use crate::validate::non_negative_at;

/// The kind; only `scale` subresources serve it.
pub static KIND: Kind = Kind {
    group: "autoscaling",
    kind: "Scale",
    plural: "scales",
    schema: "io.k8s.api.autoscaling.v1.Scale",
    verbs: &[],
    columns: &[
        Column { format: "", ..NAME },
        integer("Desired", Describe::Field("io.k8s.api.autoscaling.v1.ScaleSpec", "replicas")),
        integer("Available", Describe::Field("io.k8s.api.autoscaling.v1.ScaleStatus", "replicas")),
        AGE,
    ],
    row: |scale, now| {
        let replicas = |part: &str| int(scale, &[part, "replicas"]);
        vec![meta::name(scale).into(), replicas("spec"), replicas("status"), age(scale, now)]
    },
    validate: check,
    ..BASE
};

/// The scale of an object with replicas.
#[must_use]
pub fn of(object: &Value) -> Value {
    let metadata = |field: &str| object.at(&["metadata", field]).cloned();
    let mut scale = value!({"kind": "Scale", "apiVersion": "autoscaling/v1"});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata(field) {
            scale.set_at(&["metadata", field], value);
        }
    }
    scale.set_at(&["spec"], Value::object());
    if let Some(replicas) = object.int_at(&["spec", "replicas"]).filter(|replicas| *replicas != 0) {
        scale.set_at(&["spec", "replicas"], replicas);
    }
    scale.set_at(&["status", "replicas"], object.int_at(&["status", "replicas"]).unwrap_or_default());
    let selector = selector(object);
    if !selector.is_empty() {
        scale.set_at(&["status", "selector"], selector);
    }
    scale
}

/// Puts the wish of `scale` into the object: the replicas, and the resource version it was made from.
pub fn apply(object: &mut Value, scale: &Value) {
    object.set_at(&["spec", "replicas"], scale.int_at(&["spec", "replicas"]).unwrap_or_default());
    meta::set_resource_version(object, meta::resource_version(scale));
}

/// What is wrong with a scale.
#[must_use]
pub fn check(scale: &Value) -> Errors {
    let spec = scale.get("spec").unwrap_or(&Value::Null);
    non_negative_at(spec, "replicas", &Path::new("spec")).into_iter().collect()
}

fn selector(object: &Value) -> String {
    let selector = object.at(&["spec", "selector"]);
    // A replication controller has plain labels there.
    let plain = selector.and_then(Value::as_object).is_some_and(|fields| fields.values().all(|v| v.as_str().is_some()));
    let shown = if plain {
        labels::format_labels(selector.and_then(Value::as_object))
    } else {
        labels::format_label_selector(selector)
    };
    if shown == "<none>" { String::new() } else { shown }
}
