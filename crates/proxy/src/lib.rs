//! Services and EndpointSlices to nftables: rules(services) -> ruleset, diff, apply.
//!
//! Invariant: what decides ([`rules`], [`refresh`], [`diff`]) is pure; what acts ([`apply`]) carries out one transaction at a time.

mod affinity;
mod base_rules;
mod batch;
mod conntrack;
mod diff;
mod endpoints;
mod health;
mod kernel;
mod metrics;
mod netlink;
mod options;
mod rules;
mod ruleset;
mod run;
mod services;

pub use conntrack::{Doors, Flow};
pub use diff::{Transaction, diff, load};
pub use endpoints::{Endpoint, Place, cluster, local};
pub use kernel::{KernelError, apply, cleanup, forget_connections};
pub use metrics::Metrics;
pub use options::{DEFAULT_MASQUERADE_BIT, Options};
pub use rules::{refresh, rules};
pub use ruleset::{
    Chain, Change, Element, Family, Field, Key, MAPS, Map, Part, Protocol, Ruleset, Structure, TABLE, Target,
};
pub use run::{ProxyError, run};
pub use services::{Services, Setting};
