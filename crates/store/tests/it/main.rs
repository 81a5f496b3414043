//! The store's promises, kept by all engines, through crashes, failing disks and dying members.
#![allow(clippy::unwrap_used, reason = "everything here is a test, helpers too")]

mod crash;
mod disk;
mod engines;
mod etcd;
mod failover;
mod faults;
mod ledger;
mod members;
mod model;
mod promises;
