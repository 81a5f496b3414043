//! Which node a pod runs on: queue, snapshot, cycle, preemption, one file a plugin.

pub mod affinity;
pub mod change;
pub mod config;
pub mod cycle;
pub mod diagnosis;
pub mod health;
pub mod metrics;
pub mod node;
pub mod owners;
pub mod plugins;
pub mod pod;
pub mod preemption;
pub mod queue;
pub mod resources;
mod run;
pub mod selector;

pub mod snapshot;
pub mod spread;
pub mod storage;
pub mod terms;
pub mod topology;

pub use run::{run, run_observed};

#[cfg(test)]
mod testing;
