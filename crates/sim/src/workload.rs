//! What the cluster is asked to do while things go wrong: one file a workload.

mod job_storm;
mod node_loss;
mod rolling_update;

use std::time::Duration;

use futures::future::BoxFuture;

use crate::checker::Checker;
use crate::cluster::Cluster;
use crate::faults::Rates;

/// A workload.
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// How many nodes it runs on.
    pub nodes: usize,
    /// What must be true all the time, when this goes wrong.
    pub checkers: fn(Rates) -> Vec<Box<dyn Checker>>,
    /// Does it; what was asked for last is what the cluster has to come to.
    pub run: for<'a> fn(&'a mut Cluster) -> BoxFuture<'a, Result<(), String>>,
}

/// All workloads.
pub const ALL: &[Workload] = &[rolling_update::WORKLOAD, job_storm::WORKLOAD, node_loss::WORKLOAD];

/// Some seconds, drawn from the seed.
fn pause(cluster: &Cluster, limit_seconds: usize) -> Duration {
    Duration::from_secs(1 + cluster.house.random.below(limit_seconds) as u64)
}
