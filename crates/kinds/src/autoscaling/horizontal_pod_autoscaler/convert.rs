//! Version 1 of HorizontalPodAutoscaler: CPU only; everything else travels in annotations, in forms of its own.

use machinery::{Object, Text, Value, meta, value};

use super::{DEFAULT_CPU_UTILIZATION, KIND, V1_KIND, cpu};
use crate::kind::settle;
use crate::pod_spec::default::set_in;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR_SCHEMA: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior";

/// Fills in what nobody set.
pub(super) fn default(autoscaler: &mut Value) {
    set_in(autoscaler, &["spec"], "minReplicas", || Value::Int(1));
    if meta::annotation(autoscaler, METRICS).is_none() {
        set_in(autoscaler, &["spec"], "targetCPUUtilizationPercentage", || DEFAULT_CPU_UTILIZATION.into());
    }
}

/// The stored form of an object of version 1.
pub(super) fn stored(autoscaler: &Value) -> Value {
    let mut autoscaler = autoscaler.clone();
    to_stored(&mut autoscaler);
    autoscaler
}

/// From version 1 to version 2.
pub(super) fn to_stored(autoscaler: &mut Value) {
    let percent = autoscaler.remove_at(&["spec", "targetCPUUtilizationPercentage"]).filter(|value| !value.is_null());
    autoscaler.remove_at(&["status", "currentCPUUtilizationPercentage"]);
    let [metrics, behavior, current, conditions] =
        [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS].map(|name| take_annotation(autoscaler, name));
    let list = |value: Option<Value>, field: Field| -> Vec<Value> {
        let items = value.as_ref().and_then(Value::as_array).unwrap_or_default();
        items.iter().map(|metric| to_v2(metric, field)).collect()
    };
    let mut metrics = list(metrics, Field::Target);
    metrics.extend(percent.map(cpu));
    if !metrics.is_empty() {
        autoscaler.set_at(&["spec", "metrics"], metrics);
    }
    let current = list(current, Field::Current);
    if !current.is_empty() {
        autoscaler.set_at(&["status", "currentMetrics"], current);
    }
    if let Some(behavior) = behavior.filter(|value| value.as_object().is_some()) {
        autoscaler.set_at(&["spec", "behavior"], with_small_names(&behavior));
    }
    if let Some(conditions) = conditions.filter(|value| value.as_array().is_some()) {
        autoscaler.set_at(&["status", "conditions"], conditions);
    }
    meta::set_type(autoscaler, "autoscaling/v2", KIND.kind);
    settle(KIND.schema, autoscaler);
}

/// From version 2 to version 1.
pub(super) fn from_stored(autoscaler: &mut Value) {
    for name in [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS] {
        take_annotation(autoscaler, name);
    }
    let take = |autoscaler: &mut Value, path: &[&str]| autoscaler.remove_at(path).filter(|value| !value.is_null());
    let items = |value: Option<Value>| value.and_then(|v| v.as_array().map(<[Value]>::to_vec)).unwrap_or_default();
    let metrics = items(take(autoscaler, &["spec", "metrics"]));
    let current = items(take(autoscaler, &["status", "currentMetrics"]));
    if let Some(percent) = metrics.iter().find_map(cpu_target) {
        autoscaler.set_at(&["spec", "targetCPUUtilizationPercentage"], percent);
    }
    let of_cpu = |metric: &&Value| metric.str_at(&["resource", "name"]) == Some("cpu");
    let measured = current.iter().filter(of_cpu);
    let mut measured = measured.filter_map(|metric| metric.int_at(&["resource", "current", "averageUtilization"]));
    if let Some(percent) = measured.next() {
        autoscaler.set_at(&["status", "currentCPUUtilizationPercentage"], percent);
    }
    let others = metrics.iter().filter(|metric| cpu_target(metric).is_none());
    let others: Vec<Value> = others.map(|metric| to_v1(metric, Field::Target)).collect();
    annotate(autoscaler, METRICS, others.into());
    let current: Vec<Value> = current.iter().map(|metric| to_v1(metric, Field::Current)).collect();
    annotate(autoscaler, CURRENT_METRICS, current.into());
    let conditions = items(take(autoscaler, &["status", "conditions"]));
    annotate(autoscaler, CONDITIONS, conditions.into());
    if let Some(behavior) = take(autoscaler, &["spec", "behavior"]) {
        annotate(autoscaler, BEHAVIOR, crate::go_shape::shown(BEHAVIOR_SCHEMA, &behavior));
    }
    meta::set_type(autoscaler, "autoscaling/v1", V1_KIND.kind);
    settle(V1_KIND.schema, autoscaler);
}

fn cpu_target(metric: &Value) -> Option<i64> {
    let of_cpu = metric.str_at(&["resource", "name"]) == Some("cpu");
    metric.int_at(&["resource", "target", "averageUtilization"]).filter(|_| of_cpu)
}

fn take_annotation(autoscaler: &mut Value, name: &str) -> Option<Value> {
    let text = autoscaler.remove_at(&["metadata", "annotations", name])?;
    if meta::annotations(autoscaler).is_some_and(Object::is_empty) {
        autoscaler.remove_at(&["metadata", "annotations"]);
    }
    text.as_str().and_then(|text| machinery::json::parse(text.as_bytes()).ok())
}

fn annotate(autoscaler: &mut Value, name: &str, value: Value) {
    if !value.as_array().is_some_and(<[Value]>::is_empty) {
        meta::set_annotation(autoscaler, name, &machinery::json::to_string(&value));
    }
}

/// A source and the names of its fields: in version 1, then the path in version 2 (one step where the second is empty).
type Source = (&'static str, Vec<(&'static str, [&'static str; 2])>);

/// Whether a metric is a wish or a measurement.
#[derive(Clone, Copy)]
enum Field {
    Target,
    Current,
}

impl Field {
    /// The part of version 2 that holds the amounts.
    fn part(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Current => "current",
        }
    }

    /// The sources, each with the names of its fields: version 1, then the path in version 2.
    fn sources(self) -> [Source; 5] {
        let part = self.part();
        let amount = |of_target, of_current| match self {
            Self::Target => of_target,
            Self::Current => of_current,
        };
        let average = amount("targetAverageValue", "currentAverageValue");
        let utilization = amount("targetAverageUtilization", "currentAverageUtilization");
        let whole = amount("targetValue", "currentValue");
        let resource = vec![
            ("name", ["name", ""]),
            (utilization, [part, "averageUtilization"]),
            (average, [part, "averageValue"]),
        ];
        let mut container = resource.clone();
        container.push(("container", ["container", ""]));
        [
            (
                "object",
                vec![
                    ("target", ["describedObject", ""]),
                    ("metricName", ["metric", "name"]),
                    (whole, [part, "value"]),
                    ("selector", ["metric", "selector"]),
                    ("averageValue", [part, "averageValue"]),
                ],
            ),
            (
                "pods",
                vec![
                    ("metricName", ["metric", "name"]),
                    (average, [part, "averageValue"]),
                    ("selector", ["metric", "selector"]),
                ],
            ),
            ("resource", resource),
            ("containerResource", container),
            (
                "external",
                vec![
                    ("metricName", ["metric", "name"]),
                    ("metricSelector", ["metric", "selector"]),
                    (whole, [part, "value"]),
                    (average, [part, "averageValue"]),
                ],
            ),
        ]
    }
}

fn to_v2(metric: &Value, field: Field) -> Value {
    let mut out = value!({"type": (metric.get("type").cloned().unwrap_or_default())});
    for (source, fields) in field.sources() {
        let Some(from) = metric.get(source).filter(|value| !value.is_null()) else { continue };
        out.set_at(&[source], Value::object());
        for (name, [first, second]) in fields {
            let Some(value) = from.get(name).filter(|value| !value.is_null()) else { continue };
            // Version 1 writes an amount that nobody set as zero.
            let unset = matches!(field, Field::Target) && value.as_str() == Some("0") && name == "targetValue";
            let path = [source, first, second];
            if !unset {
                out.set_at(if second.is_empty() { &path[..2] } else { &path }, value.clone());
            }
        }
        if matches!(field, Field::Target) {
            let has = |name: &str| out.at(&[source, "target", name]).is_some();
            let kind = match (has("averageUtilization"), has("value"), has("averageValue")) {
                (true, _, _) => "Utilization",
                (_, true, _) => "Value",
                _ => "AverageValue",
            };
            out.set_at(&[source, "target", "type"], kind);
        }
    }
    out
}

fn to_v1(metric: &Value, field: Field) -> Value {
    let mut out = value!({"type": (metric.get("type").cloned().unwrap_or_default())});
    for (source, fields) in field.sources() {
        let Some(from) = metric.get(source).filter(|value| !value.is_null()) else { continue };
        out.set_at(&[source], Value::object());
        for (name, [first, second]) in fields {
            let path = [first, second];
            let value = from.at(if second.is_empty() { &path[..1] } else { &path });
            if let Some(value) = value.filter(|value| !value.is_null()) {
                out.set_at(&[source, name], value.clone());
            } else if source == "object" && matches!(name, "targetValue" | "currentValue") {
                out.set_at(&[source, name], "0");
            }
        }
    }
    out
}

/// An object whose names begin with capitals, as they do in the annotation, in the form of the API.
fn with_small_names(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let small = |name: &Text| {
                let mut letters = name.chars();
                letters.next().map(|first| first.to_lowercase().chain(letters).collect::<String>()).unwrap_or_default()
            };
            let set = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(name, value)| (Text::from(small(name)), with_small_names(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(with_small_names).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::json;

    #[test]
    fn there_and_back() {
        let v2 = value!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {
            "scaleTargetRef": {"kind": "D", "name": "d"}, "maxReplicas": 3, "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "AverageValue", "averageValue": "5"}}},
                {"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "Value", "value": "7"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
            "behavior": {"scaleUp": {"stabilizationWindowSeconds": 5, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 2}]}}},
            "status": {"currentReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}]}});
        let mut v1 = v2.clone();
        settle(KIND.schema, &mut v1);
        let before = json::to_string(&v1);
        from_stored(&mut v1);
        expect_test::expect![[r#"{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1","metadata":{"name":"h","annotations":{"autoscaling.alpha.kubernetes.io/behavior":"{\"ScaleUp\":{\"StabilizationWindowSeconds\":5,\"SelectPolicy\":null,\"Policies\":[{\"Type\":\"Pods\",\"Value\":1,\"PeriodSeconds\":2}],\"Tolerance\":null},\"ScaleDown\":null}","autoscaling.alpha.kubernetes.io/conditions":"[{\"type\":\"AbleToScale\",\"status\":\"True\",\"lastTransitionTime\":null}]","autoscaling.alpha.kubernetes.io/metrics":"[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"m\",\"targetAverageValue\":\"5\",\"selector\":{\"matchLabels\":{\"a\":\"b\"}}}},{\"type\":\"External\",\"external\":{\"metricName\":\"e\",\"targetValue\":\"7\"}}]"}},"spec":{"scaleTargetRef":{"kind":"D","name":"d"},"maxReplicas":3,"targetCPUUtilizationPercentage":50},"status":{"currentReplicas":1,"desiredReplicas":0}}"#]]
        .assert_eq(&json::to_string(&v1));
        to_stored(&mut v1);
        assert_eq!(json::to_string(&v1), before);
    }
}
