//! Which node a pod runs on: queue, snapshot, cycle, one file a plugin.

pub mod config;
pub mod cycle;
pub mod plugins;
pub mod resources;
pub mod snapshot;
#[cfg(test)]
mod testing;
