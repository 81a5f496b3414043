//! `rules`: from Services to the ruleset. Pure.
//!
//! One lookup finds the chain for an address and port, named after how many endpoints there are; that chain draws a
//! slot and one more lookup finds the slot's endpoint. So Services of the same size share a chain, and an endpoint that
//! comes or goes is a handful of map elements (docs/decisions/0004-service-maps.md).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::affinity::{self, Affinity};
use crate::base_rules::base;
use crate::endpoints::{cluster, local, of_port};
use crate::ruleset::{Change, Element, Family, Field, Key, Map, Part, Protocol, Ruleset, Target};
use crate::services::{Claim, Port, Services, cluster_ips, external_ips, load_balancer_ips, ports};

/// The chain that rejects.
pub(crate) const REJECT: &str = "reject-traffic";
/// The chain that marks for masquerade.
pub(crate) const MARK: &str = "mark-for-masquerade";
/// The chain of addresses under `externalTrafficPolicy: Local`.
pub(crate) const EXTERNAL_LOCAL: &str = "external-local";
/// The chain of node ports under `externalTrafficPolicy: Local`.
pub(crate) const NODEPORT_LOCAL: &str = "nodeport-local";

/// The rules for all Services.
#[must_use]
pub fn rules(services: &Services) -> Ruleset {
    let parts = services.names().map(|name| (name.clone(), Arc::new(part(services, name)))).collect();
    Ruleset {
        families: services.setting.families.clone(),
        base: Arc::new(base(&services.setting, &parts)),
        services: parts,
    }
}

/// What becomes of `old` when the Services in `changed` are made anew; committed, it equals [`rules`] when `changed` names
/// all that changed.
#[must_use]
pub fn refresh(services: &Services, old: &Ruleset, changed: &BTreeSet<Arc<str>>) -> Change {
    let mut change = Change { base: old.base.clone(), services: BTreeMap::new() };
    let mut base_changed = false;
    for name in changed {
        let new = services.entry(name).filter(|entry| entry.service.is_some()).map(|_| Arc::new(part(services, name)));
        base_changed |= old.services.get(name).map(|part| base_needs(part)) != new.as_deref().map(base_needs);
        change.services.insert(name.clone(), new);
    }
    if base_changed {
        let mut next = old.clone();
        next.commit(change.clone());
        change.base = Arc::new(base(&services.setting, &next.services));
    }
    change
}

fn base_needs(part: &Part) -> (&BTreeSet<u32>, &BTreeSet<IpAddr>) {
    (&part.fanouts, &part.local_endpoints)
}

/// The rules of one Service.
fn part(services: &Services, name: &str) -> Part {
    let Some((entry, service, spec)) = services.entry(name).and_then(|entry| {
        let service = entry.service.as_deref()?;
        Some((entry, service, service.spec.as_ref()?))
    }) else {
        return Part::default();
    };
    let slices: Vec<&EndpointSlice> = entry.slices.values().map(|slice| &**slice).collect();
    let mut builder = Builder { services, name, service, spec, part: Part::default() };
    for cluster_ip in cluster_ips(spec) {
        let family = Family::of(cluster_ip);
        if services.setting.families.contains(&family) {
            builder.cluster_ip(family, cluster_ip, &slices);
        }
    }
    builder.part
}

struct Builder<'a> {
    services: &'a Services,
    name: &'a str,
    service: &'a Service,
    spec: &'a ServiceSpec,
    part: Part,
}

/// The endpoints of one port: what each policy may use.
struct Backends {
    cluster: Vec<SocketAddr>,
    local: Vec<SocketAddr>,
}

/// Where a lookup starts: an address and port, or a node port.
struct Door {
    key: Key,
    chains: Map,
    endpoints: Map,
    none: Map,
}

impl Builder<'_> {
    fn cluster_ip(&mut self, family: Family, address: IpAddr, slices: &[&EndpointSlice]) {
        self.push(family, Map::ClusterIps, Key::new(&[Field::Address(address)]), Target::Member);
        for port in ports(self.spec) {
            let place = &self.services.setting.place;
            let endpoints = of_port(slices, family, port.name, port.protocol, place);
            let backends = Backends { cluster: cluster(&endpoints, place), local: local(&endpoints) };
            let here = endpoints.iter().filter(|endpoint| endpoint.local);
            self.part.local_endpoints.extend(here.map(|endpoint| endpoint.address.ip()));
            self.inside(family, address, port, &backends);
            self.outside(family, port, &backends);
        }
    }

    /// Traffic to the cluster IP, under `internalTrafficPolicy`.
    fn inside(&mut self, family: Family, address: IpAddr, port: Port<'_>, backends: &Backends) {
        let door = address_door(address, port);
        if self.spec.internal_traffic_policy.as_deref() != Some("Local") {
            return self.spread(family, &door, port, &backends.cluster, "");
        }
        if backends.local.is_empty() && !backends.cluster.is_empty() {
            return self.push(family, door.none, door.key, Target::Drop);
        }
        self.spread(family, &door, port, &backends.local, "");
    }

    /// Traffic to external IPs, load balancers and the node port, under `externalTrafficPolicy`.
    fn outside(&mut self, family: Family, port: Port<'_>, backends: &Backends) {
        let ips: Vec<IpAddr> = external_ips(self.service).into_iter().filter(|ip| Family::of(*ip) == family).collect();
        for ip in ips {
            let claim = Claim { address: Some(ip), protocol: port.protocol, port: port.port };
            if !self.services.owns(self.name, claim) {
                continue;
            }
            let local =
                Door { chains: Map::LocalServiceIps, endpoints: Map::LocalServiceEndpoints, ..address_door(ip, port) };
            self.external(
                family,
                (&address_door(ip, port), &local),
                (Map::ExternalIps, EXTERNAL_LOCAL),
                port,
                backends,
            );
            self.firewall(family, ip, port);
        }
        let Some(node_port) = port.node_port else { return };
        if !self.services.owns(self.name, Claim { address: None, protocol: port.protocol, port: node_port }) {
            return;
        }
        let door = |chains, endpoints| Door {
            key: Key::new(&[Field::Protocol(port.protocol), Field::Port(node_port)]),
            chains,
            endpoints,
            none: Map::NoEndpointNodeports,
        };
        let all = door(Map::ServiceNodeports, Map::NodeportEndpoints);
        let local = door(Map::LocalNodeports, Map::LocalNodeportEndpoints);
        self.external(family, (&all, &local), (Map::ExternalNodeports, NODEPORT_LOCAL), port, backends);
    }

    fn external(
        &mut self,
        family: Family,
        (all, local): (&Door, &Door),
        (policy, local_chain): (Map, &'static str),
        port: Port<'_>,
        backends: &Backends,
    ) {
        if backends.cluster.is_empty() && backends.local.is_empty() {
            return self.push(family, all.none, all.key, Target::Goto(REJECT.into()));
        }
        if self.spec.external_traffic_policy.as_deref() != Some("Local") {
            self.push(family, policy, all.key, Target::Jump(MARK.into()));
            return self.spread(family, all, port, &backends.cluster, "");
        }
        self.push(family, policy, all.key, Target::Jump(local_chain.into()));
        if backends.local.is_empty() {
            self.push(family, local.chains, local.key, Target::Drop);
        } else {
            self.spread(family, local, port, &backends.local, "local-");
        }
        self.spread(family, all, port, &backends.cluster, "");
    }

    /// Sends a door's traffic to `endpoints`, evenly.
    fn spread(&mut self, family: Family, door: &Door, port: Port<'_>, endpoints: &[SocketAddr], scope: &str) {
        let Ok(count) = u32::try_from(endpoints.len()) else { return };
        if count == 0 {
            return self.push(family, door.none, door.key, Target::Goto(REJECT.into()));
        }
        if let Some(timeout_seconds) = affinity::timeout_seconds(self.spec) {
            let sticky = Affinity {
                family,
                service: self.name,
                scope,
                protocol: port.protocol,
                port: port.name,
                timeout_seconds,
            };
            let chain = sticky.add(endpoints, &mut self.part.structure);
            return self.push(family, door.chains, door.key, Target::Goto(chain.into()));
        }
        self.part.fanouts.insert(count);
        self.push(family, door.chains, door.key, Target::Goto(pick_chain(door.endpoints, count).into()));
        for (slot, endpoint) in (0..count).zip(endpoints) {
            self.push(family, door.endpoints, door.key.with(Field::Slot(slot)), Target::Endpoint(*endpoint));
        }
    }

    /// `loadBalancerSourceRanges`: who may come in through a load balancer's address.
    fn firewall(&mut self, family: Family, ip: IpAddr, port: Port<'_>) {
        let ranges = self.spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
        if ranges.is_empty() || !load_balancer_ips(self.service).any(|balanced| balanced == ip) {
            return;
        }
        let door = address_door(ip, port);
        self.push(family, Map::FirewallIps, door.key, Target::Member);
        let ranges: BTreeSet<ipnet::IpNet> = ranges.iter().filter_map(|range| range.trim().parse().ok()).collect();
        let ranges = ipnet::IpNet::aggregate(&ranges.into_iter().map(|range| range.trunc()).collect());
        for range in ranges.into_iter().filter(|range| Family::of(range.addr()) == family) {
            self.push(family, Map::FirewallAllowed, door.key.with(Field::Range(range)), Target::Member);
        }
    }

    fn push(&mut self, family: Family, map: Map, key: Key, target: Target) {
        self.part.elements.push(Element { family, map, key, target });
    }
}

/// The chain that draws one of `count` slots of a map.
pub(crate) fn pick_chain(endpoints: Map, count: u32) -> String {
    format!("{}-{count}", endpoints.name())
}

fn address_door(address: IpAddr, port: Port<'_>) -> Door {
    Door {
        key: frontend(address, port.protocol, port.port),
        chains: Map::ServiceIps,
        endpoints: Map::ServiceEndpoints,
        none: Map::NoEndpointServices,
    }
}

fn frontend(address: IpAddr, protocol: Protocol, port: u16) -> Key {
    Key::new(&[Field::Address(address), Field::Protocol(protocol), Field::Port(port)])
}
