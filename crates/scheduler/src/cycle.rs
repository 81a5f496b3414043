//! The decision: which node a pod runs on, a pure function of the snapshot.

use std::collections::BTreeSet;

use base::Random;

use crate::config::Profile;
use crate::diagnosis::Diagnosis;
use crate::node::NodeInfo;
use crate::plugins::{self, Decision, Plugin, Prepared, Rejection, State};
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

/// In clusters up to this size every node is looked at.
const MIN_FEASIBLE_NODES: usize = 100;
/// Of larger ones, at least this share of nodes, in per cent, unless the configuration says another.
const MIN_FEASIBLE_PERCENT: usize = 5;

/// Where a pod goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Onto this node.
    Node(Placement),
    /// Nowhere now.
    Unschedulable(Diagnosis),
}

/// A node, and what going there means for the pod's claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// The node's name.
    pub node: String,
    /// What its claims get.
    pub volumes: Decision,
    /// On how many nodes it was tried.
    pub evaluated: usize,
    /// How many of them fit.
    pub feasible: usize,
}

/// One pod, and what the plugins know of it.
pub struct Cycle<'a> {
    /// How the scheduler is set.
    pub profile: &'a Profile,
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// The pod.
    pub pod: &'a PodInfo,
    /// What the plugins keep.
    pub state: State<'a>,
    filters: Vec<&'static Plugin>,
    only: Option<BTreeSet<String>>,
    narrowed_by: BTreeSet<&'static str>,
}

/// Looks for the best node. `start` says at which node to begin looking, so that large clusters are used evenly; it is
/// moved on.
#[must_use]
pub fn schedule(profile: &Profile, snapshot: &Snapshot, pod: &PodInfo, start: &mut usize, random: &Random) -> Verdict {
    schedule_observed(profile, snapshot, pod, start, random, &mut |_, _| {})
}

/// A part of the search, as plugins and metrics know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Plugins look at the pod.
    PreFilter,
    /// Plugins say which nodes fit.
    Filter,
    /// Plugins say which node is best.
    Score,
}

/// Like [`schedule`]; `passed` is told of each part of the search that is done, and whether it went well.
#[must_use]
pub fn schedule_observed(
    profile: &Profile,
    snapshot: &Snapshot,
    pod: &PodInfo,
    start: &mut usize,
    random: &Random,
    passed: &mut dyn FnMut(Point, bool),
) -> Verdict {
    let mut cycle = Cycle::new(profile, snapshot, pod);
    let mut diagnosis = Diagnosis::of(snapshot.len());
    if snapshot.is_empty() {
        return Verdict::Unschedulable(diagnosis);
    }
    let prepared = cycle.prepare();
    passed(Point::PreFilter, prepared.is_ok());
    if let Err((plugin, rejection)) = prepared {
        diagnosis.refuse(plugin, rejection);
        return Verdict::Unschedulable(diagnosis);
    }
    let (evaluated, feasible) = cycle.find(start, &mut diagnosis);
    passed(Point::Filter, !feasible.is_empty());
    let best = match feasible.as_slice() {
        [] => return Verdict::Unschedulable(diagnosis),
        [only] => only,
        many => {
            let best = cycle.best(many, random);
            passed(Point::Score, true);
            best
        }
    };
    // The filter said yes, so this cannot fail but where the plugin is off.
    let volumes = plugins::find("VolumeBinding").filter(|plugin| cycle.asks(plugin));
    let volumes = volumes.map(|_| cycle.volumes(best)).unwrap_or_default();
    Verdict::Node(Placement { node: best.name().to_owned(), volumes, evaluated, feasible: feasible.len() })
}

impl<'a> Cycle<'a> {
    /// A cycle that has not looked at anything.
    #[must_use]
    pub fn new(profile: &'a Profile, snapshot: &'a Snapshot, pod: &'a PodInfo) -> Self {
        let (filters, only, narrowed_by) = (Vec::new(), None, BTreeSet::new());
        Self { profile, snapshot, pod, state: State::default(), filters, only, narrowed_by }
    }

    /// Lets the plugins look at the pod.
    ///
    /// # Errors
    /// Who says that it fits nowhere, and why.
    pub fn prepare(&mut self) -> Result<(), (&'static str, Rejection)> {
        for plugin in &self.profile.filters {
            match plugin.prepare.map_or(Prepared::Ask, |prepare| prepare(self)) {
                Prepared::Skip => continue,
                Prepared::Ask => {}
                Prepared::Only(names) => {
                    self.narrowed_by.insert(plugin.name);
                    self.only = Some(match self.only.take() {
                        Some(before) => before.intersection(&names).cloned().collect(),
                        None => names,
                    });
                }
                Prepared::Reject(rejection) => return Err((plugin.name, rejection)),
            }
            if plugin.filter.is_some() {
                self.filters.push(plugin);
            }
        }
        Ok(())
    }

    /// Whether a node takes the pod, as it is in `node`.
    ///
    /// # Errors
    /// The first plugin that says no, and why.
    pub fn filter(&self, node: &NodeInfo) -> Result<(), (&'static str, Rejection)> {
        for plugin in &self.filters {
            if let Some(filter) = plugin.filter {
                filter(self, node).map_err(|rejection| (plugin.name, rejection))?;
            }
        }
        Ok(())
    }

    /// What if `other` came to `node` (1) or left it (-1)?
    pub fn adjust(&mut self, node: &NodeInfo, other: &PodInfo, sign: i64) {
        for i in 0..self.filters.len() {
            if let Some(adjust) = self.filters[i].adjust {
                adjust(self, node, other, sign);
            }
        }
    }

    /// Whether a node takes the pod now, and also when the pods that wait for room there, and are no less important,
    /// have come.
    ///
    /// # Errors
    /// The first plugin that says no, and why.
    pub fn fits(&mut self, node: &NodeInfo) -> Result<(), (&'static str, Rejection)> {
        if self.snapshot.has_nominations() {
            let (pod, snapshot) = (self.pod, self.snapshot);
            let before = |other: &&std::sync::Arc<PodInfo>| other.priority() >= pod.priority() && other.key != pod.key;
            let waiting: Vec<_> = snapshot.nominated(node.name()).filter(before).collect();
            if !waiting.is_empty() {
                let mut crowded = node.clone();
                for other in &waiting {
                    crowded.add((*other).clone());
                    self.adjust(node, other, 1);
                }
                let verdict = self.filter(&crowded);
                waiting.iter().for_each(|other| self.adjust(node, other, -1));
                verdict?;
            }
        }
        self.filter(node)
    }

    /// The nodes that take the pod, as many as are wanted, and how many were tried.
    fn find(&mut self, start: &mut usize, diagnosis: &mut Diagnosis) -> (usize, Vec<&'a NodeInfo>) {
        let snapshot = self.snapshot;
        if let Some(nominated) = self.pod.nominated_node().and_then(|name| snapshot.node(name))
            && self.only.as_ref().is_none_or(|only| only.contains(nominated.name()))
            && self.fits(nominated).is_ok()
        {
            return (1, vec![nominated]);
        }
        if let Some(only) = self.only.take() {
            diagnosis.narrow(&self.narrowed_by);
            let nodes = only.iter().filter_map(|name| snapshot.node(name));
            return self.try_all(nodes, usize::MAX, diagnosis);
        }
        let wanted = feasible_limit(snapshot.len(), self.profile.percentage_of_nodes);
        let nodes = (0..snapshot.len()).filter_map(|i| snapshot.turn(*start + i));
        let (tried, feasible) = self.try_all(nodes, wanted, diagnosis);
        *start = (*start + tried) % snapshot.len();
        (tried, feasible)
    }

    fn try_all(
        &mut self,
        nodes: impl Iterator<Item = &'a NodeInfo>,
        wanted: usize,
        diagnosis: &mut Diagnosis,
    ) -> (usize, Vec<&'a NodeInfo>) {
        let (mut tried, mut feasible) = (0, Vec::new());
        for node in nodes {
            tried += 1;
            match self.fits(node) {
                Ok(()) => feasible.push(node),
                Err((plugin, rejection)) => diagnosis.note(plugin, node.slot, rejection),
            }
            if feasible.len() >= wanted {
                break;
            }
        }
        (tried, feasible)
    }

    /// The node with the highest weighted score; chance decides between equals.
    fn best(&mut self, nodes: &[&'a NodeInfo], random: &Random) -> &'a NodeInfo {
        let mut totals = vec![0; nodes.len()];
        for (plugin, weight) in &self.profile.scores {
            if self.prepare_score(plugin, nodes) {
                let scores = self.scores(plugin, nodes);
                totals.iter_mut().zip(scores).for_each(|(total, score)| *total += score * weight);
            }
        }
        let highest = totals.iter().max().copied().unwrap_or(0);
        let equals = totals.iter().filter(|total| **total == highest).count();
        let chosen = random.below(equals);
        let mut best = totals.iter().enumerate().filter(|(_, total)| **total == highest).map(|(i, _)| i);
        nodes[best.nth(chosen).unwrap_or(0)]
    }

    /// Whether a plugin has anything to say about how good these nodes are.
    pub fn prepare_score(&mut self, plugin: &Plugin, nodes: &[&NodeInfo]) -> bool {
        plugin.score.is_some() && plugin.prepare_score.is_none_or(|prepare| prepare(self, nodes))
    }

    /// What one plugin thinks of each node.
    #[must_use]
    pub fn scores(&self, plugin: &Plugin, nodes: &[&NodeInfo]) -> Vec<i64> {
        let Some(score) = plugin.score else { return vec![0; nodes.len()] };
        let mut scores: Vec<i64> = nodes.iter().map(|node| score(self, node)).collect();
        (plugin.normalize)(self, nodes, &mut scores);
        scores
    }

    fn asks(&self, plugin: &Plugin) -> bool {
        self.filters.iter().any(|asked| asked.name == plugin.name)
    }

    fn volumes(&self, node: &NodeInfo) -> Decision {
        plugins::decide_volumes(self, node).unwrap_or_default()
    }
}

/// How many feasible nodes are enough: all of a small cluster, a falling share of a large one.
fn feasible_limit(nodes: usize, percentage: usize) -> usize {
    if nodes < MIN_FEASIBLE_NODES {
        return nodes;
    }
    let adaptive = || 50usize.saturating_sub(nodes / 125).max(MIN_FEASIBLE_PERCENT);
    let percent = if percentage == 0 { adaptive() } else { percentage };
    (nodes * percent / 100).clamp(MIN_FEASIBLE_NODES, nodes)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{named, node, node_with, place, pod};

    const ONE_CPU: &str = r#"{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}"#;

    #[test]
    fn the_emptiest_node_wins() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("full", "4", "8Gi"));
        snapshot.set_node(node("empty", "4", "8Gi"));
        snapshot.set_pod("full", named("q", ONE_CPU));
        assert_eq!(place(&snapshot, &pod(ONE_CPU)), "empty");
    }

    #[test]
    fn the_message_counts_reasons() {
        let mut snapshot = Snapshot::default();
        expect!["no nodes available to schedule pods"].assert_eq(&place(&snapshot, &pod(ONE_CPU)));
        snapshot.set_node(node("a", "500m", "8Gi"));
        snapshot.set_node(node("b", "500m", "8Gi"));
        let taints = serde_json::json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
        snapshot.set_node(node_with("c", taints, serde_json::json!({})));
        expect!["0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu."]
            .assert_eq(&place(&snapshot, &pod(ONE_CPU)));
    }

    #[test]
    fn large_clusters_are_sampled_and_used_in_turn() {
        assert_eq!([50, 100, 1000, 5000, 10_000].map(|n| feasible_limit(n, 0)), [50, 100, 420, 500, 500]);
        assert_eq!([1000, 5000].map(|n| feasible_limit(n, 30)), [300, 1500]);
        let mut snapshot = Snapshot::default();
        (0..200).for_each(|i| snapshot.set_node(node(&format!("n{i:03}"), "4", "8Gi")));
        let mut start = 150;
        let verdict = schedule(&Profile::default(), &snapshot, &pod(ONE_CPU), &mut start, &Random::seeded(1));
        assert!(matches!(verdict, Verdict::Node(_)));
        assert_eq!(start, 50);
    }

    #[test]
    fn room_that_was_made_for_another_pod_is_kept() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "1", "8Gi"));
        let important = |name: &str, priority: i32| {
            named(name, &ONE_CPU.replacen("{\"c", &format!("{{\"priority\":{priority},\"c"), 1))
        };
        snapshot.nominate(&important("first", 5), Some("n"));
        assert_eq!(place(&snapshot, &important("p", 5)), "0/1 nodes are available: 1 Insufficient cpu.");
        assert_eq!(place(&snapshot, &important("p", 6)), "n");
        assert_eq!(place(&snapshot, &important("first", 5)), "n");
    }
}
