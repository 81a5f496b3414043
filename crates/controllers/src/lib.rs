//! The controllers, one file each: plan(object, view) -> actions.

pub mod deployment;
mod owners;
mod pods;
pub mod replica_set;
mod replicas;
#[cfg(test)]
mod table;

use client::driver::Controller;

/// All controllers that plan, by upstream's names.
pub const ALL: &[Controller] = &[deployment::CONTROLLER, replica_set::CONTROLLER];
