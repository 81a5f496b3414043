//! The decision: which node a pod runs on, a pure function of the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use base::Random;

use crate::config::Profile;
use crate::plugins::{self, Rejection};
use crate::snapshot::{NodeInfo, PodInfo, Snapshot};

/// In clusters up to this size every node is looked at.
const MIN_FEASIBLE_NODES: usize = 100;
/// Of larger ones, at least this share of nodes, in per cent.
const MIN_FEASIBLE_PERCENT: usize = 5;

/// Where a pod goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Onto this node.
    Node(String),
    /// Nowhere now.
    Unschedulable(Diagnosis),
}

/// Why a pod goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// How many nodes there are.
    pub nodes: usize,
    /// On how many nodes each reason holds.
    pub reasons: BTreeMap<String, usize>,
    /// The plugins that rejected some node: what wakes the pod again.
    pub plugins: BTreeSet<&'static str>,
    /// On how many nodes removing other pods might help.
    pub preemptible: usize,
}

impl Diagnosis {
    /// The message of the `FailedScheduling` event and of the pod's condition.
    #[must_use]
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut reasons: Vec<String> = self.reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
        reasons.sort();
        format!("0/{} nodes are available: {}.", self.nodes, reasons.join(", "))
    }
}

/// Looks for the best node. `start` says at which node to begin looking, so that large clusters are used evenly; it is
/// moved on.
#[must_use]
pub fn schedule(profile: &Profile, snapshot: &Snapshot, pod: &PodInfo, start: &mut usize, random: &Random) -> Verdict {
    let nodes: Vec<&NodeInfo> = snapshot.nodes().map(AsRef::as_ref).collect();
    let wanted = feasible_limit(nodes.len());
    let mut diagnosis = Diagnosis { nodes: nodes.len(), ..Diagnosis::default() };
    let mut feasible = Vec::new();
    let mut looked = 0;
    while looked < nodes.len() && feasible.len() < wanted {
        let node = nodes[(*start + looked) % nodes.len()];
        looked += 1;
        match filter(pod, node) {
            Ok(()) => feasible.push(node),
            Err((plugin, rejection)) => diagnosis.note(plugin, rejection),
        }
    }
    *start = if nodes.is_empty() { 0 } else { (*start + looked) % nodes.len() };
    match feasible.as_slice() {
        [] => Verdict::Unschedulable(diagnosis),
        [only] => Verdict::Node(only.name().to_owned()),
        many => Verdict::Node(best(profile, pod, many, random).name().to_owned()),
    }
}

impl Diagnosis {
    fn note(&mut self, plugin: &'static str, rejection: Rejection) {
        for reason in rejection.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
        self.plugins.insert(plugin);
        self.preemptible += usize::from(rejection.preemptible);
    }
}

/// How many feasible nodes are enough: all of a small cluster, a falling share of a large one.
fn feasible_limit(nodes: usize) -> usize {
    if nodes < MIN_FEASIBLE_NODES {
        return nodes;
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(MIN_FEASIBLE_PERCENT);
    (nodes * percent / 100).max(MIN_FEASIBLE_NODES)
}

fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), (&'static str, Rejection)> {
    for plugin in plugins::ALL {
        if let Some(filter) = plugin.filter {
            filter(pod, node).map_err(|rejection| (plugin.name, rejection))?;
        }
    }
    Ok(())
}

/// The node with the highest weighted score; chance decides between equals.
fn best<'a>(profile: &Profile, pod: &PodInfo, nodes: &[&'a NodeInfo], random: &Random) -> &'a NodeInfo {
    let mut totals = vec![0; nodes.len()];
    for plugin in plugins::ALL {
        let Some(score) = plugin.score else { continue };
        let mut scores: Vec<i64> = nodes.iter().map(|node| score(profile, pod, node)).collect();
        (plugin.normalize)(&mut scores);
        totals.iter_mut().zip(scores).for_each(|(total, score)| *total += score * plugin.weight);
    }
    let highest = totals.iter().max().copied().unwrap_or(0);
    let equals: Vec<usize> = (0..nodes.len()).filter(|i| totals[*i] == highest).collect();
    nodes[equals[random.below(equals.len())]]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{node, node_with, pod};

    fn place(snapshot: &Snapshot, spec: &str) -> String {
        match schedule(&Profile::default(), snapshot, &pod(spec), &mut 0, &Random::seeded(1)) {
            Verdict::Node(name) => name,
            Verdict::Unschedulable(diagnosis) => diagnosis.message(),
        }
    }

    const ONE_CPU: &str = r#"{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}"#;

    #[test]
    fn the_emptiest_node_wins() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("full", "4", "8Gi"));
        snapshot.set_node(node("empty", "4", "8Gi"));
        snapshot.set_pod("a/q", "full", pod(ONE_CPU));
        assert_eq!(place(&snapshot, ONE_CPU), "empty");
    }

    #[test]
    fn the_message_counts_reasons() {
        let mut snapshot = Snapshot::default();
        expect!["no nodes available to schedule pods"].assert_eq(&place(&snapshot, ONE_CPU));
        snapshot.set_node(node("a", "500m", "8Gi"));
        snapshot.set_node(node("b", "500m", "8Gi"));
        let taints = serde_json::json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
        snapshot.set_node(node_with("c", taints, serde_json::json!({})));
        expect!["0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu."]
            .assert_eq(&place(&snapshot, ONE_CPU));
    }

    #[test]
    fn large_clusters_are_sampled_and_used_in_turn() {
        assert_eq!([50, 100, 1000, 5000, 10_000].map(feasible_limit), [50, 100, 420, 500, 500]);
        let mut snapshot = Snapshot::default();
        (0..200).for_each(|i| snapshot.set_node(node(&format!("n{i:03}"), "4", "8Gi")));
        let mut start = 150;
        let verdict = schedule(&Profile::default(), &snapshot, &pod(ONE_CPU), &mut start, &Random::seeded(1));
        assert!(matches!(verdict, Verdict::Node(_)));
        assert_eq!(start, 50);
    }
}
