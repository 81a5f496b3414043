//! What the controllers are started with.

use std::time::Duration;

use crate::Identities;

/// The controllers' settings; defaults are upstream's.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which controllers run: `*` for all, `name` for one, `-name` for all but one (`--controllers`).
    pub controllers: Vec<String>,
    /// The certificates that pods trust the API server by, as PEM; empty publishes none.
    pub root_ca: String,
    /// The ranges that pods' addresses are taken from, at most one a family; empty gives nodes no ranges.
    pub cluster_cidrs: Vec<String>,
    /// The size of a node's IPv4 range.
    pub node_cidr_mask_ipv4: u8,
    /// The size of a node's IPv6 range.
    pub node_cidr_mask_ipv6: u8,
    /// A node that shows no life for so long is unknown.
    pub node_monitor_grace_period: Duration,
    /// A new node has so long to show life.
    pub node_startup_grace_period: Duration,
    /// So many ended pods may stay; the oldest beyond go.
    pub terminated_pod_gc_threshold: usize,
    /// As whom each controller acts; none: all as the client that they are started with.
    pub identities: Option<Identities>,
    /// Who this instance is when several elect a leader; none to lead without asking.
    pub leader_identity: Option<String>,
    /// Is told how the election goes.
    pub watchdog: client::leader::Watchdog,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            controllers: vec!["*".to_owned()],
            root_ca: String::new(),
            cluster_cidrs: Vec::new(),
            node_cidr_mask_ipv4: 24,
            node_cidr_mask_ipv6: 64,
            node_monitor_grace_period: Duration::from_secs(50),
            node_startup_grace_period: Duration::from_secs(60),
            terminated_pod_gc_threshold: 12_500,
            identities: None,
            leader_identity: None,
            watchdog: client::leader::Watchdog::default(),
        }
    }
}

impl Options {
    /// Whether the controller `name` is to run.
    #[must_use]
    pub fn runs(&self, name: &str) -> bool {
        let (mut all, mut named) = (false, None);
        for entry in &self.controllers {
            match entry.strip_prefix('-') {
                Some(excluded) if excluded == name => named = named.or(Some(false)),
                None if entry == name => named = named.or(Some(true)),
                _ => all |= entry == "*",
            }
        }
        named.unwrap_or(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_chosen_by_name() {
        for (list, name, runs) in [
            (vec!["*"], "a", true),
            (vec!["*", "-a"], "a", false),
            (vec!["*", "-a"], "b", true),
            (vec!["a"], "a", true),
            (vec!["a"], "b", false),
            (vec!["-a", "*"], "a", false),
        ] {
            let options = Options { controllers: list.iter().map(ToString::to_string).collect(), ..Options::default() };
            assert_eq!(options.runs(name), runs, "{list:?} {name}");
        }
    }
}
