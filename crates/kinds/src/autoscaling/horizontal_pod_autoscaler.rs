//! HorizontalPodAutoscaler: replicas by measurements; version 2 is the stored form.

mod check;
mod convert;

use jiff::Timestamp;
use machinery::{Value, meta, value};

use crate::kind::{BASE, Conversion, Kind, STATUS, Subresource};
use crate::pod_spec::default::{set_absent, set_in};
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
    subresources: &[Subresource { validate: |new, _| check::status(new), ..STATUS }],
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
    validate: |autoscaler| check::check(autoscaler, None),
    validate_update: |new, old| check::check(new, Some(old)),
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
    subresources: KIND.subresources,
    columns: KIND.columns,
    row: |autoscaler, now| row(&as_written(autoscaler), now),
    stored_as: Some(Conversion { kind: &KIND, to_stored: convert::to_stored, from_stored: convert::from_stored }),
    default: convert::default,
    validate: |autoscaler| check::check(&convert::stored(autoscaler), None),
    validate_update: |new, old| check::check(&convert::stored(new), Some(&convert::stored(old))),
    ..BASE
};

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

/// The newer form of an older one as it mostly was when it was written: with the CPU, which the older one has apart,
/// before other metrics.
fn as_written(older: &Value) -> Value {
    let mut autoscaler = convert::stored(older);
    let has_cpu = older.int_at(&["spec", "targetCPUUtilizationPercentage"]).is_some();
    if let Some(metrics) = autoscaler.at_mut(&["spec", "metrics"]).and_then(Value::as_array_mut).filter(|_| has_cpu) {
        metrics.rotate_right(1);
    }
    autoscaler
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
            let average = if f == "averageValue" && matches!(field, "object" | "external") { " (avg)" } else { "" };
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
        autoscaler.set_at(&["spec", "metrics"], vec![cpu(DEFAULT_CPU_UTILIZATION.into())]);
    }
    let behavior = ["spec", "behavior"];
    if autoscaler.at(&behavior).is_none_or(Value::is_null) {
        return;
    }
    let percent = value!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = value!({"type": "Pods", "value": 4, "periodSeconds": 15});
    for (direction, policies) in [("scaleUp", vec![pods, percent.clone()]), ("scaleDown", vec![percent])] {
        set_in(autoscaler, &behavior, direction, Value::object);
        let path = ["spec", "behavior", direction];
        if direction == "scaleUp" {
            set_in(autoscaler, &path, "stabilizationWindowSeconds", || 0.into());
        }
        set_absent(autoscaler, &path, "selectPolicy", || "Max".into());
        set_absent(autoscaler, &path, "policies", || policies.into());
    }
}

/// The wish for a part of the processors that pods asked for.
fn cpu(percent: Value) -> Value {
    let target = value!({"type": "Utilization", "averageUtilization": percent});
    value!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::json;

    #[test]
    fn targets_as_they_are_shown() {
        let metric = |kind: &str, field: &str| {
            let mut metric = value!({"type": kind});
            metric.set_at(&[field, "target", "averageValue"], "10");
            targets(&value!({"spec": {"metrics": [metric]}}))
        };
        assert_eq!(metric("Pods", "pods"), "<unknown>/10");
        assert_eq!(metric("Object", "object"), "<unknown>/10 (avg)");
        assert_eq!(metric("External", "external"), "<unknown>/10 (avg)");
    }

    #[test]
    fn behavior_gets_both_directions() {
        let mut autoscaler = value!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}});
        default(&mut autoscaler);
        expect_test::expect![[r#"{"scaleDown":{"stabilizationWindowSeconds":60,"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]},"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]}}"#]]
        .assert_eq(&json::to_string(autoscaler.at(&["spec", "behavior"]).unwrap()));
    }
}
