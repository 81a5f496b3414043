//! Node selectors: the terms of node affinity, of volumes and of classes.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm};

/// Whether one of `terms` selects `node`.
#[must_use]
pub fn any_term(terms: &[NodeSelectorTerm], node: &Node) -> bool {
    terms.iter().any(|term| term_matches(term, node))
}

/// Whether every requirement of a term holds; a term without any holds nowhere.
#[must_use]
pub fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (expressions, fields) =
        (term.match_expressions.as_deref().unwrap_or_default(), term.match_fields.as_deref().unwrap_or_default());
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    // `metadata.name` is the only field that the API allows.
    fields.iter().all(|r| holds(r, node.metadata.name.as_deref()))
        && expressions.iter().all(|r| holds(r, label(&r.key)))
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
