//! Deployment: pods from a template, replaced step by step.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, labels, meta, value};

use crate::kind::{BASE, Context, Generation, Kind, SCALE, STATUS, Subresource};
use crate::pod_spec::default::{set_absent, set_in, template};
use crate::strategy::immutable;
use crate::table::{AGE, CONTAINERS, Describe, IMAGES, NAME, age, containers_and_images, int, text};
use crate::validate::{
    at_most_100_percent, collisions_stay, is_zero, non_negative_at, non_negative_int_or_percent, pod_template,
    replica_counts,
};

const SPEC: &str = "io.k8s.api.apps.v1.DeploymentSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.apps.v1.DeploymentStatus";

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    kind: "Deployment",
    plural: "deployments",
    short_names: &["deploy"],
    categories: &["all"],
    storage: "deployments",
    schema: "io.k8s.api.apps.v1.Deployment",
    subresources: &[SCALE, Subresource { validate: status, ..STATUS }],
    columns: &[
        NAME,
        text("Ready", Describe::Text("Number of the pod with ready state")),
        text("Up-to-date", Describe::Field(STATUS_SCHEMA, "updatedReplicas")),
        text("Available", Describe::Field(STATUS_SCHEMA, "availableReplicas")),
        AGE,
        CONTAINERS,
        IMAGES,
        text("Selector", Describe::Field(SPEC, "selector")).wide(),
    ],
    row,
    generation: Generation::Of(&["spec"]),
    default,
    prepare_update,
    validate,
    validate_update,
    warnings: |new, old| crate::core::pod::warnings::of_named_workload(new, old, &["spec", "template"]),
    ..BASE
};

fn row(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let [containers, images] = containers_and_images(deployment.at(&["spec", "template", "spec"]));
    let wanted = deployment.int_at(&["spec", "replicas"]).unwrap_or_default();
    let ready = deployment.int_at(&["status", "readyReplicas"]).unwrap_or_default();
    vec![
        meta::name(deployment).into(),
        format!("{ready}/{wanted}").into(),
        int(deployment, &["status", "updatedReplicas"]),
        int(deployment, &["status", "availableReplicas"]),
        age(deployment, now),
        containers,
        images,
        labels::format_label_selector(deployment.at(&["spec", "selector"])).into(),
    ]
}

fn default(deployment: &mut Value) {
    set_in(deployment, &["spec"], "replicas", || Value::Int(1));
    set_in(deployment, &["spec"], "strategy", Value::object);
    set_in(deployment, &["spec", "strategy"], "type", || "RollingUpdate".into());
    if deployment.str_at(&["spec", "strategy", "type"]) == Some("RollingUpdate") {
        set_in(deployment, &["spec", "strategy"], "rollingUpdate", Value::object);
        for field in ["maxUnavailable", "maxSurge"] {
            set_absent(deployment, &["spec", "strategy", "rollingUpdate"], field, || "25%".into());
        }
    }
    set_in(deployment, &["spec"], "revisionHistoryLimit", || Value::Int(10));
    set_in(deployment, &["spec"], "progressDeadlineSeconds", || Value::Int(600));
    template(deployment, &["spec"]);
}

/// Annotations travel to replica sets, so a change of them counts as one of the spec.
fn prepare_update(new: &mut Value, old: &Value, _: &Context<'_>) {
    if meta::annotations(new) != meta::annotations(old) {
        meta::set_generation(new, meta::generation(old) + 1);
    }
}

fn validate(deployment: &Value) -> Errors {
    let spec = deployment.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut errors: Errors = non_negative_at(spec, "replicas", &path).into_iter().collect();
    errors.extend(pod_template::selected(spec, &path, "deployment"));
    errors.extend(pod_template::of_replicas(spec, &path));
    errors.extend(strategy(spec.get("strategy").unwrap_or(&Value::Null), &path.child("strategy")));
    for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        errors.extend(non_negative_at(spec, field, &path));
    }
    let least = spec.int_at(&["minReadySeconds"]).unwrap_or_default();
    if let Some(deadline) = spec.int_at(&["progressDeadlineSeconds"]).filter(|deadline| *deadline <= least) {
        let detail = "must be greater than minReadySeconds";
        errors.push(Error::invalid(&path.child("progressDeadlineSeconds"), deadline, detail));
    }
    errors
}

fn strategy(strategy: &Value, path: &Path) -> Errors {
    let rolling = strategy.get("rollingUpdate").filter(|rolling| !rolling.is_null());
    let field = path.child("rollingUpdate");
    match (strategy.str_at(&["type"]).unwrap_or_default(), rolling) {
        ("Recreate", Some(_)) => {
            vec![Error::forbidden(&field, "may not be specified when strategy `type` is 'Recreate'")]
        }
        ("Recreate", None) => Errors::new(),
        ("RollingUpdate", None) => vec![Error::required(&field, "this should be defaulted and never be nil")],
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &field),
        (kind, _) => {
            let shown = value!({"Type": kind, "RollingUpdate": null});
            vec![Error::not_supported(path, shown, &["Recreate", "RollingUpdate"])]
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path) -> Errors {
    let [unavailable, surge] = ["maxUnavailable", "maxSurge"].map(|field| rolling.get(field));
    let unavailable_path = path.child("maxUnavailable");
    let mut errors = non_negative_int_or_percent(unavailable, &unavailable_path);
    errors.extend(non_negative_int_or_percent(surge, &path.child("maxSurge")));
    if [unavailable, surge].iter().all(|number| is_zero(*number)) {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(Error::invalid(&unavailable_path, unavailable.cloned(), detail));
    }
    errors.extend(at_most_100_percent(unavailable, &unavailable_path));
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let selector = ["spec", "selector"];
    errors.extend(immutable(new.at(&selector), old.at(&selector), &Path::new("spec.selector")));
    errors
}

fn status(new: &Value, old: &Value) -> Errors {
    let fields = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    let mut errors = replica_counts(new, &fields);
    errors.extend(collisions_stay(new, old));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    fn errors(mut spec: Value) -> String {
        if spec.get("template").is_none() {
            spec.set_at(&["template", "metadata", "labels"], value!({"app": "a"}));
            spec.set_at(&["template", "spec", "containers"], value!([{"name": "c", "image": "a:1"}]));
        }
        let mut deployment = value!({"spec": spec});
        default(&mut deployment);
        field::aggregate(&validate(&deployment))
    }

    #[test]
    fn selectors() {
        expect_test::expect![[r#"[spec.selector: Required value, spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`]"#]]
            .assert_eq(&errors(value!({})));
        expect_test::expect!["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]
            .assert_eq(&errors(value!({"selector": {}})));
        let selector = value!({"matchExpressions": [{"key": "a", "operator": "Odd"}, {"key": "b", "operator": "Exists", "values": ["x"]}]});
        expect_test::expect![[r#"[spec.selector.matchExpressions[0].operator: Invalid value: "Odd": not a valid selector operator, spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist', spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Odd"},{"key":"b","operator":"Exists","values":["x"]}]}: invalid label selector]"#]]
        .assert_eq(&errors(value!({"selector": selector})));
    }

    #[test]
    fn strategies() {
        let of = |strategy: Value| errors(value!({"selector": {"matchLabels": {"app": "a"}}, "strategy": strategy}));
        expect_test::expect![[r#"spec.strategy: Unsupported value: {"Type":"Odd","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate""#]]
            .assert_eq(&of(value!({"type": "Odd"})));
        expect_test::expect![
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"
        ]
        .assert_eq(&of(value!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}})));
        expect_test::expect![[r#"[spec.strategy.rollingUpdate.maxSurge: Invalid value: "10": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%'), spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "150%": must not be greater than 100%]"#]]
        .assert_eq(&of(value!({"rollingUpdate": {"maxUnavailable": "150%", "maxSurge": "10"}})));
    }

    #[test]
    fn templates() {
        let template = value!({"spec": {}});
        expect_test::expect!["[spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`, spec.template.spec.containers: Required value]"]
            .assert_eq(&errors(value!({"selector": {"matchLabels": {"app": "a"}}, "template": template})));
    }
}
