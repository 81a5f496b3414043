//! Pod networking: CNI configuration and its plugins, routes between nodes, host ports.
//!
//! Pods hang on links of their own (`ptp`), so every packet between them is routed and seen by the proxy's rules; why
//! not a bridge: docs/decisions/0003-pod-network.md. Invariant: what decides ([`plan`]) is pure; what acts
//! ([`Host`]) makes the host equal to a [`Desired`].

mod cni;
mod desired;
mod host;
mod options;
mod remove;
mod run;
mod tables;

pub use cni::{CNI_CONFIG_FILE, conflist, find_plugins};
pub use desired::{Desired, HostPort, Peer, Route, View, plan};
pub use host::{Host, NetworkError};
pub use options::Options;
pub use remove::remove;
pub use run::run;
pub use tables::TABLE;
