//! What decides where a pod may and should run: one file a plugin, in the order in which they are asked.

mod balanced_allocation;
mod dynamic_resources;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod scheduling_gates;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use std::borrow::Cow;
use std::collections::BTreeSet;

use smallvec::{SmallVec, smallvec};

use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;

pub use volume_binding::{Decision, Provision, decide as decide_volumes};

/// The best score a node can get from one plugin.
pub const MAX_SCORE: i64 = 100;

/// The plugin that removes other pods; it is not in [`ALL`], for it runs when all others have said no.
pub const DEFAULT_PREEMPTION: &str = "DefaultPreemption";

/// One reason; most are known beforehand.
pub type Reason = Cow<'static, str>;

/// Why a node does not take a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reasons, as the event shows them.
    pub reasons: SmallVec<[Reason; 1]>,
    /// Whether removing other pods from the node could change it.
    pub preemptible: bool,
}

impl Rejection {
    /// Other pods are in the way.
    #[must_use]
    pub fn crowded(reason: &'static str) -> Self {
        Self { reasons: smallvec![Reason::Borrowed(reason)], preemptible: true }
    }

    /// The node itself does not fit.
    #[must_use]
    pub fn unfit(reason: impl Into<Reason>) -> Self {
        Self { reasons: smallvec![reason.into()], preemptible: false }
    }
}

/// What a plugin says before it looks at nodes.
#[derive(Debug)]
pub enum Prepared {
    /// It wants to see the nodes.
    Ask,
    /// It wants to see only these nodes; others are out.
    Only(BTreeSet<String>),
    /// It has no say about this pod.
    Skip,
    /// The pod fits nowhere.
    Reject(Rejection),
}

/// Whether a pod may run on a node, and if not, why.
pub type Filter = fn(&Cycle<'_>, &NodeInfo) -> Result<(), Rejection>;

/// One plugin. What it has no function for, it has no say in.
pub struct Plugin {
    /// Upstream's name, as metrics, configuration and events show it.
    pub name: &'static str,
    /// Whether the pod must wait before it is even tried.
    pub gates: Option<fn(&PodInfo) -> bool>,
    /// Looks at the pod alone.
    pub prepare: Option<for<'a> fn(&mut Cycle<'a>) -> Prepared>,
    /// Whether the pod may run on a node.
    pub filter: Option<Filter>,
    /// What-if: a pod comes to a node (1) or leaves it (-1).
    pub adjust: Option<fn(&mut Cycle<'_>, &NodeInfo, &PodInfo, i64)>,
    /// Looks at the nodes that are left; whether it has anything to say about them.
    pub prepare_score: Option<for<'a> fn(&mut Cycle<'a>, &[&NodeInfo]) -> bool>,
    /// How well the pod runs on a node, in any unit that [`Plugin::normalize`] understands.
    pub score: Option<fn(&Cycle<'_>, &NodeInfo) -> i64>,
    /// Turns the scores of all nodes into 0..=[`MAX_SCORE`].
    pub normalize: fn(&Cycle<'_>, &[&NodeInfo], &mut [i64]),
    /// How much the score counts.
    pub weight: i64,
    /// Whether a change may help a pod which this plugin rejected (KEP-4247).
    pub helps: fn(&PodInfo, &Change) -> bool,
}

impl Plugin {
    /// Whether it has a say in where a pod may run.
    #[must_use]
    pub fn filters(&self) -> bool {
        self.gates.is_some() || self.prepare.is_some() || self.filter.is_some()
    }
}

const BASE: Plugin = Plugin {
    name: "",
    gates: None,
    prepare: None,
    filter: None,
    adjust: None,
    prepare_score: None,
    score: None,
    normalize: as_is,
    weight: 1,
    helps: |_, _| false,
};

/// Every plugin, in the order in which they are asked.
pub static ALL: &[Plugin] = &[
    scheduling_gates::PLUGIN,
    node_unschedulable::PLUGIN,
    node_name::PLUGIN,
    taint_toleration::PLUGIN,
    node_affinity::PLUGIN,
    node_ports::PLUGIN,
    node_resources_fit::PLUGIN,
    volume_restrictions::PLUGIN,
    node_volume_limits::PLUGIN,
    volume_binding::PLUGIN,
    volume_zone::PLUGIN,
    pod_topology_spread::PLUGIN,
    inter_pod_affinity::PLUGIN,
    dynamic_resources::PLUGIN,
    balanced_allocation::PLUGIN,
    image_locality::PLUGIN,
];

/// The plugin called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Plugin> {
    ALL.iter().find(|plugin| plugin.name == name)
}

/// What the plugins keep during one cycle.
#[derive(Debug, Default)]
pub struct State<'a> {
    pub(crate) affinity: inter_pod_affinity::State<'a>,
    pub(crate) near: inter_pod_affinity::Preferences<'a>,
    pub(crate) spread: pod_topology_spread::State<'a>,
    pub(crate) evenness: pod_topology_spread::Preferences<'a>,
    pub(crate) volumes: volume_binding::State<'a>,
    pub(crate) restricted: volume_restrictions::State,
    pub(crate) zones: volume_zone::State,
    pub(crate) attached: node_volume_limits::State,
}

/// Scores that are in 0..=[`MAX_SCORE`] already.
fn as_is(_: &Cycle<'_>, _: &[&NodeInfo], _: &mut [i64]) {}

/// The largest score becomes [`MAX_SCORE`], the others in proportion.
fn largest_is_best(_: &Cycle<'_>, _: &[&NodeInfo], scores: &mut [i64]) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    if largest > 0 {
        scores.iter_mut().for_each(|score| *score = *score * MAX_SCORE / largest);
    }
}

/// The largest score becomes 0, none becomes [`MAX_SCORE`].
fn smallest_is_best(_: &Cycle<'_>, _: &[&NodeInfo], scores: &mut [i64]) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = if largest == 0 { MAX_SCORE } else { MAX_SCORE - *score * MAX_SCORE / largest };
    }
}
