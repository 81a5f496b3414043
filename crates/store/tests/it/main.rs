//! The store's promises, kept by both engines, through crashes and failing disks.
#![allow(clippy::unwrap_used, reason = "everything here is a test, helpers too")]

mod crash;
mod disk;
mod engines;
mod faults;
mod ledger;
mod model;
mod promises;
