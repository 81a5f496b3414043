//! Keys of labels whose values are the pod's own (KEP-3633, KEP-3243): selectors get what they stand for when a pod is
//! made.

use machinery::{Object, Value, meta, value};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Adds what the keys stand for to the selectors of a new pod.
pub(super) fn resolve(pod: &mut Value) {
    let Some(labels) = meta::labels(pod).cloned() else { return };
    for affinity in ["podAffinity", "podAntiAffinity"] {
        let terms = pod.at_mut(&["spec", "affinity", affinity, REQUIRED]).and_then(Value::as_array_mut);
        terms.into_iter().flatten().for_each(|term| resolve_term(term, &labels));
        let weighted = pod.at_mut(&["spec", "affinity", affinity, PREFERRED]).and_then(Value::as_array_mut);
        let terms = weighted.into_iter().flatten().filter_map(|weighted| weighted.get_mut("podAffinityTerm"));
        terms.for_each(|term| resolve_term(term, &labels));
    }
    let constraints = pod.at_mut(&["spec", "topologySpreadConstraints"]).and_then(Value::as_array_mut);
    constraints.into_iter().flatten().for_each(|constraint| resolve_term(constraint, &labels));
}

fn resolve_term(term: &mut Value, labels: &Object) {
    if term.get("labelSelector").is_none_or(Value::is_null) {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys = term.items_at(&[field]).to_vec();
        for key in keys.iter().filter_map(Value::as_str) {
            let Some(label) = labels.get(key).cloned() else { continue };
            let expression = value!({"key": key, "operator": operator, "values": [(label)]});
            let mut expressions = term.items_at(&["labelSelector", "matchExpressions"]).to_vec();
            expressions.push(expression);
            term.set_at(&["labelSelector", "matchExpressions"], Value::Array(expressions));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_expressions() {
        let mut pod = value!({"metadata": {"labels": {"app": "a", "v": "1"}}, "spec": {"topologySpreadConstraints": [
            {"matchLabelKeys": ["v", "none"], "labelSelector": {"matchLabels": {"app": "a"}}}]}});
        resolve(&mut pod);
        expect_test::expect![[r#"[{"matchLabelKeys":["v","none"],"labelSelector":{"matchLabels":{"app":"a"},"matchExpressions":[{"key":"v","operator":"In","values":["1"]}]}}]"#]]
            .assert_eq(&serde_json::to_string(pod.at(&["spec", "topologySpreadConstraints"]).unwrap()).unwrap());
    }
}
