//! Addresses and node ports of services: handed out once each, known from the services themselves.
//!
//! Invariant: what is taken is what the cache's services have, and what writes under way have been given. So a crash
//! leaves nothing to repair: the next start reads the services.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use base::Random;
use ipnet::IpNet;
use kinds::Kind;
use kinds::core::service::{has_cluster_ip, is_headless, needs_health_check_port, needs_node_ports};
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};
use parking_lot::Mutex;

use crate::cache::Observer;

/// The ports that nodes open for services (`--service-node-port-range`).
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;
/// So many random picks are tried before the range is searched from its begin.
const PICKS: usize = 32;
/// The low part of the address range is left to those who choose themselves: a sixteenth of it, but no more than this
/// and no less than [`LEAST_STATIC`] (KEP-3070).
const MOST_STATIC: u128 = 256;
const LEAST_STATIC: u128 = 16;

/// Hands out addresses and ports.
pub struct Allocator {
    range: IpNet,
    random: Random,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    addresses: HashMap<IpAddr, String>,
    ports: HashMap<i64, String>,
    by_service: HashMap<String, Share>,
    /// What writes under way were given.
    reserved_addresses: HashSet<IpAddr>,
    reserved_ports: HashSet<i64>,
}

#[derive(Default, Clone, PartialEq)]
struct Share {
    addresses: Vec<IpAddr>,
    ports: Vec<i64>,
}

/// What a write was given; given back when it is dropped, unless the service was stored ([`Reservation::keep`]).
pub struct Reservation {
    allocator: Arc<Allocator>,
    share: Share,
}

impl Reservation {
    /// The service is stored: what it has is taken at once, before the cache hears of it.
    pub fn keep(self, service: &Value) {
        self.allocator.note(&key_of(service), Some(service));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.allocator.taken.lock();
        for address in &self.share.addresses {
            taken.reserved_addresses.remove(address);
        }
        for port in &self.share.ports {
            taken.reserved_ports.remove(port);
        }
    }
}

impl Allocator {
    /// Hands out addresses of `range`.
    #[must_use]
    pub fn new(range: IpNet, random: Random) -> Self {
        Self { range, random, taken: Mutex::default() }
    }

    /// Gives `service` what its type needs and it does not have.
    ///
    /// # Errors
    /// What it asks for is taken or out of range, or nothing is left.
    pub fn allocate(self: &Arc<Self>, service: &mut Value) -> Result<Reservation, Errors> {
        let mut reservation = Reservation { allocator: self.clone(), share: Share::default() };
        families(service, self.range)?;
        let key = key_of(service);
        let mut taken = self.taken.lock();
        let result = self
            .addresses(service, &key, &mut taken, &mut reservation.share)
            .and_then(|()| self.ports(service, &key, &mut taken, &mut reservation.share));
        drop(taken);
        result.map(|()| reservation)
    }

    /// Takes note of what the service `key` has now.
    fn note(&self, key: &str, service: Option<&Value>) {
        let mut taken = self.taken.lock();
        let before = taken.by_service.remove(key).unwrap_or_default();
        for address in before.addresses {
            if taken.addresses.get(&address).is_some_and(|owner| owner == key) {
                taken.addresses.remove(&address);
            }
        }
        for port in before.ports {
            if taken.ports.get(&port).is_some_and(|owner| owner == key) {
                taken.ports.remove(&port);
            }
        }
        let Some(service) = service else { return };
        let share = share_of(service);
        for address in &share.addresses {
            taken.addresses.insert(*address, key.to_owned());
        }
        for port in &share.ports {
            taken.ports.insert(*port, key.to_owned());
        }
        taken.by_service.insert(key.to_owned(), share);
    }

    fn addresses(&self, service: &mut Value, key: &str, taken: &mut Taken, share: &mut Share) -> Result<(), Errors> {
        if !has_cluster_ip(service) || is_headless(service) {
            return Ok(());
        }
        let wanted: Vec<String> =
            service.items_at(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if wanted.is_empty() {
            let Some(address) = self.free_address(taken) else {
                let message = format!("failed to allocate a serviceIP: range {} is full", self.range);
                return Err(vec![Error::internal(&Path::new("spec").child("clusterIPs"), message)]);
            };
            taken.reserved_addresses.insert(address);
            share.addresses.push(address);
            service.set_at(&["spec", "clusterIP"], address.to_string());
            service.set_at(&["spec", "clusterIPs"], vec![address.to_string()]);
            return Ok(());
        }
        for text in &wanted {
            let refuse = |why: &str| {
                let detail = format!("failed to allocate IP {text}: {why}");
                vec![Error::invalid(&Path::new("spec").child("clusterIPs"), wanted.clone(), detail)]
            };
            let Ok(address) = text.parse::<IpAddr>() else { continue };
            if taken.addresses.get(&address).is_some_and(|owner| owner == key) {
                continue;
            }
            if !self.range.contains(&address) {
                return Err(refuse("the provided network does not match the current range"));
            }
            if taken.addresses.contains_key(&address) || !taken.reserved_addresses.insert(address) {
                return Err(refuse("provided IP is already allocated"));
            }
            share.addresses.push(address);
        }
        Ok(())
    }

    fn ports(&self, service: &mut Value, key: &str, taken: &mut Taken, share: &mut Share) -> Result<(), Errors> {
        if needs_node_ports(service) {
            let path = Path::new("spec").child("ports");
            let mut own: Vec<(i64, String)> = Vec::new();
            let ports = service.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut).into_iter().flatten();
            for (i, port) in ports.enumerate() {
                let protocol = port.str_at(&["protocol"]).unwrap_or("TCP").to_owned();
                let asked = port.int_at(&["nodePort"]).filter(|number| *number != 0);
                // One number may serve several protocols of one service.
                let shared = own.iter().any(|(number, other)| Some(*number) == asked && *other != protocol);
                let number = match asked {
                    Some(number) if shared => number,
                    asked => self.take_port(asked, key, taken, share, &path.index(i).child("nodePort"))?,
                };
                port.set_at(&["nodePort"], number);
                own.push((number, protocol));
            }
        }
        if needs_health_check_port(service) {
            let path = Path::new("spec").child("healthCheckNodePort");
            let asked = service.int_at(&["spec", "healthCheckNodePort"]).filter(|number| *number != 0);
            let number = self.take_port(asked, key, taken, share, &path)?;
            service.set_at(&["spec", "healthCheckNodePort"], number);
        }
        Ok(())
    }

    fn take_port(
        &self,
        asked: Option<i64>,
        key: &str,
        taken: &mut Taken,
        share: &mut Share,
        path: &Path,
    ) -> Result<i64, Errors> {
        let number = match asked {
            Some(number) if taken.ports.get(&number).is_some_and(|owner| owner == key) => return Ok(number),
            Some(number) if !NODE_PORTS.contains(&number) => {
                let range = format!("{}-{}", NODE_PORTS.start(), NODE_PORTS.end());
                let detail = format!("provided port is not in the valid range. The range of valid ports is {range}");
                return Err(vec![Error::invalid(path, number, detail)]);
            }
            Some(number) if taken.ports.contains_key(&number) || taken.reserved_ports.contains(&number) => {
                return Err(vec![Error::invalid(path, number, "provided port is already allocated")]);
            }
            Some(number) => number,
            None => self
                .free_port(taken)
                .ok_or_else(|| vec![Error::internal(path, "failed to allocate a nodePort: range is full")])?,
        };
        taken.reserved_ports.insert(number);
        share.ports.push(number);
        Ok(number)
    }

    fn free_address(&self, taken: &Taken) -> Option<IpAddr> {
        let (first, size) = (number(self.range.network()), range_size(self.range));
        let free = |offset: &u128| {
            let address = address(self.range, first + offset);
            !taken.addresses.contains_key(&address) && !taken.reserved_addresses.contains(&address)
        };
        // Neither the range's own address nor, for IPv4, its broadcast address is anybody's.
        let end = if self.range.addr().is_ipv4() { size.saturating_sub(1) } else { size };
        let low = (size / 16).clamp(LEAST_STATIC, MOST_STATIC).min(end);
        let picks = (0..PICKS).filter_map(|_| {
            let span = usize::try_from(end.checked_sub(low)?).unwrap_or(usize::MAX);
            Some(low + self.random.below(span) as u128)
        });
        let found = picks.filter(|offset| *offset < end && *offset > 0).find(free);
        let found = found.or_else(|| (low..end).find(free)).or_else(|| (1..low).find(free));
        found.map(|offset| address(self.range, first + offset))
    }

    fn free_port(&self, taken: &Taken) -> Option<i64> {
        let free = |port: &i64| !taken.ports.contains_key(port) && !taken.reserved_ports.contains(port);
        let size = usize::try_from(NODE_PORTS.end() - NODE_PORTS.start() + 1).unwrap_or_default();
        let picks = (0..PICKS).map(|_| NODE_PORTS.start() + i64::try_from(self.random.below(size)).unwrap_or_default());
        picks.into_iter().find(free).or_else(|| NODE_PORTS.into_iter().find(free))
    }
}

impl Observer for Allocator {
    fn wants(&self, kind: &Kind) -> bool {
        kind.group.is_empty() && kind.plural == "services"
    }

    fn observe(&self, _: &Kind, namespace: &str, name: &str, object: Option<&Value>) {
        self.note(&format!("{namespace}/{name}"), object);
    }
}

fn key_of(service: &Value) -> String {
    format!("{}/{}", meta::namespace(service), meta::name(service))
}

fn share_of(service: &Value) -> Share {
    let addresses = service.items_at(&["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    let ports = service.items_at(&["spec", "ports"]).iter().filter_map(|port| port.int_at(&["nodePort"]));
    let health = service.int_at(&["spec", "healthCheckNodePort"]);
    Share {
        addresses: addresses.filter_map(|text| text.parse().ok()).collect(),
        ports: ports.chain(health).filter(|port| *port != 0).collect(),
    }
}

/// Says which families the service has, where it leaves that open: the cluster has one.
///
/// # Errors
/// It asks for a family that the cluster does not have, or for both.
fn families(service: &mut Value, range: IpNet) -> Result<(), Errors> {
    if !has_cluster_ip(service) {
        return Ok(());
    }
    let (own, other) = if range.addr().is_ipv4() { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
    let has_selector = service.at(&["spec", "selector"]).and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    let free = is_headless(service) && !has_selector;
    if service.str_at(&["spec", "ipFamilyPolicy"]).is_none() {
        let several = ["clusterIPs", "ipFamilies"].iter().any(|field| service.items_at(&["spec", field]).len() > 1);
        service.set_at(&["spec", "ipFamilyPolicy"], if free || several { "RequireDualStack" } else { "SingleStack" });
    }
    let single = service.str_at(&["spec", "ipFamilyPolicy"]) == Some("SingleStack");
    let mut errors = too_many_for_one(service, single);
    if !free {
        errors.extend(not_configured(service, own));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut families = service.items_at(&["spec", "ipFamilies"]).to_vec();
    if families.is_empty() {
        families.push(own.into());
    }
    if free && !single && families.len() == 1 {
        families.push(if families[0].as_str() == Some(own) { other.into() } else { own.into() });
    }
    service.set_at(&["spec", "ipFamilies"], Value::Array(families));
    Ok(())
}

fn too_many_for_one(service: &Value, single: bool) -> Errors {
    let path = Path::new("spec").child("ipFamilyPolicy");
    let lists = [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")];
    let several = lists.iter().filter(|(field, _)| single && service.items_at(&["spec", field]).len() > 1);
    let detail =
        |words: &str| format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {words} are specified");
    several.map(|(_, words)| Error::invalid(&path, "SingleStack", detail(words))).collect()
}

/// What a service asks for that this cluster does not have: the other family.
fn not_configured(service: &Value, own: &str) -> Errors {
    let spec = Path::new("spec");
    let mut errors = Errors::new();
    let given = service.items_at(&["spec", "ipFamilies"]);
    let addresses = service.items_at(&["spec", "clusterIPs"]);
    for (i, text) in addresses.iter().filter_map(Value::as_str).enumerate().skip(given.len()) {
        let Ok(address) = text.parse::<IpAddr>() else { continue };
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        if family != own {
            let detail = format!("{family} is not configured on this cluster");
            errors.push(Error::invalid(&spec.child("clusterIPs").index(i), Value::Array(addresses.to_vec()), detail));
        }
    }
    if service.str_at(&["spec", "ipFamilyPolicy"]) == Some("RequireDualStack") {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid(&spec.child("ipFamilyPolicy"), "RequireDualStack", detail));
    }
    for (i, family) in given.iter().filter_map(Value::as_str).enumerate().filter(|(_, family)| *family != own) {
        let path = spec.child("ipFamilies").index(i);
        errors.push(Error::invalid(&path, family, "not configured on this cluster"));
    }
    errors
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn address(range: IpNet, number: u128) -> IpAddr {
    match range {
        IpNet::V4(_) => IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()),
        IpNet::V6(_) => IpAddr::V6(number.into()),
    }
}

fn range_size(range: IpNet) -> u128 {
    1u128.checked_shl((range.max_prefix_len() - range.prefix_len()).into()).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    fn allocator(range: &str) -> Arc<Allocator> {
        Arc::new(Allocator::new(range.parse().unwrap(), Random::seeded(1)))
    }

    fn service(name: &str, spec: Value) -> Value {
        value!({"metadata": {"name": name, "namespace": "a"}, "spec": spec})
    }

    fn refusal(result: Result<Reservation, Errors>) -> String {
        field::aggregate(&result.err().unwrap_or_default())
    }

    #[test]
    fn an_address_is_handed_out_once() {
        let allocator = allocator("10.0.0.0/28");
        let mut held = Vec::new();
        let mut seen = HashSet::new();
        for i in 0..14 {
            let mut one = service(&format!("s{i}"), value!({"type": "ClusterIP"}));
            held.push(allocator.allocate(&mut one).map_err(|e| field::aggregate(&e)).unwrap());
            assert!(seen.insert(one.str_at(&["spec", "clusterIP"]).unwrap().to_owned()));
        }
        assert!(!seen.contains("10.0.0.0") && !seen.contains("10.0.0.15"));
        let full = allocator.allocate(&mut service("t", value!({"type": "ClusterIP"})));
        assert!(refusal(full).contains("is full"));
        held.pop();
        assert!(allocator.allocate(&mut service("t", value!({"type": "ClusterIP"}))).is_ok());
    }

    #[test]
    fn wishes_are_checked() {
        let allocator = allocator("10.0.0.0/24");
        let mut taken =
            service("s", value!({"type": "NodePort", "clusterIPs": ["10.0.0.9"], "ports": [{"nodePort": 30080}]}));
        drop(allocator.allocate(&mut taken).ok());
        allocator.observe(kinds::lookup("", "v1", "services").unwrap(), "a", "s", Some(&taken));
        let of = |ip: &str, port: i64| {
            let spec = value!({"type": "NodePort", "clusterIPs": [ip], "ports": [{"nodePort": port}]});
            refusal(allocator.allocate(&mut service("t", spec)))
        };
        expect_test::expect![[r#"spec.clusterIPs: Invalid value: ["10.0.0.9"]: failed to allocate IP 10.0.0.9: provided IP is already allocated"#]]
            .assert_eq(&of("10.0.0.9", 30_081));
        expect_test::expect![[r#"spec.clusterIPs: Invalid value: ["10.1.0.9"]: failed to allocate IP 10.1.0.9: the provided network does not match the current range"#]]
            .assert_eq(&of("10.1.0.9", 30_081));
        expect_test::expect!["spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"]
            .assert_eq(&of("10.0.0.10", 30_080));
        expect_test::expect!["spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"]
            .assert_eq(&of("10.0.0.10", 80));
        assert!(
            allocator
                .allocate(&mut service(
                    "t",
                    value!({"type": "NodePort", "clusterIPs": ["10.0.0.10"], "ports": [{"nodePort": 30_081}]})
                ))
                .is_ok()
        );
    }

    #[test]
    fn a_service_keeps_what_it_has() {
        let allocator = allocator("10.0.0.0/24");
        let mut one = service("s", value!({"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}));
        drop(allocator.allocate(&mut one).ok());
        allocator.observe(kinds::lookup("", "v1", "services").unwrap(), "a", "s", Some(&one));
        let before = one.clone();
        assert!(allocator.allocate(&mut one).is_ok());
        assert_eq!(one, before);
    }
}
