//! What the cache shows of services, of the addresses that are taken and of the ranges that there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use jiff::Timestamp;
use kinds::core::service::{has_cluster_ip, is_headless};
use machinery::{Value, meta};

use super::family;
use super::port_range::PortRange;
use super::range::Range;

/// The label that says who made an IPAddress.
pub const MANAGED_BY: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
/// The label that says which family an IPAddress is of.
pub const FAMILY_LABEL: &str = "ipaddress.kubernetes.io/ip-family";

/// What services have, what is taken, and what there is.
#[derive(Debug, Default)]
pub struct Known {
    /// What each service has, by namespace/name.
    pub services: HashMap<String, Share>,
    /// The IPAddress objects.
    pub addresses: HashMap<IpAddr, Held>,
    /// The ServiceCIDR objects.
    pub ranges: BTreeMap<String, Ranges>,
    /// Which service uses an address: one of them, should there be several.
    users: HashMap<IpAddr, String>,
}

/// The addresses and ports of a service.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Share {
    /// Of the cluster.
    pub addresses: Vec<IpAddr>,
    /// On nodes, for its ports and for health checks.
    pub ports: Vec<u16>,
}

/// An IPAddress object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who has it.
    pub parent: Parent,
    /// Whether it was made for a service by a server.
    pub managed: bool,
    /// Whether its labels are those that a server gives.
    pub labelled: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// The service, by namespace/name.
    Service(String),
    /// Something else, as upstream shows it.
    Other(Box<str>),
}

/// The ranges of a ServiceCIDR.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// One a family.
    pub all: Vec<Range>,
    /// Whether addresses may be taken from them.
    pub ready: bool,
}

impl Known {
    /// Takes note of a service; whether its addresses are its own.
    pub fn service(&mut self, key: &str, service: Option<&Value>) -> bool {
        let before = self.services.remove(key).unwrap_or_default();
        for address in before.addresses {
            if self.users.get(&address).is_some_and(|user| user == key) {
                self.users.remove(&address);
            }
        }
        let Some(share) = service.map(Share::of) else { return true };
        self.users.extend(share.addresses.iter().map(|address| (*address, key.to_owned())));
        let is_right = share.addresses.iter().all(|address| {
            let held = self.addresses.get(address);
            held.is_some_and(|held| held.labelled && matches!(&held.parent, Parent::Service(parent) if parent == key))
        });
        if share != Share::default() {
            self.services.insert(key.to_owned(), share);
        }
        is_right
    }

    /// Takes note of an IPAddress; whether it fits the service that uses it.
    pub fn address(&mut self, name: &str, object: Option<&Value>) -> bool {
        let Ok(address) = name.parse() else { return true };
        match object {
            Some(object) => self.addresses.insert(address, Held::of(address, object)),
            None => self.addresses.remove(&address),
        };
        let Some(user) = self.users.get(&address) else { return true };
        let held = self.addresses.get(&address);
        held.is_some_and(|held| held.labelled && matches!(&held.parent, Parent::Service(parent) if parent == user))
    }

    /// Takes note of a ServiceCIDR. What is right may have become wrong.
    pub fn range(&mut self, name: &str, object: Option<&Value>) -> bool {
        match object {
            Some(object) => drop(self.ranges.insert(name.to_owned(), Ranges::of(object))),
            None => drop(self.ranges.remove(name)),
        }
        false
    }

    /// The ranges of a family from which addresses may be taken.
    #[must_use]
    pub fn ready(&self, wanted: &str) -> Vec<Range> {
        let ready = self.ranges.values().filter(|ranges| ranges.ready).flat_map(|ranges| &ranges.all);
        let mut found: Vec<Range> =
            ready.filter(|range| family(range.network().addr().is_ipv4()) == wanted).copied().collect();
        found.dedup();
        found
    }

    /// Whether an address lies in any range.
    #[must_use]
    pub fn is_in_range(&self, address: IpAddr) -> bool {
        self.ranges.values().flat_map(|ranges| &ranges.all).any(|range| range.contains(address))
    }

    /// Whether somebody seems to have the address.
    #[must_use]
    pub fn is_taken(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address) || self.users.contains_key(&address)
    }

    /// Whether a service uses the address.
    #[must_use]
    pub fn is_used(&self, address: IpAddr) -> bool {
        self.users.contains_key(&address)
    }

    /// Whether another service than `key` uses the address.
    #[must_use]
    pub fn is_used_by_other(&self, address: IpAddr, key: &str) -> bool {
        self.users.get(&address).is_some_and(|user| user != key)
    }

    /// How many addresses of a range are taken.
    #[must_use]
    pub fn count_in(&self, range: &Range) -> usize {
        self.addresses.keys().filter(|address| range.contains(**address)).count()
    }

    /// How many ports of a range services use.
    #[must_use]
    pub fn used_ports_in(&self, range: PortRange) -> usize {
        self.used_ports().filter(|port| range.contains(*port)).collect::<BTreeSet<u16>>().len()
    }

    /// All node ports that services use.
    pub fn used_ports(&self) -> impl Iterator<Item = u16> {
        self.services.values().flat_map(|share| share.ports.iter().copied())
    }
}

impl Share {
    /// What `service` has.
    #[must_use]
    pub fn of(service: &Value) -> Self {
        let mut share = Self::default();
        if has_cluster_ip(service) && !is_headless(service) {
            let addresses = service.items_at(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
            share.addresses = addresses.filter_map(|text| text.parse().ok()).collect();
        }
        let ports = service.items_at(&["spec", "ports"]).iter().filter_map(|port| port.int_at(&["nodePort"]));
        let health = service.int_at(&["spec", "healthCheckNodePort"]);
        for port in ports.chain(health).filter_map(|port| u16::try_from(port).ok()).filter(|port| *port != 0) {
            // One number may serve several protocols.
            if !share.ports.contains(&port) {
                share.ports.push(port);
            }
        }
        share
    }

    /// What of this `other` does not have.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        self.addresses.retain(|address| !other.addresses.contains(address));
        self.ports.retain(|port| !other.ports.contains(port));
        self
    }
}

impl Held {
    fn of(address: IpAddr, object: &Value) -> Self {
        let part = |field: &str| object.str_at(&["spec", "parentRef", field]).unwrap_or_default();
        let is_service = part("group").is_empty() && part("resource") == "services";
        let managed = meta::label(object, MANAGED_BY.0) == Some(MANAGED_BY.1);
        Self {
            parent: match is_service {
                true => Parent::Service(format!("{}/{}", part("namespace"), part("name"))),
                false => Parent::Other(shown(part).into()),
            },
            managed,
            labelled: managed && meta::label(object, FAMILY_LABEL) == Some(family(address.is_ipv4())),
            created: meta::creation_timestamp(object).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

fn shown<'a>(part: impl Fn(&str) -> &'a str) -> String {
    let [group, resource, namespace, name] = ["group", "resource", "namespace", "name"].map(part);
    format!("&ParentReference{{Group:{group},Resource:{resource},Namespace:{namespace},Name:{name},}}")
}

impl Ranges {
    /// A range is ready unless it says otherwise: nobody may be there to say so.
    fn of(object: &Value) -> Self {
        let cidrs = object.items_at(&["spec", "cidrs"]).iter().filter_map(Value::as_str);
        let conditions = object.items_at(&["status", "conditions"]).iter();
        let said = conditions.filter(|condition| condition.str_at(&["type"]) == Some("Ready"));
        let ready = said.map(|condition| condition.str_at(&["status"]) == Some("True")).next().unwrap_or(true);
        Self {
            all: cidrs.filter_map(kinds::validate::parse_cidr).filter_map(Range::new).collect(),
            ready: ready && !meta::is_deleting(object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    fn service(ip: &str, port: i64) -> Value {
        value!({"spec": {"type": "NodePort", "clusterIPs": [ip], "ports": [
            {"nodePort": port, "protocol": "TCP"}, {"nodePort": port, "protocol": "UDP"}
        ]}})
    }

    fn held(name: &str, parent: &str) -> Value {
        value!({
            "metadata": {"name": name, "labels": {
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                "ipaddress.kubernetes.io/ip-family": "IPv4"
            }},
            "spec": {"parentRef": {"resource": "services", "namespace": "a", "name": parent}}
        })
    }

    #[test]
    fn what_is_wrong_is_noticed() {
        let mut known = Known::default();
        assert!(known.address("10.0.0.9", Some(&held("10.0.0.9", "s"))), "not yet used");
        assert!(known.service("a/s", Some(&service("10.0.0.9", 30_001))));
        assert_eq!(known.services["a/s"].ports, [30_001]);
        assert!(!known.service("a/t", Some(&service("10.0.0.9", 30_002))), "it is another's");
        assert!(known.service("a/t", None));
        known.service("a/s", Some(&service("10.0.0.9", 30_001)));
        assert!(!known.address("10.0.0.9", None), "it is used");
        assert!(known.service("a/s", None));
        assert!(known.address("10.0.0.9", None) && !known.is_taken("10.0.0.9".parse().unwrap()));
    }

    #[test]
    fn ranges_that_may_be_used() {
        let of = |cidr: &str, status: Value| value!({"spec": {"cidrs": [cidr]}, "status": status});
        let condition = |status: &str| value!({"conditions": [{"type": "Ready", "status": status}]});
        let mut known = Known::default();
        known.range("a", Some(&of("10.0.0.0/24", value!({}))));
        known.range("b", Some(&of("10.1.0.0/24", condition("False"))));
        known.range("c", Some(&of("fd00::/112", condition("True"))));
        let shown = |family| known.ready(family).iter().map(|range| range.network().to_string()).collect::<Vec<_>>();
        assert_eq!((shown("IPv4"), shown("IPv6")), (vec!["10.0.0.0/24".to_owned()], vec!["fd00::/112".to_owned()]));
        assert!(known.is_in_range("10.1.0.5".parse().unwrap()) && !known.is_in_range("10.2.0.5".parse().unwrap()));
    }
}
