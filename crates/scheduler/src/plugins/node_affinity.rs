//! `NodeAffinity`: node selectors and node affinity, required and preferred.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm};

use super::{BASE, Plugin, Prepared, Rejection, largest_is_best};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::selector::{any_term, term_matches};

pub const PLUGIN: Plugin = Plugin {
    name: "NodeAffinity",
    prepare: Some(prepare),
    filter: Some(filter),
    prepare_score: Some(|cycle, _| !preferred(cycle.pod).is_empty() || !added_preferred(cycle).is_empty()),
    score: Some(score),
    normalize: largest_is_best,
    weight: 2,
    helps,
    ..BASE
};

const UNFIT: &str = "node(s) didn't match Pod's node affinity/selector";
const UNFIT_ADDED: &str = "node(s) didn't match scheduler-enforced node affinity";

/// A pod that names its nodes by field (a `DaemonSet`'s) needs no look at the others.
fn prepare(cycle: &mut Cycle<'_>) -> Prepared {
    let added = cycle.profile.added_affinity.is_some();
    let Some(terms) = required(cycle.pod) else {
        let any = added || cycle.pod.spec().node_selector.as_ref().is_some_and(|all| !all.is_empty());
        return if any { Prepared::Ask } else { Prepared::Skip };
    };
    let mut names = BTreeSet::new();
    for term in terms {
        match named(term) {
            Some(of_term) => names.extend(of_term),
            None => return Prepared::Ask,
        }
    }
    if names.is_empty() && !terms.is_empty() {
        return Prepared::Reject(Rejection::unfit("pod affinity terms conflict"));
    }
    Prepared::Only(names)
}

/// The nodes that a term names by `metadata.name`; none if it does not.
fn named(term: &NodeSelectorTerm) -> Option<BTreeSet<String>> {
    let fields = term.match_fields.iter().flatten();
    let by_name = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
    let mut sets = by_name.map(|field| field.values.iter().flatten().cloned().collect::<BTreeSet<_>>());
    let first = sets.next()?;
    Some(sets.fold(first, |all, next| all.intersection(&next).cloned().collect()))
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let added = cycle.profile.added_affinity.as_ref();
    let enforced = added.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    if enforced.is_some_and(|selector| !any_term(&selector.node_selector_terms, &node.node)) {
        return Err(Rejection::unfit(UNFIT_ADDED));
    }
    if allows(cycle.pod, &node.node) { Ok(()) } else { Err(Rejection::unfit(UNFIT)) }
}

/// Whether the pod's selector and required affinity allow a node.
#[must_use]
pub fn allows(pod: &PodInfo, node: &Node) -> bool {
    let label = |key: &String| node.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let selected = pod.spec().node_selector.iter().flatten().all(|(key, value)| label(key) == Some(value));
    selected && required(pod).is_none_or(|terms| any_term(terms, node))
}

fn required(pod: &PodInfo) -> Option<&[NodeSelectorTerm]> {
    let affinity = pod.spec().affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    Some(&required.node_selector_terms)
}

type Preferred = [k8s_openapi::api::core::v1::PreferredSchedulingTerm];

fn preferred(pod: &PodInfo) -> &Preferred {
    let affinity = pod.spec().affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

fn added_preferred<'a>(cycle: &Cycle<'a>) -> &'a Preferred {
    let added = cycle.profile.added_affinity.as_ref();
    added.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let terms = preferred(cycle.pod).iter().chain(added_preferred(cycle));
    terms.filter(|term| term_matches(&term.preference, &node.node)).map(|term| i64::from(term.weight)).sum()
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    matches!(change, Change::PodUpdated)
        || change.touches_labels() && change.node().is_some_and(|node| allows(pod, node))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{node, place, pod, scores};

    fn affinity(kind: &str, term: &str) -> String {
        format!(r#"{{"containers":[],"affinity":{{"nodeAffinity":{{"{kind}":{term}}}}}}}"#)
    }

    #[test]
    fn requirements() {
        let here = node("n7", "1", "1Gi");
        for (operator, values, fits) in [
            ("In", r#"["n7"]"#, true),
            ("In", r#"["n8"]"#, false),
            ("NotIn", r#"["n8"]"#, true),
            ("Exists", "[]", true),
            ("DoesNotExist", "[]", false),
            ("Gt", r#"["1"]"#, false),
        ] {
            let term = format!(
                r#"{{"nodeSelectorTerms":[{{"matchExpressions":[{{"key":"kubernetes.io/hostname",
                   "operator":"{operator}","values":{values}}}]}}]}}"#
            );
            let pod = pod(&affinity("requiredDuringSchedulingIgnoredDuringExecution", &term));
            assert_eq!(allows(&pod, &here), fits, "{operator} {values}");
        }
        assert!(!allows(&pod(r#"{"containers":[],"nodeSelector":{"disk":"ssd"}}"#), &here));
    }

    #[test]
    fn a_pod_that_names_its_node_looks_at_no_other() {
        let mut snapshot = Snapshot::default();
        ["a", "b", "c"].iter().for_each(|name| snapshot.set_node(node(name, "1", "1Gi")));
        let named = |name: &str| {
            let term = format!(
                r#"{{"nodeSelectorTerms":[{{"matchFields":[{{"key":"metadata.name","operator":"In",
                   "values":["{name}"]}}]}}]}}"#
            );
            affinity("requiredDuringSchedulingIgnoredDuringExecution", &term)
        };
        assert_eq!(place(&snapshot, &pod(&named("b"))), "b");
        expect!["0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."]
            .assert_eq(&place(&snapshot, &pod(&named("z"))));
    }

    #[test]
    fn preferences() {
        let mut snapshot = Snapshot::default();
        ["a", "b"].iter().for_each(|name| snapshot.set_node(node(name, "1", "1Gi")));
        let term = r#"[{"weight":5,"preference":{"matchExpressions":[{"key":"kubernetes.io/hostname",
            "operator":"In","values":["b"]}]}}]"#;
        let pod = pod(&affinity("preferredDuringSchedulingIgnoredDuringExecution", term));
        assert_eq!(scores(&PLUGIN, &snapshot, &pod), "a: 0\nb: 100\n");
    }
}
