//! DaemonSet: one pod on each node.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, labels, meta, value};

use crate::kind::{BASE, Context, Generation, Kind, MetadataChecks, STATUS, Subresource};
use crate::pod_spec::default::{set_absent, set_in, template};
use crate::strategy::immutable;
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, int, integer, text};
use crate::validate::{
    at_most_100_percent, collisions_stay, is_zero, non_negative_at, non_negative_int_or_percent, pod_template, selector,
};

const SPEC: &str = "io.k8s.api.apps.v1.DaemonSetSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.apps.v1.DaemonSetStatus";
/// Counts changes of the template; a field of older versions lives on in it.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const COUNTS: [&str; 9] = [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
];

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    kind: "DaemonSet",
    plural: "daemonsets",
    short_names: &["ds"],
    categories: &["all"],
    storage: "daemonsets",
    schema: "io.k8s.api.apps.v1.DaemonSet",
    subresources: &[Subresource { validate: status, ..STATUS }],
    columns: &[
        NAME,
        integer("Desired", Describe::Field(STATUS_SCHEMA, "desiredNumberScheduled")),
        integer("Current", Describe::Field(STATUS_SCHEMA, "currentNumberScheduled")),
        integer("Ready", Describe::Field(STATUS_SCHEMA, "numberReady")),
        integer("Up-to-date", Describe::Field(STATUS_SCHEMA, "updatedNumberScheduled")),
        integer("Available", Describe::Field(STATUS_SCHEMA, "numberAvailable")),
        text("Node Selector", Describe::Field("io.k8s.api.core.v1.PodSpec", "nodeSelector")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Describe::Field(SPEC, "selector")).wide(),
    ],
    row,
    field_annotations: &[TEMPLATE_GENERATION],
    generation: Generation::Of(&["spec"]),
    default,
    prepare_create: |set, _| meta::set_annotation(set, TEMPLATE_GENERATION, "1"),
    prepare_update,
    validate,
    validate_update: |new, old| {
        // Upstream checks any change both as a new object and as a change.
        let mut errors = validate(new);
        let selector = ["spec", "selector"];
        errors.extend(immutable(new.at(&selector), old.at(&selector), &Path::new("spec.selector")));
        errors.extend(validate(new));
        errors
    },
    warnings: |new, old| crate::core::pod::warnings::of_workload(new, old, &["spec", "template"]),
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(set: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(set.at(&["spec", "template", "spec"]));
    let count = |field: &str| int(set, &["status", field]);
    let node_selector = set.at(&["spec", "template", "spec", "nodeSelector"]).and_then(Value::as_object);
    vec![
        meta::name(set).into(),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        labels::format_labels(node_selector).into(),
        age(set, now),
        containers,
        images,
        labels::format_label_selector(set.at(&["spec", "selector"])).into(),
    ]
}

fn default(set: &mut Value) {
    set_in(set, &["spec"], "updateStrategy", Value::object);
    set_in(set, &["spec", "updateStrategy"], "type", || "RollingUpdate".into());
    if set.str_at(&["spec", "updateStrategy", "type"]) == Some("RollingUpdate") {
        set_in(set, &["spec", "updateStrategy"], "rollingUpdate", Value::object);
        set_absent(set, &["spec", "updateStrategy", "rollingUpdate"], "maxUnavailable", || Value::Int(1));
        set_absent(set, &["spec", "updateStrategy", "rollingUpdate"], "maxSurge", || Value::Int(0));
    }
    set_in(set, &["spec"], "revisionHistoryLimit", || Value::Int(10));
    template(set, &["spec"]);
    // The field is in every object of this version, so whoever writes one owns it.
    if meta::annotation(set, TEMPLATE_GENERATION).is_none() {
        meta::set_annotation(set, TEMPLATE_GENERATION, "0");
    }
}

fn prepare_update(new: &mut Value, old: &Value, _: &Context<'_>) {
    let before: i64 = meta::annotation(old, TEMPLATE_GENERATION).and_then(|n| n.parse().ok()).unwrap_or_default();
    let changed = new.at(&["spec", "template"]) != old.at(&["spec", "template"]);
    meta::set_annotation(new, TEMPLATE_GENERATION, &(before + i64::from(changed)).to_string());
}

fn validate(set: &Value) -> Errors {
    let spec = set.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let field = path.child("selector");
    let mut errors = Errors::new();
    errors.extend(selector::label_selector(spec.get("selector"), &field));
    errors.extend(pod_template::labels_match(spec, &path).filter(|error| error.detail != "invalid label selector"));
    if let Some(value) = spec.get("selector").filter(|value| value.as_object().is_some() && selector::is_empty(value)) {
        errors.push(Error::invalid(&field, value.clone(), "empty selector is invalid for daemonset"));
    }
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_template::validate(template, &path.child("template")));
    errors.extend(pod_template::always_restarts(template, &path.child("template"), "DaemonSet"));
    errors.extend(non_negative_at(spec, "minReadySeconds", &path));
    errors.extend(strategy(spec.get("updateStrategy").unwrap_or(&Value::Null), &path.child("updateStrategy")));
    errors.extend(non_negative_at(spec, "revisionHistoryLimit", &path));
    errors
}

fn strategy(strategy: &Value, path: &Path) -> Errors {
    let field = path.child("rollingUpdate");
    match (strategy.str_at(&["type"]).unwrap_or_default(), strategy.get("rollingUpdate")) {
        ("OnDelete", _) => Errors::new(),
        ("RollingUpdate", None) => vec![Error::required(&field, "")],
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &field),
        (kind, _) => {
            let shown = value!({"Type": kind, "RollingUpdate": null});
            vec![Error::not_supported(path, shown, &["RollingUpdate", "OnDelete"])]
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut zero = Vec::new();
    for name in ["maxUnavailable", "maxSurge"] {
        let (value, field) = (rolling.get(name), path.child(name));
        errors.extend(non_negative_int_or_percent(value, &field));
        errors.extend(at_most_100_percent(value, &field));
        zero.push(is_zero(value));
    }
    match zero.as_slice() {
        [true, true] => errors.push(Error::required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0")),
        [false, false] => {
            let shown = rolling.get("maxSurge").cloned();
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.push(Error::invalid(&path.child("maxSurge"), shown, detail));
        }
        _ => {}
    }
    errors
}

fn status(new: &Value, old: &Value) -> Errors {
    let status = new.get("status").unwrap_or(&Value::Null);
    let path = Path::new("status");
    let mut errors: Errors = COUNTS.iter().filter_map(|field| non_negative_at(status, field, &path)).collect();
    errors.extend(collisions_stay(new, old));
    errors
}
