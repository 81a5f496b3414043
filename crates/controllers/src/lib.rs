//! The controllers, one file each: plan(object, view) -> actions.

pub mod cluster_role_aggregation;
pub mod deployment;
mod discovery;
pub mod disruption;
pub mod endpoint_slice;
pub mod endpoints;
pub mod garbage_collector;
mod identities;
pub mod job;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
mod options;
mod owners;
pub mod pod_garbage_collector;
mod pods;
pub mod replica_set;
mod replicas;
pub mod replication_controller;
pub mod resource_quota;
pub mod root_ca_publisher;
mod run;
pub mod service_account;
pub mod service_cidr;
mod services;
#[cfg(test)]
mod table;
pub mod taint_eviction;
pub mod ttl_after_finished;

use client::driver::Controller;
pub use identities::{Identities, service_account};
pub use options::Options;
pub use run::{Error, run};

/// All controllers that plan.
pub const ALL: &[Controller] = &[
    cluster_role_aggregation::CONTROLLER,
    deployment::CONTROLLER,
    disruption::CONTROLLER,
    endpoint_slice::CONTROLLER,
    endpoints::CONTROLLER,
    job::CONTROLLER,
    node_ipam::CONTROLLER,
    node_lifecycle::CONTROLLER,
    pod_garbage_collector::CONTROLLER,
    replica_set::CONTROLLER,
    replication_controller::CONTROLLER,
    root_ca_publisher::CONTROLLER,
    service_account::CONTROLLER,
    service_cidr::CONTROLLER,
    taint_eviction::CONTROLLER,
    ttl_after_finished::CONTROLLER,
];
