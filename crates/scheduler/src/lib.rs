//! Which node a pod runs on: queue, snapshot, cycle, one file a plugin.

pub mod config;
pub mod cycle;
pub mod plugins;
pub mod queue;
pub mod resources;
mod run;
pub mod snapshot;

pub use run::run;

#[cfg(test)]
mod testing;
