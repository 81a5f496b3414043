//! How a scheduler is set: whose pods it places, what it asks and prefers, and how long pods wait.

mod arguments;
mod file;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};

use crate::plugins::{self, DEFAULT_PREEMPTION, Plugin};
use crate::spread::system_defaults;

pub use file::{ConfigError, LeaderElection, duration};

/// How free room turns into a score (`NodeResourcesFitArgs`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// Spread: the emptiest node is best.
    LeastAllocated,
    /// Pack: the fullest node that still has room is best.
    MostAllocated,
    /// A curve of one's own.
    RequestedToCapacityRatio(Vec<Shape>),
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The used share, in per cent.
    pub utilization: i64,
    /// The score there, 0 to 10.
    pub score: i64,
}

/// A scheduler under one name.
#[derive(Clone)]
pub struct Profile {
    /// Pods with this `spec.schedulerName` are placed.
    pub scheduler_name: String,
    /// How many nodes are enough in large clusters, in per cent; 0 goes by the cluster's size.
    pub percentage_of_nodes: usize,
    /// The plugins that forbid, in the order in which they are asked.
    pub filters: Vec<&'static Plugin>,
    /// The plugins that prefer, with their weights.
    pub scores: Vec<(&'static Plugin, i64)>,
    /// Whether less important pods may be taken away.
    pub preempts: bool,
    /// How free room turns into a score.
    pub fit_strategy: Strategy,
    /// Which resources that counts, with weights.
    pub fit_resources: Vec<(String, i64)>,
    /// Extended resources that somebody else looks after.
    pub ignored_resources: BTreeSet<String>,
    /// Groups of such resources.
    pub ignored_resource_groups: BTreeSet<String>,
    /// Between which resources balance is sought.
    pub balanced_resources: Vec<String>,
    /// Node affinity that every pod has beside its own.
    pub added_affinity: Option<NodeAffinity>,
    /// How much a placed pod's required affinity draws those that it means.
    pub hard_pod_affinity_weight: i64,
    /// Whether what placed pods would rather have counts only for pods that have such wishes themselves.
    pub ignore_preferences_of_placed: bool,
    /// The constraints of pods that name none.
    pub spread_defaults: Vec<TopologySpreadConstraint>,
    /// Whether those are the system's.
    pub system_spread_defaults: bool,
    /// Of the nodes where room might be made, so many per cent are looked at…
    pub preemption_percentage: usize,
    /// …but at least so many.
    pub preemption_minimum: usize,
    /// How long the binding of volumes may take.
    pub volume_timeout: Duration,
}

impl Default for Profile {
    fn default() -> Self {
        let both = || vec!["cpu".to_owned(), "memory".to_owned()];
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            percentage_of_nodes: 0,
            filters: plugins::ALL.iter().filter(|plugin| plugin.filters()).collect(),
            scores: plugins::ALL.iter().filter(|p| p.score.is_some()).map(|p| (p, p.weight)).collect(),
            preempts: true,
            fit_strategy: Strategy::LeastAllocated,
            fit_resources: both().into_iter().map(|name| (name, 1)).collect(),
            ignored_resources: BTreeSet::new(),
            ignored_resource_groups: BTreeSet::new(),
            balanced_resources: both(),
            added_affinity: None,
            hard_pod_affinity_weight: 1,
            ignore_preferences_of_placed: false,
            spread_defaults: system_defaults(),
            system_spread_defaults: true,
            preemption_percentage: 10,
            preemption_minimum: 100,
            volume_timeout: Duration::from_secs(600),
        }
    }
}

impl Profile {
    /// Whether a plugin is asked at all, by name.
    #[must_use]
    pub fn asks(&self, name: &str) -> bool {
        self.filters.iter().any(|plugin| plugin.name == name) || name == DEFAULT_PREEMPTION && self.preempts
    }
}

/// All of a scheduler's settings.
#[derive(Clone)]
pub struct Settings {
    /// The schedulers, one a name.
    pub profiles: Vec<Profile>,
    /// The first wait after a failed attempt (`podInitialBackoffSeconds`).
    pub first_backoff: Duration,
    /// No wait after a failed attempt is longer (`podMaxBackoffSeconds`).
    pub longest_backoff: Duration,
    /// A rejected pod is tried again after so long whatever happens (`--pod-max-in-unschedulable-pods-duration`).
    pub longest_rejection: Duration,
    /// Which instance works, of several.
    pub leader_election: LeaderElection,
    /// The kubeconfig that the file names.
    pub kubeconfig: Option<String>,
    /// What the file says that changes nothing here, as sentences for the log.
    pub warnings: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profiles: vec![Profile::default()],
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(10),
            longest_rejection: Duration::from_secs(300),
            leader_election: LeaderElection::default(),
            kubeconfig: None,
            warnings: Vec::new(),
        }
    }
}

impl Settings {
    /// The profile of a pod's `spec.schedulerName`.
    #[must_use]
    pub fn profile(&self, scheduler_name: &str) -> Option<usize> {
        self.profiles.iter().position(|profile| profile.scheduler_name == scheduler_name)
    }

    /// Reads a `KubeSchedulerConfiguration` (kubescheduler.config.k8s.io/v1).
    ///
    /// # Errors
    /// What is wrong with it, or what it asks for that this scheduler does not have.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        file::parse(text)
    }
}

impl From<Profile> for Settings {
    fn from(profile: Profile) -> Self {
        Self { profiles: vec![profile], ..Self::default() }
    }
}
