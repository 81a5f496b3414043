//! ReplicationController: the first form of what a ReplicaSet does.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, labels, meta};

use crate::kind::{BASE, Generation, Kind, MetadataChecks, SCALE, STATUS, Subresource, selectable};
use crate::pod_spec;
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, int, integer, text};
use crate::validate::{non_negative_at, pod_template};

const SPEC: &str = "io.k8s.api.core.v1.ReplicationControllerSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.core.v1.ReplicationControllerStatus";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ReplicationController",
    plural: "replicationcontrollers",
    short_names: &["rc"],
    categories: &["all"],
    storage: "controllers",
    schema: "io.k8s.api.core.v1.ReplicationController",
    subresources: &[SCALE, Subresource { validate: |new, _| status(new), ..STATUS }],
    columns: &[
        NAME,
        integer("Desired", Describe::Field(SPEC, "replicas")),
        integer("Current", Describe::Field(STATUS_SCHEMA, "replicas")),
        integer("Ready", Describe::Field(STATUS_SCHEMA, "readyReplicas")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Describe::Field(SPEC, "selector")).wide(),
    ],
    row,
    selectable: selectable!["metadata.name", "metadata.namespace", "status.replicas"],
    generation: Generation::Of(&["spec"]),
    orphans_dependents: true,
    default,
    validate,
    // Upstream checks any change both as a new object and as a change.
    validate_update: |new, _| [validate(new), validate(new)].concat(),
    warnings: |new, old| crate::core::pod::warnings::of_named_workload(new, old, &["spec", "template"]),
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(controller: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(controller.at(&["spec", "template", "spec"]));
    vec![
        meta::name(controller).into(),
        int(controller, &["spec", "replicas"]),
        int(controller, &["status", "replicas"]),
        int(controller, &["status", "readyReplicas"]),
        age(controller, now),
        containers,
        images,
        labels::format_labels(controller.at(&["spec", "selector"]).and_then(Value::as_object)).into(),
    ]
}

/// Without selector and labels, those of the template hold.
fn default(controller: &mut Value) {
    if let Some(labels) = controller.at(&["spec", "template", "metadata", "labels"]).cloned() {
        for path in [["spec", "selector"], ["metadata", "labels"]] {
            if controller.at(&path).and_then(Value::as_object).is_none_or(Object::is_empty) {
                controller.set_at(&path, labels.clone());
            }
        }
    }
    pod_spec::default::set_in(controller, &["spec"], "replicas", || Value::Int(1));
    if controller.at(&["spec", "template"]).is_some_and(|template| !template.is_null()) {
        pod_spec::default::template(controller, &["spec"]);
    }
}

fn validate(controller: &Value) -> Errors {
    let spec = controller.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors: Errors = non_negative_at(spec, "minReadySeconds", &path).into_iter().collect();
    let selector = spec.get("selector").and_then(Value::as_object);
    if selector.is_none_or(Object::is_empty) {
        errors.push(Error::required(&path.child("selector"), ""));
    }
    errors.extend(non_negative_at(spec, "replicas", &path));
    let path = path.child("template");
    let Some(template) = spec.get("template").filter(|template| !template.is_null()) else {
        errors.push(Error::required(&path, ""));
        return errors;
    };
    let template_labels = meta::labels(template);
    let matches =
        selector.into_iter().flat_map(Object::iter).all(|(k, v)| template_labels.and_then(|l| l.get(k)) == Some(v));
    if !matches {
        let shown = template_labels.cloned().map_or(Value::Null, Value::Object);
        let detail = "`selector` does not match template `labels`";
        errors.push(Error::invalid(&path.child("metadata.labels"), shown, detail));
    }
    errors.extend(pod_template::validate(template, &path));
    errors.extend(pod_template::always_restarts(template, &path, "ReplicationController"));
    errors
}

fn status(controller: &Value) -> Errors {
    crate::validate::replica_counts(
        controller,
        &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_without_a_template_gets_none() {
        let mut controller = machinery::value!({"spec": {"selector": {"a": "b"}}});
        default(&mut controller);
        let told: Vec<String> = validate(&controller).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["spec.template: Required value"]);
    }
}
