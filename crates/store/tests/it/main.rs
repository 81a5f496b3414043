//! The store's promises, kept by both engines, through crashes and failing disks.

mod crash;
mod disk;
mod engines;
mod faults;
mod ledger;
mod model;
mod promises;
