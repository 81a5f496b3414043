//! The batch group, v1.

use crate::Kind;

mod cron;
pub mod cron_job;
pub mod job;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&cron_job::KIND, &job::KIND];
