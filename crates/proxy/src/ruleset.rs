//! What the kernel shall hold, as plain data: chains, maps and their elements.
//!
//! Invariant: what belongs to one Service stands in its own [`Part`]; an element key belongs to one part at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

/// The nftables table, one for each family.
pub const TABLE: &str = "coxswain-proxy";

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// nft's word for the family, in tables and in expressions.
    #[must_use]
    pub fn word(self) -> &'static str {
        if self == Self::V4 { "ip" } else { "ip6" }
    }
}

/// A transport protocol that Services know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Reads the API's word; absent means TCP.
    #[must_use]
    pub fn parse(word: Option<&str>) -> Option<Self> {
        match word.unwrap_or("TCP") {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    /// IANA's number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// nft's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A map or set that all Services share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Map {
    /// All cluster IPs: what is not a known port of theirs is rejected, what comes from off-cluster is masqueraded.
    ClusterIps,
    /// External and load-balancer addresses, and how their traffic policy treats a source.
    ExternalIps,
    /// Address and port of a Service → the chain that picks an endpoint.
    ServiceIps,
    /// Address and port of a Service, and a slot → an endpoint.
    ServiceEndpoints,
    /// As `ServiceIps`, for outside sources under `externalTrafficPolicy: Local`.
    LocalServiceIps,
    /// As `ServiceEndpoints`, for outside sources under `externalTrafficPolicy: Local`.
    LocalServiceEndpoints,
    /// Node ports, and how their traffic policy treats a source.
    ExternalNodeports,
    /// Node port → the chain that picks an endpoint.
    ServiceNodeports,
    /// Node port and a slot → an endpoint.
    NodeportEndpoints,
    /// As `ServiceNodeports`, for outside sources under `externalTrafficPolicy: Local`.
    LocalNodeports,
    /// As `NodeportEndpoints`, for outside sources under `externalTrafficPolicy: Local`.
    LocalNodeportEndpoints,
    /// Addresses and ports of Services without endpoints → reject or drop.
    NoEndpointServices,
    /// Node ports of Services without endpoints → reject or drop.
    NoEndpointNodeports,
    /// Addresses and ports that only `loadBalancerSourceRanges` may reach.
    FirewallIps,
    /// Which sources may reach them.
    FirewallAllowed,
    /// Pairs of a local endpoint with itself: such connections need masquerade, or the answer would not come back.
    HairpinConnections,
    /// Local addresses at which node ports answer.
    NodeportIps,
}

/// Every shared map, in the order of declaration.
pub const MAPS: [Map; 17] = [
    Map::ClusterIps,
    Map::ExternalIps,
    Map::ServiceIps,
    Map::ServiceEndpoints,
    Map::LocalServiceIps,
    Map::LocalServiceEndpoints,
    Map::ExternalNodeports,
    Map::ServiceNodeports,
    Map::NodeportEndpoints,
    Map::LocalNodeports,
    Map::LocalNodeportEndpoints,
    Map::NoEndpointServices,
    Map::NoEndpointNodeports,
    Map::FirewallIps,
    Map::FirewallAllowed,
    Map::HairpinConnections,
    Map::NodeportIps,
];

impl Map {
    /// The name in the kernel.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterIps => "cluster-ips",
            Self::ExternalIps => "external-ips",
            Self::ServiceIps => "service-ips",
            Self::ServiceEndpoints => "service-endpoints",
            Self::LocalServiceIps => "local-service-ips",
            Self::LocalServiceEndpoints => "local-service-endpoints",
            Self::ExternalNodeports => "external-nodeports",
            Self::ServiceNodeports => "service-nodeports",
            Self::NodeportEndpoints => "nodeport-endpoints",
            Self::LocalNodeports => "local-nodeports",
            Self::LocalNodeportEndpoints => "local-nodeport-endpoints",
            Self::NoEndpointServices => "no-endpoint-services",
            Self::NoEndpointNodeports => "no-endpoint-nodeports",
            Self::FirewallIps => "firewall-ips",
            Self::FirewallAllowed => "firewall-allowed",
            Self::HairpinConnections => "hairpin-connections",
            Self::NodeportIps => "nodeport-ips",
        }
    }

    /// Whether keys may be ranges.
    #[must_use]
    pub fn has_ranges(self) -> bool {
        matches!(self, Self::FirewallAllowed | Self::NodeportIps)
    }

    /// `map` or `set`, and the declaration's body.
    pub(crate) fn declaration(self, family: Family) -> (&'static str, String) {
        let ip = family.word();
        let address = if family == Family::V4 { "ipv4_addr" } else { "ipv6_addr" };
        // The slot's type is a number of 32 bits; `numgen` is how nft lets one say so.
        let slot = "numgen random mod 2";
        let frontend = format!("{ip} daddr . meta l4proto . th dport");
        let endpoint = format!("{ip} daddr . th dport");
        let map = |body: String| ("map", body);
        match self {
            Self::ServiceEndpoints | Self::LocalServiceEndpoints => {
                map(format!("typeof {frontend} . {slot} : {endpoint};"))
            }
            Self::NodeportEndpoints | Self::LocalNodeportEndpoints => {
                map(format!("typeof meta l4proto . th dport . {slot} : {endpoint};"))
            }
            Self::ExternalIps | Self::ServiceIps | Self::LocalServiceIps | Self::NoEndpointServices => {
                map(format!("type {address} . inet_proto . inet_service : verdict;"))
            }
            Self::ExternalNodeports | Self::ServiceNodeports | Self::LocalNodeports | Self::NoEndpointNodeports => {
                map("type inet_proto . inet_service : verdict;".to_owned())
            }
            Self::FirewallIps => ("set", format!("type {address} . inet_proto . inet_service;")),
            Self::FirewallAllowed => {
                ("set", format!("type {address} . inet_proto . inet_service . {address}; flags interval;"))
            }
            Self::ClusterIps => ("set", format!("type {address};")),
            Self::HairpinConnections => ("set", format!("type {address} . {address};")),
            Self::NodeportIps => ("set", format!("type {address}; flags interval;")),
        }
    }
}

/// A field of an element's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// An address.
    Address(IpAddr),
    /// A range of addresses.
    Range(IpNet),
    /// A transport protocol.
    Protocol(Protocol),
    /// A transport port.
    Port(u16),
    /// Which of a Service's endpoints.
    Slot(u32),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            // A range that is one address is written as that address: nft refuses 0-bit host parts in concatenations.
            Self::Range(range) if range.prefix_len() == range.max_prefix_len() => range.addr().fmt(f),
            Self::Range(range) => range.fmt(f),
            Self::Protocol(protocol) => f.write_str(protocol.word()),
            Self::Port(port) => port.fmt(f),
            Self::Slot(slot) => slot.fmt(f),
        }
    }
}

/// An element's key: at most four fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    fields: [Option<Field>; 4],
}

impl Key {
    /// A key of these fields.
    ///
    /// # Panics
    /// When there are more than four: no map here has such a key.
    #[must_use]
    pub fn new(fields: &[Field]) -> Self {
        assert!(fields.len() <= 4, "no map has keys of more than four fields");
        let mut key = Self { fields: [None; 4] };
        for (place, field) in key.fields.iter_mut().zip(fields) {
            *place = Some(*field);
        }
        key
    }

    /// The fields in order.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.fields.into_iter().flatten()
    }

    /// This key with one more field.
    #[must_use]
    pub fn with(self, field: Field) -> Self {
        let mut fields: Vec<Field> = self.fields().collect();
        fields.push(field);
        Self::new(&fields)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, field) in self.fields().enumerate() {
            if at > 0 {
                f.write_str(" . ")?;
            }
            field.fmt(f)?;
        }
        Ok(())
    }
}

/// What a map gives for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing: the key is in a set.
    Member,
    /// An endpoint's address and port.
    Endpoint(SocketAddr),
    /// Go on in this chain and do not come back.
    Goto(Arc<str>),
    /// Go through this chain and come back.
    Jump(Arc<str>),
    /// Drop the packet.
    Drop,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member => Ok(()),
            Self::Endpoint(endpoint) => write!(f, " : {} . {}", endpoint.ip(), endpoint.port()),
            Self::Goto(chain) => write!(f, " : goto {chain}"),
            Self::Jump(chain) => write!(f, " : jump {chain}"),
            Self::Drop => f.write_str(" : drop"),
        }
    }
}

/// An element with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The table's family.
    pub family: Family,
    /// The map or set.
    pub map: Map,
    /// The key.
    pub key: Key,
    /// What it leads to.
    pub target: Target,
}

/// A chain: how it hooks into the kernel, if it does, and its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// `type … hook … priority …;`, or nothing.
    pub hook: String,
    /// The rules, one text each.
    pub rules: Vec<String>,
}

/// Chains and sets that only some Services need, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structure {
    /// Chains by family and name.
    pub chains: BTreeMap<(Family, String), Chain>,
    /// Declarations of sets by family and name.
    pub sets: BTreeMap<(Family, String), String>,
}

/// What one Service adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Elements of the shared maps.
    pub elements: Vec<Element>,
    /// Its own chains and sets (session affinity).
    pub structure: Structure,
    /// Over how many endpoints its ports spread.
    pub fanouts: BTreeSet<u32>,
    /// Endpoints on this node: they may call themselves.
    pub local_endpoints: BTreeSet<IpAddr>,
}

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Families with a table.
    pub families: Vec<Family>,
    /// What does not depend on single Services.
    pub base: Arc<Part>,
    /// What each Service adds, by `namespace/name`.
    pub services: BTreeMap<Arc<str>, Arc<Part>>,
}

/// The way from one ruleset to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The base that will stand.
    pub base: Arc<Part>,
    /// What each changed Service will add; none: it is gone.
    pub services: BTreeMap<Arc<str>, Option<Arc<Part>>>,
}

impl Ruleset {
    /// Takes the change in.
    pub fn commit(&mut self, change: Change) {
        self.base = change.base;
        for (name, part) in change.services {
            match part {
                Some(part) => drop(self.services.insert(name, part)),
                None => drop(self.services.remove(&name)),
            }
        }
    }

    /// Each changed part, before and after.
    pub(crate) fn pairs<'a>(
        &'a self,
        change: &'a Change,
    ) -> impl Iterator<Item = (Option<&'a Part>, Option<&'a Part>)> {
        let services = change.services.iter();
        services.map(|(name, after)| (self.services.get(name).map(|part| &**part), after.as_deref()))
    }
}
