//! The Services and EndpointSlices of the cluster as this node's proxy sees them, and which Services a change concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::endpoints::Place;
use crate::ruleset::{Family, Protocol};

/// Which Service a slice belongs to.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// A Service or a slice with this label is another proxy's.
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";

/// A slice with this label belongs to a headless Service.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// What the rules depend on besides Services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// This node.
    pub place: Place,
    /// The families to serve.
    pub families: Vec<Family>,
    /// Where pods' addresses come from; empty if unknown.
    pub cluster_cidrs: Vec<IpNet>,
    /// Masquerade all traffic to cluster IPs.
    pub masquerade_all: bool,
    /// The mark that asks for masquerade: one bit.
    pub masquerade_mark: u32,
    /// The local addresses where node ports answer.
    pub nodeport_addresses: Vec<IpNet>,
}

/// An outward address and port, which two Services may both want: the first by name has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// The address, or none for a node port.
    pub address: Option<IpAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub service: Option<Arc<Service>>,
    pub slices: BTreeMap<Arc<str>, Arc<EndpointSlice>>,
}

/// All Services with their slices.
#[derive(Debug, Default)]
pub struct Services {
    pub(crate) setting: Setting,
    entries: BTreeMap<Arc<str>, Entry>,
    claims: BTreeMap<Claim, BTreeSet<Arc<str>>>,
    dirty: BTreeSet<Arc<str>>,
}

impl Services {
    /// No Services yet.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Self { setting, ..Self::default() }
    }

    /// Takes in a Service's latest state, or that it is gone.
    pub fn set_service(&mut self, key: &Arc<str>, service: Option<Arc<Service>>) {
        let service = service.filter(|service| proxied(service));
        let entry = self.entries.entry(key.clone()).or_default();
        let old = std::mem::replace(&mut entry.service, service.clone());
        self.forget_if_empty(key);
        if old.is_none() && service.is_none() {
            return;
        }
        self.dirty.insert(key.clone());
        self.reclaim(key, &claims(old.as_deref()), &claims(service.as_deref()));
    }

    /// Takes in a slice's latest state, or that it is gone; `old` is the state before, which tells whose it was.
    pub fn set_slice(&mut self, key: &Arc<str>, old: Option<&EndpointSlice>, new: Option<Arc<EndpointSlice>>) {
        let owner = new.as_deref().and_then(owner);
        if let Some(before) = old.and_then(self::owner).filter(|before| Some(before) != owner.as_ref()) {
            self.put_slice(before, key, None);
        }
        if let Some(owner) = owner {
            self.put_slice(owner, key, new);
        }
    }

    /// Takes in the node's zone, which topology hints speak of.
    pub fn set_zone(&mut self, zone: Option<String>) {
        if self.setting.place.zone != zone {
            self.setting.place.zone = zone;
            let all: Vec<Arc<str>> = self.names().cloned().collect();
            self.dirty.extend(all);
        }
    }

    /// The Services whose rules may have changed since this was last asked.
    pub fn take_dirty(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.dirty)
    }

    /// The names of all Services.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries.iter().filter(|(_, entry)| entry.service.is_some()).map(|(name, _)| name)
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Whether `name` is the one that has this outward address and port.
    pub(crate) fn owns(&self, name: &str, claim: Claim) -> bool {
        self.claims.get(&claim).and_then(BTreeSet::first).is_some_and(|first| **first == *name)
    }

    fn put_slice(&mut self, owner: Arc<str>, key: &Arc<str>, slice: Option<Arc<EndpointSlice>>) {
        let entry = self.entries.entry(owner.clone()).or_default();
        match slice {
            Some(slice) => drop(entry.slices.insert(key.clone(), slice)),
            None => drop(entry.slices.remove(key)),
        }
        if entry.service.is_some() {
            self.dirty.insert(owner.clone());
        }
        self.forget_if_empty(&owner);
    }

    fn forget_if_empty(&mut self, key: &str) {
        if self.entries.get(key).is_some_and(|entry| entry.service.is_none() && entry.slices.is_empty()) {
            self.entries.remove(key);
        }
    }

    /// Moves claims; whoever else wants the same address may get or lose it.
    fn reclaim(&mut self, key: &Arc<str>, old: &BTreeSet<Claim>, new: &BTreeSet<Claim>) {
        for claim in old.difference(new) {
            let Some(names) = self.claims.get_mut(claim) else { continue };
            names.remove(key);
            self.dirty.extend(names.iter().cloned());
            if names.is_empty() {
                self.claims.remove(claim);
            }
        }
        for claim in new.difference(old) {
            let names = self.claims.entry(*claim).or_default();
            self.dirty.extend(names.iter().cloned());
            names.insert(key.clone());
        }
    }
}

/// The port of a Service, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port<'a> {
    pub name: &'a str,
    pub protocol: Protocol,
    pub port: u16,
    pub node_port: Option<u16>,
}

/// The ports that can be served.
pub(crate) fn ports(spec: &ServiceSpec) -> impl Iterator<Item = Port<'_>> {
    spec.ports.as_deref().unwrap_or_default().iter().filter_map(|port| read_port(spec, port))
}

fn read_port<'a>(spec: &ServiceSpec, port: &'a ServicePort) -> Option<Port<'a>> {
    let outward = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"));
    Some(Port {
        name: port.name.as_deref().unwrap_or_default(),
        protocol: Protocol::parse(port.protocol.as_deref())?,
        port: u16::try_from(port.port).ok()?,
        node_port: port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| outward && *port != 0),
    })
}

/// The addresses of load balancers that send packets to the node as they came (`ipMode: VIP`).
pub(crate) fn load_balancer_ips(service: &Service) -> impl Iterator<Item = IpAddr> + '_ {
    let balanced = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_deref())
        .filter(|_| balanced)
        .unwrap_or_default();
    ingress
        .iter()
        .filter(|ingress| ingress.ip_mode.as_deref().unwrap_or("VIP") == "VIP")
        .filter_map(|ingress| ingress.ip.as_deref()?.parse().ok())
}

/// All outward addresses: external IPs and load balancers', each once.
pub(crate) fn external_ips(service: &Service) -> BTreeSet<IpAddr> {
    let spec_ips = service.spec.as_ref().and_then(|spec| spec.external_ips.as_deref()).unwrap_or_default();
    spec_ips.iter().filter_map(|ip| ip.parse().ok()).chain(load_balancer_ips(service)).collect()
}

/// The cluster IPs.
pub(crate) fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    let first = spec.cluster_ip.as_slice();
    let all = spec.cluster_ips.as_deref().filter(|all| !all.is_empty()).unwrap_or(first);
    all.iter().filter_map(|ip| ip.parse().ok()).collect()
}

fn proxied(service: &Service) -> bool {
    let Some(spec) = &service.spec else { return false };
    spec.type_.as_deref() != Some("ExternalName")
        && !cluster_ips(spec).is_empty()
        && service.metadata.labels.as_ref().is_none_or(|labels| !labels.contains_key(PROXY_NAME_LABEL))
}

fn owner(slice: &EndpointSlice) -> Option<Arc<str>> {
    let labels = slice.metadata.labels.as_ref()?;
    if labels.contains_key(PROXY_NAME_LABEL) || labels.contains_key(HEADLESS_LABEL) {
        return None;
    }
    let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!("{namespace}/{}", labels.get(SERVICE_NAME_LABEL)?).into())
}

fn claims(service: Option<&Service>) -> BTreeSet<Claim> {
    let Some((service, spec)) = service.and_then(|service| Some((service, service.spec.as_ref()?))) else {
        return BTreeSet::new();
    };
    let ips = external_ips(service);
    let mut claims = BTreeSet::new();
    for port in ports(spec) {
        claims.extend(ips.iter().map(|ip| Claim { address: Some(*ip), protocol: port.protocol, port: port.port }));
        claims.extend(port.node_port.map(|node| Claim { address: None, protocol: port.protocol, port: node }));
    }
    claims
}
