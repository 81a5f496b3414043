//! Which endpoints of a Service take traffic on this node.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1 as discovery;

use crate::ruleset::{Family, Protocol};

/// An endpoint of one port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// It takes new traffic.
    pub ready: bool,
    /// It can take traffic, though it may be going away.
    pub serving: bool,
    /// It is going away.
    pub terminating: bool,
    /// It runs on this node.
    pub local: bool,
    /// The zones that should use it; empty: no hint.
    pub zones: Vec<String>,
    /// The nodes that should use it; empty: no hint.
    pub nodes: Vec<String>,
}

/// Who asks: this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The node's name.
    pub node: String,
    /// The node's zone, if its labels tell.
    pub zone: Option<String>,
}

/// The endpoints of the port `name` over `protocol` in `slices`, each once, in order of address.
pub(crate) fn of_port(
    slices: &[&discovery::EndpointSlice],
    family: Family,
    name: &str,
    protocol: Protocol,
    place: &Place,
) -> Vec<Endpoint> {
    let mut found: Vec<Endpoint> = slices
        .iter()
        .filter(|slice| slice.address_type == if family == Family::V4 { "IPv4" } else { "IPv6" })
        .filter_map(|slice| Some((*slice, port_of(slice, name, protocol)?)))
        .flat_map(|(slice, port)| {
            let endpoints = slice.endpoints.as_deref().unwrap_or_default().iter();
            endpoints.filter_map(move |endpoint| read(endpoint, port, family, place))
        })
        .collect();
    // An endpoint that moves between slices stands in both for a moment: the better state counts.
    found.sort_by(|a, b| a.address.cmp(&b.address).then(b.ready.cmp(&a.ready)).then(b.serving.cmp(&a.serving)));
    found.dedup_by(|a, b| a.address == b.address);
    found
}

fn port_of(slice: &discovery::EndpointSlice, name: &str, protocol: Protocol) -> Option<u16> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let port = ports.iter().find(|port| {
        port.name.as_deref().unwrap_or_default() == name && Protocol::parse(port.protocol.as_deref()) == Some(protocol)
    })?;
    u16::try_from(port.port?).ok().filter(|port| *port != 0)
}

fn read(endpoint: &discovery::Endpoint, port: u16, family: Family, place: &Place) -> Option<Endpoint> {
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    if Family::of(address) != family {
        return None;
    }
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let hints = endpoint.hints.as_ref();
    Some(Endpoint {
        address: SocketAddr::new(address, port),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        local: endpoint.node_name.as_deref().is_some_and(|node| node == place.node),
        zones: hints
            .and_then(|hints| hints.for_zones.as_ref())
            .map(|zones| zones.iter().map(|zone| zone.name.clone()).collect())
            .unwrap_or_default(),
        nodes: hints
            .and_then(|hints| hints.for_nodes.as_ref())
            .map(|nodes| nodes.iter().map(|node| node.name.clone()).collect())
            .unwrap_or_default(),
    })
}

/// What takes traffic under the policy `Cluster`: the ready endpoints that the hints name, or all ready ones; without a
/// ready one those that still serve while they go away (KEP-1669).
#[must_use]
pub fn cluster(endpoints: &[Endpoint], place: &Place) -> Vec<SocketAddr> {
    let ready: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.ready).collect();
    if ready.is_empty() {
        return serving_terminating(endpoints.iter());
    }
    addresses(hinted(&ready, place).unwrap_or(ready))
}

/// What takes traffic under the policy `Local`: this node's ready endpoints, or its serving and terminating ones.
#[must_use]
pub fn local(endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    let ready: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.local && endpoint.ready).collect();
    if ready.is_empty() {
        serving_terminating(endpoints.iter().filter(|endpoint| endpoint.local))
    } else {
        addresses(ready)
    }
}

fn serving_terminating<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Vec<SocketAddr> {
    addresses(endpoints.filter(|endpoint| endpoint.serving && endpoint.terminating).collect())
}

/// The endpoints that hints name for this node, else for its zone; none when a hint is missing or nothing matches
/// (KEP-2433: hints count only when they are complete).
fn hinted<'a>(ready: &[&'a Endpoint], place: &Place) -> Option<Vec<&'a Endpoint>> {
    let pick = |has: &dyn Fn(&Endpoint) -> bool, here: &dyn Fn(&Endpoint) -> bool| {
        let complete = ready.iter().all(|endpoint| has(endpoint));
        let chosen: Vec<&Endpoint> = ready.iter().copied().filter(|endpoint| here(endpoint)).collect();
        (complete && !chosen.is_empty()).then_some(chosen)
    };
    pick(&|e| !e.nodes.is_empty(), &|e| e.nodes.contains(&place.node)).or_else(|| {
        let zone = place.zone.as_ref()?;
        pick(&|e| !e.zones.is_empty(), &|e| e.zones.contains(zone))
    })
}

fn addresses(endpoints: Vec<&Endpoint>) -> Vec<SocketAddr> {
    endpoints.into_iter().map(|endpoint| endpoint.address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `10.0.0.1 ready`, `10.0.0.2 terminating serving local zone=a`
    fn parse(line: &str) -> Endpoint {
        let words: Vec<&str> = line.split(' ').collect();
        let has = |word: &str| words.contains(&word);
        let value = |name: &str| {
            words.iter().filter_map(|word| word.strip_prefix(name)).map(str::to_owned).collect::<Vec<String>>()
        };
        Endpoint {
            address: SocketAddr::new(words[0].parse().unwrap(), 80),
            ready: has("ready"),
            serving: has("ready") || has("serving"),
            terminating: has("terminating"),
            local: has("local"),
            zones: value("zone="),
            nodes: value("node="),
        }
    }

    #[test]
    fn who_takes_traffic() {
        let place = Place { node: "n1".into(), zone: Some("a".into()) };
        for (endpoints, in_cluster, on_node) in [
            ("10.0.0.1 ready|10.0.0.2 ready local", "10.0.0.1 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1 ready|10.0.0.2 serving terminating", "10.0.0.1", ""),
            ("10.0.0.1|10.0.0.2 serving terminating local", "10.0.0.2", "10.0.0.2"),
            ("10.0.0.1 ready|10.0.0.2 serving terminating local", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.1 terminating local", "", ""),
            ("10.0.0.1 ready zone=a|10.0.0.2 ready zone=b", "10.0.0.1", ""),
            ("10.0.0.1 ready zone=a|10.0.0.2 ready", "10.0.0.1 10.0.0.2", ""),
            ("10.0.0.1 ready zone=b|10.0.0.2 ready zone=b", "10.0.0.1 10.0.0.2", ""),
            ("10.0.0.1 ready zone=a node=n2|10.0.0.2 ready zone=a node=n1", "10.0.0.2", ""),
            ("10.0.0.1 ready zone=a node=n2|10.0.0.2 ready zone=b node=n3", "10.0.0.1", ""),
        ] {
            let endpoints: Vec<Endpoint> = endpoints.split('|').map(parse).collect();
            let text = |addresses: Vec<SocketAddr>| {
                addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(
                (text(cluster(&endpoints, &place)), text(local(&endpoints))),
                (in_cluster.into(), on_node.into())
            );
        }
    }
}
