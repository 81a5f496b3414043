//! ReplicaSet: a number of equal pods.

use jiff::Timestamp;
use machinery::field::{Errors, Path};
use machinery::{Value, labels, meta};

use crate::kind::{BASE, Generation, Kind, MetadataChecks, SCALE, STATUS, Subresource};
use crate::pod_spec::default::{set_in, template};
use crate::strategy::immutable;
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, int, integer, text};
use crate::validate::{non_negative_at, pod_template, replica_counts};

const SPEC: &str = "io.k8s.api.apps.v1.ReplicaSetSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.apps.v1.ReplicaSetStatus";

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    kind: "ReplicaSet",
    plural: "replicasets",
    short_names: &["rs"],
    categories: &["all"],
    storage: "replicasets",
    schema: "io.k8s.api.apps.v1.ReplicaSet",
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
    generation: Generation::Of(&["spec"]),
    default: |set| {
        set_in(set, &["spec"], "replicas", || Value::Int(1));
        template(set, &["spec"]);
    },
    validate,
    validate_update: |new, old| {
        // Upstream checks any change both as a new object and as a change.
        let mut errors = [validate(new), validate(new)].concat();
        let selector = ["spec", "selector"];
        errors.extend(immutable(new.at(&selector), old.at(&selector), &Path::new("spec.selector")));
        errors
    },
    warnings: |new, old| crate::core::pod::warnings::of_named_workload(new, old, &["spec", "template"]),
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(set: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(set.at(&["spec", "template", "spec"]));
    vec![
        meta::name(set).into(),
        int(set, &["spec", "replicas"]),
        int(set, &["status", "replicas"]),
        int(set, &["status", "readyReplicas"]),
        age(set, now),
        containers,
        images,
        labels::format_label_selector(set.at(&["spec", "selector"])).into(),
    ]
}

fn validate(set: &Value) -> Errors {
    let spec = set.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors: Errors = non_negative_at(spec, "replicas", &path).into_iter().collect();
    errors.extend(non_negative_at(spec, "minReadySeconds", &path));
    errors.extend(pod_template::selected(spec, &path, "deployment"));
    errors.extend(pod_template::of_replicas(spec, &path));
    errors
}

fn status(set: &Value) -> Errors {
    replica_counts(
        set,
        &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "terminatingReplicas",
            "observedGeneration",
        ],
    )
}
