//! What is wrong with an autoscaler.

use machinery::field::{Error, Errors, Path};
use machinery::{Quantity, Value, names};

use crate::pod_spec::quantity;
use crate::validate::resources::container_resource_name;
use crate::validate::{non_negative_at, one_of, one_of_if_set, text};

const MAX_WINDOW_SECONDS: i64 = 3600;
const MAX_PERIOD_SECONDS: i64 = 1800;
/// The sources of a metric, each with its field, in the order in which they are looked at.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const SOURCE_TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// What is wrong with a new or changed autoscaler of version 2.
pub(super) fn check(autoscaler: &Value, old: Option<&Value>) -> Errors {
    let spec = autoscaler.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let least = spec.int_at(&["minReplicas"]);
    let most = spec.int_at(&["maxReplicas"]).unwrap_or_default();
    let was_zero = old.is_some_and(|old| old.int_at(&["spec", "minReplicas"]) == Some(0));
    let bound = if was_zero { 0 } else { 1 };
    let mut errors = Errors::new();
    if let Some(least) = least.filter(|least| *least < bound) {
        let detail = format!("must be greater than or equal to {bound}");
        errors.push(Error::invalid(&path.child("minReplicas"), least, detail));
    }
    if most < 1 {
        errors.push(Error::required(&path.child("maxReplicas"), "must be set and greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(Error::invalid(&path.child("maxReplicas"), most, detail));
    }
    let target = spec.get("scaleTargetRef").unwrap_or(&Value::Null);
    // The only kind of the core group that scales.
    let group =
        if target.str_at(&["kind"]) == Some("ReplicationController") { Group::Optional } else { Group::Required };
    let was_wrong = old
        .and_then(|old| old.at(&["spec", "scaleTargetRef"]))
        .is_some_and(|target| wrong_version(target, group).is_some());
    errors.extend(reference(target, if was_wrong { Group::Unchecked } else { group }, &path.child("scaleTargetRef")));
    let described = old.map_or(Group::Optional, described_before);
    errors.extend(metrics(spec.items_at(&["metrics"]), least, described, &path.child("metrics")));
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec.at(&["behavior", direction]).filter(|value| !value.is_null()) {
            errors.extend(scaling_rules(rules, &path.child("behavior").child(direction)));
        }
    }
    errors
}

/// What is wrong with a status.
pub(super) fn status(autoscaler: &Value) -> Errors {
    let status = autoscaler.get("status").unwrap_or(&Value::Null);
    let fields = ["currentReplicas", "desiredReplicas"].into_iter();
    fields.filter_map(|field| non_negative_at(status, field, &Path::new("status"))).collect()
}

/// Whether the `apiVersion` of a reference must have a group.
#[derive(Clone, Copy)]
enum Group {
    Required,
    Optional,
    /// What was wrong before may stay so.
    Unchecked,
}

/// How the versions of described objects are checked, as those of the old autoscaler were right or not.
fn described_before(old: &Value) -> Group {
    let of_objects = |metric: &&Value| metric.str_at(&["type"]) == Some("Object");
    let mut objects = old.items_at(&["spec", "metrics"]).iter().filter(of_objects);
    let was_wrong = objects.any(|metric| {
        let described = metric.at(&["object", "describedObject"]);
        described.is_some_and(|described| wrong_version(described, Group::Optional).is_some())
    });
    if was_wrong { Group::Unchecked } else { Group::Optional }
}

fn wrong_version(reference: &Value, group: Group) -> Option<String> {
    let version = reference.str_at(&["apiVersion"]).unwrap_or_default();
    let has_group = version.split_once('/').is_some_and(|(group, _)| !group.is_empty());
    match group {
        Group::Unchecked => None,
        _ if version.matches('/').count() > 1 => Some(format!("unexpected GroupVersion string: {version}")),
        Group::Required if !has_group => Some("apiVersion must specify API group".to_owned()),
        _ => None,
    }
}

fn reference(reference: &Value, group: Group, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["kind", "name"] {
        match reference.str_at(&[field]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child(field), "")),
            name => errors.extend(text(names::is_path_segment_name, name, &path.child(field))),
        }
    }
    if let Some(detail) = wrong_version(reference, group) {
        let version = reference.str_at(&["apiVersion"]).unwrap_or_default();
        errors.push(Error::invalid(&path.child("apiVersion"), version, detail));
    }
    errors
}

fn metrics(all: &[Value], least: Option<i64>, described: Group, path: &Path) -> Errors {
    let mut errors: Errors =
        all.iter().enumerate().flat_map(|(i, one)| metric(one, described, &path.index(i))).collect();
    let outside = all.iter().any(|one| matches!(one.str_at(&["type"]), Some("Object" | "External")));
    if least == Some(0) && !outside {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

fn metric(metric: &Value, described: Group, path: &Path) -> Errors {
    let kind = metric.str_at(&["type"]).unwrap_or_default();
    let mut errors = Errors::new();
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), "must specify a metric source type"));
    }
    errors.extend(one_of(kind, &SOURCE_TYPES, &path.child("type")));
    let source = |field: &str| metric.get(field).filter(|value| !value.is_null());
    let present: Vec<&str> = SOURCES.iter().map(|(_, field)| *field).filter(|field| source(field).is_some()).collect();
    if let Some(first) = present.first()
        && let Some(value) = source(first)
    {
        errors.extend(source_of(first, value, described, &path.child(first)));
    }
    // Upstream says this of an unknown type a second time.
    errors.extend(one_of(kind, &SOURCE_TYPES, &path.child("type")));
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    if let Some(field) = expected.filter(|field| source(field).is_none()) {
        errors.push(Error::required(&path.child(field), "must populate information for the given metric source"));
    }
    if present.len() != 1 {
        let mut others: Vec<&str> = present.into_iter().filter(|field| Some(*field) != expected).collect();
        others.sort_unstable();
        let detail = "must populate the given metric source only";
        errors.extend(others.into_iter().map(|field| Error::forbidden(&path.child(field), detail)));
    }
    errors
}

fn source_of(field: &str, source: &Value, group: Group, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if field == "object" {
        let described = source.get("describedObject").unwrap_or(&Value::Null);
        errors.extend(reference(described, group, &path.child("describedObject")));
    }
    match field {
        "object" | "external" | "pods" => errors.extend(identifier(source, &path.child("metric.name"))),
        _ => {
            let name = source.str_at(&["name"]);
            errors.extend(crate::validate::required(name, &path.child("name"), "must specify a resource name"));
        }
    }
    if field == "containerResource" {
        let part = |name: &str| source.str_at(&[name]).unwrap_or_default();
        if !part("name").is_empty() {
            errors.extend(container_resource_name(part("name"), &path.child("name")));
        }
        match part("container") {
            "" => errors.push(Error::required(&path.child("container"), "must specify a container")),
            name => errors.extend(text(names::is_dns1123_label, name, &path.child("container"))),
        }
    }
    let wanted = source.get("target").unwrap_or(&Value::Null);
    let path = path.child("target");
    errors.extend(target(wanted, &path));
    errors.extend(enough(field, wanted, &path));
    errors
}

/// A source needs the amounts that it can be compared with.
fn enough(field: &str, target: &Value, path: &Path) -> Option<Error> {
    let has = |name: &str| target.get(name).is_some_and(|value| !value.is_null());
    let required = |name: &str, detail: &str| Some(Error::required(&path.child(name), detail));
    let forbidden = |name: &str, detail: &str| Some(Error::forbidden(&path.child(name), detail));
    match (field, has("value"), has("averageValue"), has("averageUtilization")) {
        ("object", false, false, _) => required("averageValue", "must set either a target value or averageValue"),
        ("external", false, false, _) => {
            required("averageValue", "must set either a target value for metric or a per-pod target")
        }
        ("external", true, true, _) => {
            forbidden("value", "may not set both a target value for metric and a per-pod target")
        }
        ("pods", _, false, _) => required("averageValue", "must specify a positive target averageValue"),
        ("resource" | "containerResource", _, false, false) => {
            required("averageUtilization", "must set either a target raw value or a target utilization")
        }
        ("resource" | "containerResource", _, true, true) => {
            forbidden("averageValue", "may not set both a target raw value and a target utilization")
        }
        _ => None,
    }
}

fn identifier(source: &Value, path: &Path) -> Errors {
    match source.str_at(&["metric", "name"]).unwrap_or_default() {
        "" => vec![Error::required(path, "must specify a metric name")],
        name => text(names::is_path_segment_name, name, path).collect(),
    }
}

fn amount(object: &Value, field: &str) -> Option<Quantity> {
    object.get(field).and_then(quantity)
}

fn target(target: &Value, path: &Path) -> Errors {
    let kind = target.str_at(&["type"]).unwrap_or_default();
    let mut errors = Errors::new();
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(Error::invalid(&path.child("type"), kind, detail));
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = amount(target, field).filter(|amount| amount.sign() != 1) {
            errors.push(Error::invalid(&path.child(field), amount.to_string(), "must be positive"));
        }
    }
    if let Some(percent) = target.int_at(&["averageUtilization"]).filter(|percent| *percent < 1) {
        errors.push(Error::invalid(&path.child("averageUtilization"), percent, "must be greater than 0"));
    }
    errors
}

fn scaling_rules(rules: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let window = path.child("stabilizationWindowSeconds");
    if let Some(seconds) = rules.int_at(&["stabilizationWindowSeconds"]) {
        if seconds < 0 {
            errors.push(Error::invalid(&window, seconds, "must be greater than or equal to zero"));
        }
        if seconds > MAX_WINDOW_SECONDS {
            let detail = format!("must be less than or equal to {MAX_WINDOW_SECONDS}");
            errors.push(Error::invalid(&window, seconds, detail));
        }
    }
    let policies = ["Disabled", "Max", "Min"];
    errors.extend(one_of_if_set(rules.get("selectPolicy"), &policies, &path.child("selectPolicy")));
    let (all, field) = (rules.items_at(&["policies"]), path.child("policies"));
    if all.is_empty() {
        errors.push(Error::required(&field, "must specify at least one Policy"));
    }
    errors.extend(all.iter().enumerate().flat_map(|(i, policy)| scaling_policy(policy, &field.index(i))));
    if let Some(tolerance) = amount(rules, "tolerance").filter(|tolerance| tolerance.sign() < 0) {
        let detail = crate::validate::NEGATIVE;
        errors.push(Error::invalid(&path.child("tolerance"), tolerance.to_string(), detail));
    }
    errors
}

fn scaling_policy(policy: &Value, path: &Path) -> Errors {
    let number = |field: &str| policy.int_at(&[field]).unwrap_or_default();
    let kind = policy.str_at(&["type"]).unwrap_or_default();
    let mut errors: Errors = one_of(kind, &["Percent", "Pods"], &path.child("type")).into_iter().collect();
    for field in ["value", "periodSeconds"] {
        if number(field) <= 0 {
            errors.push(Error::invalid(&path.child(field), number(field), "must be greater than zero"));
        }
    }
    if number("periodSeconds") > MAX_PERIOD_SECONDS {
        let detail = format!("must be less than or equal to {MAX_PERIOD_SECONDS}");
        errors.push(Error::invalid(&path.child("periodSeconds"), number("periodSeconds"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn versions_of_what_is_scaled() {
        let of = |version: &str, kind: &str| value!({"spec": {"maxReplicas": 1, "scaleTargetRef": {"apiVersion": version, "kind": kind, "name": "d"}}});
        let shown = [("apps/v1", "Deployment"), ("v1", "Deployment"), ("v1", "ReplicationController"), ("a/b/c", "X")]
            .map(|(version, kind)| field::aggregate(&check(&of(version, kind), None)));
        expect_test::expect![[r#"
            []
            spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group
            []
            spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#]]
        .assert_eq(&shown.join("\n"));
        assert_eq!(check(&of("v1", "Deployment"), Some(&of("", "Deployment"))), []);
    }

    #[test]
    fn metrics_and_behavior() {
        let table = [
            value!({}),
            value!({"type": "Pods", "pods": {"metric": {"name": "a/b"}, "target": {"type": "Odd"}}, "resource": {}}),
            value!({"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1", "averageValue": "0"}}}),
            value!({"type": "ContainerResource", "containerResource": {"name": "cpu", "target": {"type": "Utilization"}}}),
            value!({"type": "ContainerResource", "containerResource": {"name": "odd", "container": "A", "target": {"type": "Utilization", "averageUtilization": 1}}}),
            value!({"type": "Object", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}}),
        ];
        let shown = table.map(|one| field::aggregate(&metric(&one, Group::Optional, &Path::new("m")))).join("\n");
        expect_test::expect![[r#"
            [m.type: Required value: must specify a metric source type, m.type: Unsupported value: "": supported values: "ContainerResource", "External", "Object", "Pods", "Resource"]
            [m.pods.metric.name: Invalid value: "a/b": may not contain '/', m.pods.target.type: Invalid value: "Odd": must be either Utilization, Value, or AverageValue, m.pods.target.averageValue: Required value: must specify a positive target averageValue, m.resource: Forbidden: must populate the given metric source only]
            [m.external.target.averageValue: Invalid value: "0": must be positive, m.external.target.value: Forbidden: may not set both a target value for metric and a per-pod target]
            [m.containerResource.container: Required value: must specify a container, m.containerResource.target.averageUtilization: Required value: must set either a target raw value or a target utilization]
            [m.containerResource.name: Invalid value: "odd": must be a standard resource type or fully qualified, m.containerResource.name: Invalid value: "odd": must be a standard resource for containers, m.containerResource.container: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')]
            [m.resource.target.averageUtilization: Invalid value: 0: must be greater than 0, m.object: Required value: must populate information for the given metric source]"#]].assert_eq(&shown);
        let rules = value!({"stabilizationWindowSeconds": 3601, "selectPolicy": "Odd", "tolerance": "-1",
            "policies": [{"type": "Odd", "value": 0, "periodSeconds": 1801}]});
        expect_test::expect![[r#"[b.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600, b.selectPolicy: Unsupported value: "Odd": supported values: "Disabled", "Max", "Min", b.policies[0].type: Unsupported value: "Odd": supported values: "Percent", "Pods", b.policies[0].value: Invalid value: 0: must be greater than zero, b.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800, b.tolerance: Invalid value: "-1": must be greater than or equal to 0]"#]].assert_eq(&field::aggregate(&scaling_rules(&rules, &Path::new("b"))));
    }
}
