//! A whole cluster in one test thread, in virtual time: workloads, faults, checkers.
//!
//! The real API server over the in-memory store, the real controllers and the real scheduler; only the nodes are hollow.
//! A seed draws the workload's steps, every delay and every fault, so a failing seed replays exactly.

pub mod checker;
pub mod cluster;
pub mod component;
pub mod faults;
pub mod history;
pub mod mirror;
pub mod node;
mod objects;
pub mod simulation;
pub mod wire;
pub mod workload;
