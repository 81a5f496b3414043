//! `NodeAffinity`: node selectors and node affinity, required and preferred.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};

use super::{Change, Plugin, Rejection, largest_is_best};
use crate::config::Profile;
use crate::snapshot::{NodeInfo, PodInfo};

pub const PLUGIN: Plugin = Plugin {
    name: "NodeAffinity",
    filter: Some(filter),
    score: Some(score),
    normalize: largest_is_best,
    weight: 2,
    wakes: &[Change::NodeAdded, Change::NodeLabels, Change::PodUpdated],
};

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let spec = pod.spec();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| node.labels().get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let fits = selected && required.is_none_or(|r| r.node_selector_terms.iter().any(|term| term_matches(term, node)));
    if fits { Ok(()) } else { Err(Rejection::unfit("node(s) didn't match Pod's node affinity/selector")) }
}

fn score(_: &Profile, pod: &PodInfo, node: &NodeInfo) -> i64 {
    let affinity = pod.spec().affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref());
    let matching = preferred.unwrap_or_default().iter().filter(|term| term_matches(&term.preference, node));
    matching.map(|term| i64::from(term.weight)).sum()
}

/// Whether every requirement of a term holds; a term without any holds nowhere.
fn term_matches(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let (expressions, fields) =
        (term.match_expressions.as_deref().unwrap_or_default(), term.match_fields.as_deref().unwrap_or_default());
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    // `metadata.name` is the only field that the API allows.
    fields.iter().all(|r| holds(r, Some(node.name())))
        && expressions.iter().all(|r| holds(r, node.labels().get(&r.key).map(String::as_str)))
}

fn holds(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let among = || actual.is_some_and(|actual| values.iter().any(|value| value == actual));
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = |test: fn(&i64, &i64) -> bool| match (actual.and_then(number), values) {
        (Some(actual), [limit]) => number(limit).is_some_and(|limit| test(&actual, &limit)),
        _ => false,
    };
    match requirement.operator.as_str() {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, node, pod};

    #[test]
    fn requirements() {
        let here = info(node("n7", "1", "1Gi"));
        for (operator, values, fits) in [
            ("In", r#"["n7"]"#, true),
            ("In", r#"["n8"]"#, false),
            ("NotIn", r#"["n8"]"#, true),
            ("Exists", "[]", true),
            ("DoesNotExist", "[]", false),
            ("Gt", r#"["1"]"#, false),
        ] {
            let spec = format!(
                r#"{{"containers":[],"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":
                   {{"nodeSelectorTerms":[{{"matchExpressions":[{{"key":"kubernetes.io/hostname",
                   "operator":"{operator}","values":{values}}}]}}]}}}}}}}}"#
            );
            assert_eq!(filter(&pod(&spec), &here).is_ok(), fits, "{operator} {values}");
        }
        assert!(filter(&pod(r#"{"containers":[],"nodeSelector":{"disk":"ssd"}}"#), &here).is_err());
    }
}
