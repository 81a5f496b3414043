//! HorizontalPodAutoscaler: replicas by measurements; version 2 is the stored form.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use crate::kind::{BASE, Conversion, Kind, STATUS};
use crate::pod_spec::default::set_in;
use crate::table::{AGE, Describe, NAME, age, int, text};

const SPEC: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec";
const STATUS_SCHEMA: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus";
const DEFAULT_CPU_UTILIZATION: i64 = 80;

/// Version 2.
pub static KIND: Kind = Kind {
    group: "autoscaling",
    version: "v2",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short_names: &["hpa"],
    categories: &["all"],
    storage: "horizontalpodautoscalers",
    schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    subresources: &[STATUS],
    columns: &[
        NAME,
        text("Reference", Describe::Field(SPEC, "scaleTargetRef")),
        text("Targets", Describe::Field(SPEC, "metrics")),
        text("MinPods", Describe::Field(SPEC, "minReplicas")),
        text("MaxPods", Describe::Field(SPEC, "maxReplicas")),
        text("Replicas", Describe::Field(STATUS_SCHEMA, "currentReplicas")),
        AGE,
    ],
    row,
    default,
    validate,
    validate_update: |new, _| validate(new),
    ..BASE
};

/// Version 1: CPU only; everything else travels in annotations.
pub static V1_KIND: Kind = Kind {
    group: "autoscaling",
    version: "v1",
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short_names: &["hpa"],
    categories: &["all"],
    storage: "horizontalpodautoscalers",
    schema: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
    subresources: &[STATUS],
    columns: KIND.columns,
    row,
    stored_as: Some(Conversion { kind: &KIND, to_stored, from_stored }),
    default,
    validate,
    validate_update: KIND.validate_update,
    ..BASE
};

/// What of the stored form version 1 has no fields for: annotation, then path in version 2.
const IN_ANNOTATIONS: [(&str, &[&str]); 4] = [
    ("autoscaling.alpha.kubernetes.io/metrics", &["spec", "metrics"]),
    ("autoscaling.alpha.kubernetes.io/behavior", &["spec", "behavior"]),
    ("autoscaling.alpha.kubernetes.io/current-metrics", &["status", "currentMetrics"]),
    ("autoscaling.alpha.kubernetes.io/conditions", &["status", "conditions"]),
];

fn row(autoscaler: &Value, now: Timestamp) -> Vec<Value> {
    let part = |field: &str| autoscaler.str_at(&["spec", "scaleTargetRef", field]).unwrap_or_default();
    let least = autoscaler.int_at(&["spec", "minReplicas"]).map_or("<unset>".to_owned(), |n| n.to_string());
    vec![
        meta::name(autoscaler).into(),
        format!("{}/{}", part("kind"), part("name")).into(),
        targets(autoscaler).into(),
        least.into(),
        int(autoscaler, &["spec", "maxReplicas"]),
        int(autoscaler, &["status", "currentReplicas"]),
        age(autoscaler, now),
    ]
}

fn targets(autoscaler: &Value) -> String {
    let metrics = autoscaler.items_at(&["spec", "metrics"]);
    if metrics.is_empty() {
        return "<none>".to_owned();
    }
    let current = autoscaler.items_at(&["status", "currentMetrics"]);
    let shown: Vec<String> = metrics.iter().enumerate().map(|(i, metric)| target(metric, current.get(i))).collect();
    if shown.len() > 2 { format!("{} + {} more...", shown[..2].join(", "), shown.len() - 2) } else { shown.join(", ") }
}

fn target(metric: &Value, current: Option<&Value>) -> String {
    let (field, name) = match metric.str_at(&["type"]).unwrap_or_default() {
        "Resource" => ("resource", metric.str_at(&["resource", "name"])),
        "ContainerResource" => ("containerResource", metric.str_at(&["containerResource", "name"])),
        "Pods" => ("pods", None),
        "Object" => ("object", None),
        "External" => ("external", None),
        _ => return "<unknown type>".to_owned(),
    };
    let current = current.and_then(|current| current.at(&[field, "current"]));
    let wanted = metric.at(&[field, "target"]).unwrap_or(&Value::Null);
    let percent = wanted.int_at(&["averageUtilization"]);
    let amount = ["averageValue", "value"].iter().find_map(|f| Some((*f, wanted.str_at(&[f])?)));
    let (have, want) = match (percent, amount) {
        (Some(percent), _) => {
            let have = current.and_then(|c| c.int_at(&["averageUtilization"])).map(|n| format!("{n}%"));
            (have, format!("{percent}%"))
        }
        (None, Some((f, amount))) => {
            let average =
                if f == "averageValue" && field != "resource" && field != "containerResource" { " (avg)" } else { "" };
            (current.and_then(|c| c.str_at(&[f])).map(ToOwned::to_owned), format!("{amount}{average}"))
        }
        (None, None) => (None, "<auto>".to_owned()),
    };
    let have = have.unwrap_or_else(|| "<unknown>".to_owned());
    match name {
        Some(name) => format!("{name}: {have}/{want}"),
        None => format!("{have}/{want}"),
    }
}

fn default(autoscaler: &mut Value) {
    set_in(autoscaler, &["spec"], "minReplicas", || Value::Int(1));
    if autoscaler.items_at(&["spec", "metrics"]).is_empty() && autoscaler.get("spec").is_some() {
        let metric = value!({
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": DEFAULT_CPU_UTILIZATION}},
        });
        autoscaler.set_at(&["spec", "metrics"], Value::Array(vec![metric]));
    }
}

fn to_stored(autoscaler: &mut Value) {
    autoscaler.set_at(&["apiVersion"], "autoscaling/v2");
    let percent = autoscaler.remove_at(&["spec", "targetCPUUtilizationPercentage"]);
    for (annotation, path) in IN_ANNOTATIONS {
        let Some(text) = autoscaler.remove_at(&["metadata", "annotations", annotation]) else { continue };
        let parsed = text.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(parsed) = parsed {
            autoscaler.set_at(path, parsed);
        }
    }
    if meta::annotations(autoscaler).is_some_and(machinery::Object::is_empty) {
        autoscaler.remove_at(&["metadata", "annotations"]);
    }
    if let Some(percent) = percent.filter(|percent| !percent.is_null()) {
        let metric = value!({
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}},
        });
        let mut metrics = vec![metric];
        metrics.extend(autoscaler.items_at(&["spec", "metrics"]).iter().cloned());
        autoscaler.set_at(&["spec", "metrics"], Value::Array(metrics));
    }
}

fn from_stored(autoscaler: &mut Value) {
    autoscaler.set_at(&["apiVersion"], "autoscaling/v1");
    let is_cpu = |metric: &&Value| {
        metric.str_at(&["resource", "name"]) == Some("cpu")
            && metric.int_at(&["resource", "target", "averageUtilization"]).is_some()
    };
    let metrics = autoscaler.items_at(&["spec", "metrics"]).to_vec();
    let percent = metrics.iter().find(is_cpu).and_then(|m| m.int_at(&["resource", "target", "averageUtilization"]));
    let first = metrics.iter().position(|metric| is_cpu(&metric));
    let others: Vec<Value> =
        metrics.into_iter().enumerate().filter(|(i, _)| Some(*i) != first).map(|(_, metric)| metric).collect();
    autoscaler.remove_at(&["spec", "metrics"]);
    if !others.is_empty() {
        autoscaler.set_at(&["spec", "metrics"], Value::Array(others));
    }
    for (annotation, path) in IN_ANNOTATIONS {
        let Some(value) = autoscaler.remove_at(path) else { continue };
        let empty = value.is_null() || value.as_array().is_some_and(<[Value]>::is_empty);
        if let Some(text) = (!empty).then(|| serde_json::to_string(&value).ok()).flatten() {
            autoscaler.set_at(&["metadata", "annotations", annotation], text);
        }
    }
    if let Some(percent) = percent {
        autoscaler.set_at(&["spec", "targetCPUUtilizationPercentage"], percent);
    }
}

fn validate(autoscaler: &Value) -> Errors {
    let spec = autoscaler.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let number = |field: &str| spec.int_at(&[field]);
    let (least, most) = (number("minReplicas").unwrap_or(1), number("maxReplicas").unwrap_or_default());
    let mut errors = Errors::new();
    let mut zero_metrics = spec.items_at(&["metrics"]).iter();
    let scales_to_zero = zero_metrics.any(|m| matches!(m.str_at(&["type"]), Some("Object" | "External")));
    if least < 1 {
        errors.push(Error::invalid(&path.child("minReplicas"), least, "must be greater than or equal to 1"));
    }
    if most < 1 {
        errors.push(Error::required(&path.child("maxReplicas"), "must be set and greater than 0"));
    }
    if most < least {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(Error::invalid(&path.child("maxReplicas"), most, detail));
    }
    errors.extend(reference(spec.get("scaleTargetRef").unwrap_or(&Value::Null), &path.child("scaleTargetRef")));
    for (i, metric) in spec.items_at(&["metrics"]).iter().enumerate() {
        errors.extend(self::metric(metric, &path.child("metrics").index(i)));
    }
    if least == 0 && !scales_to_zero {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(Error::forbidden(&path.child("metrics"), detail));
    }
    errors
}

fn reference(reference: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["kind", "name"] {
        match reference.str_at(&[field]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child(field), "")),
            name => errors.extend(crate::validate::text(names::is_path_segment_name, name, &path.child(field))),
        }
    }
    let version = reference.str_at(&["apiVersion"]).unwrap_or_default();
    if version.is_empty() {
        errors.push(Error::invalid(&path.child("apiVersion"), version, "apiVersion must specify API group"));
    }
    errors
}

fn metric(metric: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let sources = [
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    let kind = metric.str_at(&["type"]).unwrap_or_default();
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), "must specify a metric source type"));
        return errors;
    }
    let Some((_, field)) = sources.iter().find(|(name, _)| *name == kind) else {
        errors.push(Error::not_supported(&path.child("type"), kind, &sources.map(|(name, _)| name)));
        return errors;
    };
    let set = sources.iter().filter(|(_, field)| metric.get(field).is_some_and(|v| !v.is_null()));
    for (i, (_, other)) in set.enumerate() {
        if i > 0 {
            errors.push(Error::forbidden(&path.child(other), "must populate the given metric source only"));
        }
    }
    if metric.get(field).is_none_or(Value::is_null) {
        errors.push(Error::required(&path.child(field), "must populate information for the given metric source"));
    }
    errors
}
