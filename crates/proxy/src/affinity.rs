//! `sessionAffinity: ClientIP`: a client stays with its endpoint until it was quiet for the timeout.
//!
//! Such a port has a chain of its own, and each of its endpoints a chain and a set of the clients it has; the kernel
//! fills the sets and forgets.

use std::fmt::Write;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::ServiceSpec;

use crate::ruleset::{Chain, Family, Protocol, Structure};

/// What the API server fills in when a Service does not say (three hours).
const DEFAULT_TIMEOUT_SECONDS: i32 = 10_800;

/// The kernel takes names of up to 127 bytes.
const MAX_NAME_BYTES: usize = 127;

/// The timeout, if the Service asks for affinity.
pub(crate) fn timeout_seconds(spec: &ServiceSpec) -> Option<i32> {
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| config.unwrap_or(DEFAULT_TIMEOUT_SECONDS))
}

/// One port with affinity.
pub(crate) struct Affinity<'a> {
    pub family: Family,
    pub service: &'a str,
    /// `local-` for the chain that spreads over this node's endpoints only.
    pub scope: &'a str,
    pub protocol: Protocol,
    pub port: &'a str,
    pub timeout_seconds: i32,
}

impl Affinity<'_> {
    /// Adds the port's chains and sets; gives the chain to enter.
    pub(crate) fn add(&self, endpoints: &[SocketAddr], structure: &mut Structure) -> String {
        let ip = self.family.word();
        let id = format!("{}/{}/{}", self.service, self.protocol.word(), self.port);
        let mut stay = Vec::with_capacity(endpoints.len());
        let mut choices = String::new();
        for (slot, endpoint) in endpoints.iter().enumerate() {
            let at = format!("{id}/{}/{}", endpoint.ip().to_string().replace(':', "."), endpoint.port());
            let (chain, set) = (name("endpoint", &at), name(&format!("affinity-{}s", self.timeout_seconds), &at));
            stay.push(format!("{ip} saddr @{set} goto {chain}"));
            let separator = if slot == 0 { "" } else { ", " };
            let _ = write!(choices, "{separator}{slot} : goto {chain}");
            let rules = vec![
                format!("update @{set} {{ {ip} saddr }}"),
                format!("meta l4proto {} dnat to {endpoint}", self.protocol.word()),
            ];
            structure.chains.insert((self.family, chain), Chain { hook: String::new(), rules });
            structure.sets.insert((self.family, set), self.declaration());
        }
        stay.push(format!("numgen random mod {} vmap {{ {choices} }}", endpoints.len()));
        let entry = name(&format!("{}sticky", self.scope), &id);
        structure.chains.insert((self.family, entry.clone()), Chain { hook: String::new(), rules: stay });
        entry
    }

    fn declaration(&self) -> String {
        let address = if self.family == Family::V4 { "ipv4_addr" } else { "ipv6_addr" };
        format!("type {address}; flags dynamic,timeout; timeout {}s;", self.timeout_seconds)
    }
}

/// A name for the kernel: readable as far as it fits, and told apart by a hash.
fn name(prefix: &str, id: &str) -> String {
    let mut name = format!("{prefix}-{:016x}-{id}", fnv1a(id.as_bytes()));
    name.truncate(MAX_NAME_BYTES);
    name
}

/// FNV-1a: stable over versions and machines, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "n".repeat(63) + "/" + &"s".repeat(63);
        let (one, two) = (name("endpoint", &(long.clone() + "/tcp/a")), name("endpoint", &(long + "/tcp/b")));
        assert_eq!((one.len(), one == two), (127, false));
    }
}
