//! What the cluster's names stand for: Services, their endpoints, and namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

/// Which Service a slice belongs to.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The names of a cluster.
#[derive(Debug, Default)]
pub struct Zone {
    domain: String,
    serial: u32,
    entries: BTreeMap<Arc<str>, Entry>,
    namespaces: BTreeSet<String>,
    reverse: BTreeMap<IpAddr, BTreeSet<String>>,
}

#[derive(Debug, Default)]
pub(crate) struct Entry {
    service: Option<Arc<Service>>,
    slices: BTreeMap<Arc<str>, Arc<EndpointSlice>>,
}

/// How a Service's name resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// To its cluster IPs.
    Addresses(Vec<IpAddr>),
    /// To its endpoints.
    Headless,
    /// To another name.
    Alias(String),
}

/// A port with its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub name: String,
    pub protocol: String,
    pub number: u16,
}

/// An endpoint with the label under which it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub label: String,
    pub address: IpAddr,
    pub ports: Vec<Port>,
}

impl Zone {
    /// An empty zone for a domain such as `cluster.local`.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self { domain: domain.trim_matches('.').to_ascii_lowercase(), serial: 1, ..Self::default() }
    }

    /// The domain, without dots around it.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Takes in a Service's latest state, or that it is gone. Keys are `namespace/name`.
    pub fn set_service(&mut self, key: &Arc<str>, service: Option<Arc<Service>>) {
        self.change(key, |entry| entry.service = service);
    }

    /// Takes in a slice's latest state, or that it is gone; `old` is the state before, which tells whose it was.
    pub fn set_slice(&mut self, key: &Arc<str>, old: Option<&EndpointSlice>, new: Option<Arc<EndpointSlice>>) {
        let owner = new.as_deref().and_then(owner);
        if let Some(before) = old.and_then(self::owner).filter(|before| Some(before) != owner.as_ref()) {
            self.change(&before, |entry| drop(entry.slices.remove(key)));
        }
        if let (Some(owner), Some(new)) = (owner, new) {
            self.change(&owner, |entry| drop(entry.slices.insert(key.clone(), new)));
        }
    }

    /// Takes in that a namespace is there or gone.
    pub fn set_namespace(&mut self, name: &str, exists: bool) {
        self.serial = self.serial.wrapping_add(1);
        if exists {
            self.namespaces.insert(name.to_owned());
        } else {
            self.namespaces.remove(name);
        }
    }

    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.entries.get(&*format!("{namespace}/{name}")).filter(|entry| entry.service.is_some())
    }

    /// The names that an address has.
    pub(crate) fn names_of(&self, address: IpAddr) -> impl Iterator<Item = &str> {
        self.reverse.get(&address).into_iter().flatten().map(String::as_str)
    }

    fn change(&mut self, key: &Arc<str>, change: impl FnOnce(&mut Entry)) {
        self.serial = self.serial.wrapping_add(1);
        let domain = std::mem::take(&mut self.domain);
        let entry = self.entries.entry(key.clone()).or_default();
        let before = entry.reverse(key, &domain);
        change(entry);
        let after = entry.reverse(key, &domain);
        if entry.service.is_none() && entry.slices.is_empty() {
            self.entries.remove(key);
        }
        self.domain = domain;
        for (address, name) in before.difference(&after) {
            if let Some(names) = self.reverse.get_mut(address) {
                names.remove(name);
                if names.is_empty() {
                    self.reverse.remove(address);
                }
            }
        }
        for (address, name) in after.difference(&before) {
            self.reverse.entry(*address).or_default().insert(name.clone());
        }
    }
}

impl Entry {
    /// How the name resolves; none without a Service that can be resolved.
    pub(crate) fn target(&self) -> Option<Target> {
        let spec = self.spec()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return Some(Target::Alias(spec.external_name.clone()?));
        }
        let first = spec.cluster_ip.as_slice();
        let all = spec.cluster_ips.as_deref().filter(|ips| !ips.is_empty()).unwrap_or(first);
        if all.iter().any(|ip| ip == "None") {
            return Some(Target::Headless);
        }
        Some(Target::Addresses(all.iter().filter_map(|ip| ip.parse().ok()).collect()))
    }

    /// The Service's own ports.
    pub(crate) fn ports(&self) -> Vec<Port> {
        let ports = self.spec().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        ports.iter().filter_map(|port| read_port(port.name.as_deref(), port.protocol.as_deref(), port.port)).collect()
    }

    /// The endpoints that may be named: ready ones, or all where the Service wants that. Each address once.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let all = self.spec().is_some_and(|spec| spec.publish_not_ready_addresses == Some(true));
        let mut endpoints: BTreeMap<(IpAddr, String), BTreeSet<Port>> = BTreeMap::new();
        for slice in self.slices.values() {
            let ports = slice.ports.iter().flatten();
            let ports: Vec<Port> = ports
                .filter_map(|port| read_port(port.name.as_deref(), port.protocol.as_deref(), port.port?))
                .collect();
            for endpoint in slice.endpoints.iter().flatten() {
                let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
                let Some(address) = endpoint.addresses.first().and_then(|address| address.parse::<IpAddr>().ok())
                else {
                    continue;
                };
                if ready || all {
                    let label = endpoint.hostname.clone().unwrap_or_else(|| dashed(address));
                    endpoints.entry((address, label)).or_default().extend(ports.iter().cloned());
                }
            }
        }
        let endpoint = |((address, label), ports): (_, BTreeSet<Port>)| Endpoint {
            label,
            address,
            ports: ports.into_iter().collect(),
        };
        endpoints.into_iter().map(endpoint).collect()
    }

    fn spec(&self) -> Option<&ServiceSpec> {
        self.service.as_deref()?.spec.as_ref()
    }

    fn reverse(&self, key: &str, domain: &str) -> BTreeSet<(IpAddr, String)> {
        let Some((namespace, name)) = key.split_once('/') else { return BTreeSet::new() };
        let service = format!("{name}.{namespace}.svc.{domain}.");
        match self.target() {
            Some(Target::Addresses(addresses)) => {
                addresses.into_iter().map(|address| (address, service.clone())).collect()
            }
            Some(Target::Headless) => {
                let named = |endpoint: Endpoint| (endpoint.address, format!("{}.{service}", endpoint.label));
                self.endpoints().into_iter().map(named).collect()
            }
            Some(Target::Alias(_)) | None => BTreeSet::new(),
        }
    }
}

/// The label of an endpoint without a host name.
fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

fn read_port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Option<Port> {
    Some(Port {
        name: name.unwrap_or_default().to_owned(),
        protocol: protocol.unwrap_or("TCP").to_ascii_lowercase(),
        number: u16::try_from(number).ok()?,
    })
}

fn owner(slice: &EndpointSlice) -> Option<Arc<str>> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    Some(format!("{}/{name}", slice.metadata.namespace.as_deref().unwrap_or_default()).into())
}
