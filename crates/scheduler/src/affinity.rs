//! What pods want of other pods near them: the terms of pod affinity and anti-affinity.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use machinery::labels::Selector;

use crate::pod::PodInfo;

/// The labels of namespaces, by name.
pub type NamespaceLabels = std::collections::HashMap<String, BTreeMap<String, String>>;

/// Which pods, and within what part of the cluster.
#[derive(Debug, Clone)]
pub struct Term {
    /// The same text for the same term.
    pub identity: Arc<str>,
    /// Which label of nodes names the parts of the cluster; empty means single nodes, whatever their labels.
    pub topology_key: String,
    /// Whether pods that are being deleted do not count.
    pub living_only: bool,
    namespaces: BTreeSet<String>,
    namespace_selector: Selector,
    selector: Selector,
}

impl Term {
    /// The pods of one namespace that `selector` selects and that are not being deleted, counted by node.
    #[must_use]
    pub fn of_namespace(namespace: &str, selector: Selector) -> Self {
        let namespaces = BTreeSet::from([namespace.to_owned()]);
        Self::new(namespaces, Selector::nothing(), selector, String::new(), true)
    }

    fn new(
        namespaces: BTreeSet<String>,
        namespace_selector: Selector,
        selector: Selector,
        topology_key: String,
        living_only: bool,
    ) -> Self {
        let (any, none) = (namespace_selector.is_empty(), namespace_selector.selects_nothing());
        let chosen = if none { &"-" as &dyn std::fmt::Display } else { &namespace_selector };
        let selected = if selector.selects_nothing() { &"-" as &dyn std::fmt::Display } else { &selector };
        let identity = format!("{topology_key} {living_only} {any} {chosen} {namespaces:?} {selected}").into();
        Self { identity, topology_key, living_only, namespaces, namespace_selector, selector }
    }

    fn from_api(namespace: &str, labels: &BTreeMap<String, String>, term: &PodAffinityTerm) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        let (same, differ) = (term.match_label_keys.as_deref(), term.mismatch_label_keys.as_deref());
        let selector = with_keys(term.label_selector.as_ref(), labels, same, differ);
        let namespace_selector = to_selector(term.namespace_selector.as_ref());
        Self::new(namespaces, namespace_selector, to_selector(selector.as_ref()), term.topology_key.clone(), false)
    }

    /// Whether it means `pod`.
    #[must_use]
    pub fn matches(&self, pod: &PodInfo, namespaces: &NamespaceLabels) -> bool {
        if self.living_only && pod.is_terminating() {
            return false;
        }
        let here = self.namespaces.contains(pod.namespace())
            || !self.namespace_selector.selects_nothing()
                && namespaces.get(pod.namespace()).is_some_and(|labels| self.namespace_selector.matches(labels))
            || self.namespace_selector.is_empty();
        here && self.selector.matches(pod.labels())
    }

    /// Whether a change of some namespace's labels may change what it means.
    #[must_use]
    pub fn depends_on_namespaces(&self) -> bool {
        !self.namespace_selector.selects_nothing() && !self.namespace_selector.is_empty()
    }

    /// A label that every pod it means has, if there is one.
    #[must_use]
    pub fn label(&self) -> Option<(&str, &str)> {
        use machinery::labels::Operator::{DoubleEquals, Equals, In};
        self.selector.requirements().iter().find_map(|requirement| {
            let mut values = requirement.values();
            let only = values.next().filter(|_| values.next().is_none())?;
            matches!(requirement.operator(), Equals | DoubleEquals | In).then_some((requirement.key(), only))
        })
    }
}

/// A `LabelSelector` as the API writes it; an absent one selects nothing.
#[must_use]
pub fn to_selector(selector: Option<&LabelSelector>) -> Selector {
    let value = selector.map(machinery::to_value);
    // The API server let only well-formed selectors in.
    Selector::from_label_selector(value.as_ref()).unwrap_or_else(|_| Selector::nothing())
}

/// The selector, and the pod's own values of some labels (`matchLabelKeys`, `mismatchLabelKeys`; KEP-3633, KEP-3243).
#[must_use]
pub fn with_keys(
    selector: Option<&LabelSelector>,
    labels: &BTreeMap<String, String>,
    same: Option<&[String]>,
    differ: Option<&[String]>,
) -> Option<LabelSelector> {
    let mut selector = selector?.clone();
    let both = [(same, "In"), (differ, "NotIn")];
    for (key, operator) in both.into_iter().flat_map(|(keys, op)| keys.unwrap_or_default().iter().map(move |k| (k, op)))
    {
        if let Some(value) = labels.get(key) {
            selector.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
                key: key.clone(),
                operator: operator.to_owned(),
                values: Some(vec![value.clone()]),
            });
        }
    }
    Some(selector)
}

/// All terms of a pod.
#[derive(Debug, Clone, Default)]
pub struct AffinityTerms {
    /// Near such pods only.
    pub required: Vec<Arc<Term>>,
    /// Away from such pods only.
    pub anti_required: Vec<Arc<Term>>,
    /// Rather near (weight above 0) or away from (below 0) such pods.
    pub preferred: Vec<(i64, Arc<Term>)>,
}

impl AffinityTerms {
    /// The terms of a pod with this namespace and these labels.
    #[must_use]
    pub fn new(namespace: &str, labels: &BTreeMap<String, String>, affinity: Option<&Affinity>) -> Self {
        let Some(affinity) = affinity else { return Self::default() };
        let all = |terms: &Option<Vec<PodAffinityTerm>>| {
            terms.iter().flatten().map(|term| Arc::new(Term::from_api(namespace, labels, term))).collect()
        };
        let weighted = |terms: &Option<Vec<WeightedPodAffinityTerm>>, sign: i64| -> Vec<(i64, Arc<Term>)> {
            let weigh = |term: &WeightedPodAffinityTerm| {
                let weight = sign * i64::from(term.weight);
                (weight, Arc::new(Term::from_api(namespace, labels, &term.pod_affinity_term)))
            };
            terms.iter().flatten().map(weigh).collect()
        };
        let mut terms = Self::default();
        if let Some(near) = &affinity.pod_affinity {
            terms.required = all(&near.required_during_scheduling_ignored_during_execution);
            terms.preferred = weighted(&near.preferred_during_scheduling_ignored_during_execution, 1);
        }
        if let Some(away) = &affinity.pod_anti_affinity {
            terms.anti_required = all(&away.required_during_scheduling_ignored_during_execution);
            terms.preferred.extend(weighted(&away.preferred_during_scheduling_ignored_during_execution, -1));
        }
        terms
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.anti_required.is_empty() && self.preferred.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod_in;

    fn term(json: serde_json::Value) -> Term {
        let api: PodAffinityTerm = serde_json::from_value(json).unwrap();
        Term::from_api("a", &BTreeMap::from([("v".to_owned(), "1".to_owned())]), &api)
    }

    #[test]
    fn namespaces_and_keys() {
        let namespaces = NamespaceLabels::from([("b".into(), BTreeMap::from([("team".to_owned(), "x".to_owned())]))]);
        let selector = serde_json::json!({"matchLabels": {"app": "web"}});
        for (extra, expected) in [
            (serde_json::json!({}), [true, false, true]),
            (serde_json::json!({"namespaces": ["b"]}), [false, true, false]),
            (serde_json::json!({"namespaceSelector": {}}), [true, true, true]),
            (serde_json::json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}), [false, true, false]),
            (serde_json::json!({"matchLabelKeys": ["v"]}), [true, false, false]),
            (serde_json::json!({"mismatchLabelKeys": ["v"]}), [false, false, true]),
        ] {
            let mut json = serde_json::json!({"topologyKey": "zone", "labelSelector": selector});
            json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let term = term(json);
            let of = |namespace, version| {
                let labels = serde_json::json!({"app": "web", "v": version});
                term.matches(&pod_in(namespace, "q", labels, "{\"containers\":[]}"), &namespaces)
            };
            assert_eq!([of("a", "1"), of("b", "1"), of("a", "2")], expected, "{extra}");
        }
    }
}
