//! What decides where a pod may and should run: one file a plugin, in the order in which they are asked.

mod balanced_allocation;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod taint_toleration;

use crate::config::Profile;
use crate::snapshot::{NodeInfo, PodInfo};

/// The best score a node can get from one plugin.
pub const MAX_SCORE: i64 = 100;

/// Why a node does not take a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reasons, as the event shows them.
    pub reasons: Vec<String>,
    /// Whether removing other pods from the node could change it.
    pub preemptible: bool,
}

impl Rejection {
    /// Other pods are in the way.
    #[must_use]
    pub fn crowded(reasons: Vec<String>) -> Self {
        Self { reasons, preemptible: true }
    }

    /// The node itself does not fit.
    #[must_use]
    pub fn unfit(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], preemptible: false }
    }
}

/// What changed in the cluster; decides which waiting pods are tried again (KEP-4247).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// A node came.
    NodeAdded,
    /// A node can give more than before.
    NodeAllocatable,
    /// A node's labels changed.
    NodeLabels,
    /// A node's taints, or whether it may be scheduled on, changed.
    NodeTaints,
    /// A pod went away from a node or shrank.
    PodLeft,
    /// The waiting pod itself changed.
    PodUpdated,
}

/// Whether a pod may run on a node.
pub type Filter = fn(&PodInfo, &NodeInfo) -> Result<(), Rejection>;
/// How well a pod runs on a node.
pub type Score = fn(&Profile, &PodInfo, &NodeInfo) -> i64;

/// One plugin: what it forbids, what it prefers and what wakes the pods that it rejected.
pub struct Plugin {
    /// Upstream's name, as metrics and pod conditions show it.
    pub name: &'static str,
    /// Whether `pod` may run on `node`.
    pub filter: Option<Filter>,
    /// How well `pod` runs on `node`, in any unit that [`Plugin::normalize`] understands.
    pub score: Option<Score>,
    /// Turns the scores of all nodes into 0..=[`MAX_SCORE`].
    pub normalize: fn(&mut [i64]),
    /// How much the score counts.
    pub weight: i64,
    /// Changes that may help a pod which this plugin rejected.
    pub wakes: &'static [Change],
}

/// Scores that are in 0..=[`MAX_SCORE`] already.
fn as_is(_: &mut [i64]) {}

/// The largest score becomes [`MAX_SCORE`], the others in proportion.
fn largest_is_best(scores: &mut [i64]) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    if largest > 0 {
        scores.iter_mut().for_each(|score| *score = *score * MAX_SCORE / largest);
    }
}

/// The largest score becomes 0, none becomes [`MAX_SCORE`].
fn smallest_is_best(scores: &mut [i64]) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = if largest == 0 { MAX_SCORE } else { MAX_SCORE - *score * MAX_SCORE / largest };
    }
}

const BASE: Plugin = Plugin { name: "", filter: None, score: None, normalize: as_is, weight: 1, wakes: &[] };

/// Every plugin, in the order in which filters are asked.
pub const ALL: &[Plugin] = &[
    node_unschedulable::PLUGIN,
    node_name::PLUGIN,
    taint_toleration::PLUGIN,
    node_affinity::PLUGIN,
    node_ports::PLUGIN,
    node_resources_fit::PLUGIN,
    balanced_allocation::PLUGIN,
];
