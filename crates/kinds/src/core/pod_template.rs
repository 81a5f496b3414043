//! PodTemplate: a pod spec to make pods from, on its own.

use jiff::Timestamp;
use machinery::field::{Errors, Path};
use machinery::{Value, labels, meta};

use crate::kind::{BASE, Generation, Kind};
use crate::pod_spec;
use crate::table::{CONTAINERS, Describe, IMAGES, NAME, containers_and_images, text};
use crate::validate::pod_template;

/// The kind.
pub static KIND: Kind = Kind {
    kind: "PodTemplate",
    plural: "podtemplates",
    storage: "podtemplates",
    schema: "io.k8s.api.core.v1.PodTemplate",
    columns: &[
        NAME,
        crate::Column { priority: 0, ..CONTAINERS },
        crate::Column { priority: 0, ..IMAGES },
        text("Pod Labels", Describe::Text("The labels for the pod template.")),
    ],
    row,
    generation: Generation::Of(&["template"]),
    default: |object| {
        pod_spec::default::template(object, &[]);
    },
    validate,
    validate_update: |new, _| validate(new),
    warnings: |new, old| crate::core::pod::warnings::of_workload(new, old, &["template"]),
    ..BASE
};

fn row(object: &Value, _: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(object.at(&["template", "spec"]));
    let labels = labels::format_labels(object.at(&["template", "metadata", "labels"]).and_then(Value::as_object));
    vec![meta::name(object).into(), containers, images, labels.into()]
}

fn validate(object: &Value) -> Errors {
    pod_template::validate(object.get("template").unwrap_or(&Value::Null), &Path::new("template"))
}
