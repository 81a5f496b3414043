//! `answer`: what the zone says to a question, by the Kubernetes DNS specification 1.1.0. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::Zone;
use crate::zone::{Endpoint, Entry, Port, Target};

/// How long others may remember an answer.
pub(crate) const TTL_SECONDS: u32 = 5;

/// The specification that the answers follow, as `dns-version` tells.
const SPECIFICATION: &str = "1.1.0";

/// No chain of aliases within the zone is followed further.
const MAX_ALIASES: usize = 8;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, fully qualified.
    pub name: Name,
    /// The record type.
    pub record_type: RecordType,
}

/// What to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The zone knows: records (none: the name exists without such records), and what helps to use them.
    Here {
        /// `NoError` or `NXDomain`.
        code: ResponseCode,
        /// What was asked for.
        answers: Vec<Record>,
        /// The zone's SOA where there is no answer (RFC 2308).
        authorities: Vec<Record>,
        /// Addresses of targets.
        additionals: Vec<Record>,
    },
    /// The name is another one's, which upstream must resolve.
    Alias {
        /// The aliases so far.
        answers: Vec<Record>,
        /// What they lead to.
        target: Name,
    },
    /// The zone is not responsible.
    Elsewhere,
}

/// The zone's answer.
#[must_use]
pub fn answer(zone: &Zone, question: &Question) -> Answer {
    if let Ok(range) = question.name.parse_arpa_name() {
        return reverse(zone, question, range);
    }
    let Some(labels) = labels_in(zone, &question.name) else { return Answer::Elsewhere };
    let mut found = Found::default();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let exists = look_up(zone, question, &labels, &mut found);
    match found.alias.take() {
        Some(target) => follow(zone, question, found, target),
        None => found.finish(zone, exists),
    }
}

#[derive(Default)]
struct Found {
    answers: Vec<Record>,
    additionals: Vec<Record>,
    alias: Option<Name>,
}

impl Found {
    fn finish(self, zone: &Zone, exists: bool) -> Answer {
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let authorities = if self.answers.is_empty() { soa(zone).into_iter().collect() } else { Vec::new() };
        Answer::Here { code, answers: self.answers, authorities, additionals: self.additionals }
    }

    fn add(&mut self, name: &Name, data: RData) {
        self.answers.push(Record::from_rdata(name.clone(), TTL_SECONDS, data));
    }

    fn add_addresses(&mut self, question: &Question, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            if matches!(
                (question.record_type, address),
                (RecordType::A, IpAddr::V4(_)) | (RecordType::AAAA, IpAddr::V6(_))
            ) || question.record_type == RecordType::ANY
            {
                self.add(&question.name, address.into());
            }
        }
    }

    /// SRV records with the addresses of their targets (RFC 2782). All weigh the same.
    fn add_services(&mut self, question: &Question, targets: Vec<(Name, u16, Vec<IpAddr>)>) {
        let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or(1).max(1);
        for (target, port, addresses) in targets {
            self.add(&question.name, RData::SRV(SRV::new(0, weight, port, target.clone())));
            for address in addresses {
                let record = Record::from_rdata(target.clone(), TTL_SECONDS, address.into());
                if !self.additionals.contains(&record) {
                    self.additionals.push(record);
                }
            }
        }
    }
}

/// The labels before the zone's domain, in small letters; none if the name is not in the zone.
fn labels_in(zone: &Zone, name: &Name) -> Option<Vec<String>> {
    let mut labels: Vec<String> =
        name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    for own in zone.domain().rsplit('.') {
        if labels.pop()? != own {
            return None;
        }
    }
    Some(labels)
}

/// Finds records; tells whether the name exists at all.
fn look_up(zone: &Zone, question: &Question, labels: &[&str], found: &mut Found) -> bool {
    match labels {
        [] => apex(zone, question, found),
        ["svc" | "pod" | "dns"] => true,
        ["dns-version"] => {
            if matches!(question.record_type, RecordType::TXT | RecordType::ANY) {
                found.add(&question.name, RData::TXT(TXT::new(vec![SPECIFICATION.to_owned()])));
            }
            true
        }
        ["ns", "dns"] => {
            found.add_addresses(question, dns_addresses(zone));
            true
        }
        [namespace, "svc" | "pod"] => zone.has_namespace(namespace),
        [pod, namespace, "pod"] => pod_address(zone, question, pod, namespace, found),
        [rest @ .., name, namespace, "svc"] => {
            let Some(entry) = zone.service(namespace, name) else { return false };
            let service = format!("{name}.{namespace}.svc.{}.", zone.domain());
            in_service(question, rest, entry, &service, found)
        }
        _ => false,
    }
}

fn apex(zone: &Zone, question: &Question, found: &mut Found) -> bool {
    let any = question.record_type == RecordType::ANY;
    if any || question.record_type == RecordType::SOA {
        found.answers.extend(soa(zone));
    }
    if let Some(server) = server_name(zone).filter(|_| any || question.record_type == RecordType::NS) {
        found.add(&question.name, RData::NS(NS(server.clone())));
        let addresses = dns_addresses(zone).into_iter();
        found.additionals.extend(addresses.map(|ip| Record::from_rdata(server.clone(), TTL_SECONDS, ip.into())));
    }
    true
}

/// `10-244-0-5.NAMESPACE.pod`: the address that the name itself says.
fn pod_address(zone: &Zone, question: &Question, pod: &str, namespace: &str, found: &mut Found) -> bool {
    let four = pod.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    let six = || pod.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6);
    let Ok(address) = four.or_else(|_| six()) else { return false };
    if !zone.has_namespace(namespace) {
        return false;
    }
    found.add_addresses(question, [address]);
    true
}

/// Names at and under a Service's own.
fn in_service(question: &Question, rest: &[&str], entry: &Entry, service: &str, found: &mut Found) -> bool {
    let Some(target) = entry.target() else { return false };
    if let Target::Alias(name) = target {
        let alias = Name::from_utf8(name.trim_end_matches('.').to_owned() + ".").ok();
        return rest.is_empty() && alias.is_some_and(|alias| add_alias(question, alias, found));
    }
    let wants_services = matches!(question.record_type, RecordType::SRV | RecordType::ANY);
    match rest {
        [] => {
            if wants_services {
                found.add_services(question, services(entry, &target, service, |_| true));
            }
            match target {
                Target::Addresses(addresses) => found.add_addresses(question, addresses),
                _ => found.add_addresses(question, unique(entry.endpoints())),
            }
            true
        }
        [label] => {
            let mut endpoints = entry.endpoints();
            endpoints.retain(|endpoint| endpoint.label == *label);
            let exists = !endpoints.is_empty() || protocol_exists(entry, label);
            found.add_addresses(question, unique(endpoints));
            exists
        }
        [port, protocol] => {
            let (Some(port), Some(protocol)) = (port.strip_prefix('_'), protocol.strip_prefix('_')) else {
                return false;
            };
            let targets = services(entry, &target, service, |known| {
                known.name == port && known.protocol == protocol && !port.is_empty()
            });
            let exists = !targets.is_empty();
            if wants_services {
                found.add_services(question, targets);
            }
            exists
        }
        _ => false,
    }
}

/// `_tcp` has names under it if a port speaks that protocol (RFC 8020).
fn protocol_exists(entry: &Entry, label: &str) -> bool {
    label.strip_prefix('_').is_some_and(|protocol| entry.ports().iter().any(|port| port.protocol == protocol))
}

fn unique(endpoints: Vec<Endpoint>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = endpoints.into_iter().map(|endpoint| endpoint.address).collect();
    addresses.dedup();
    addresses
}

/// Names, ports and addresses behind those ports of a Service that `wanted` picks.
fn services(
    entry: &Entry,
    target: &Target,
    service: &str,
    wanted: impl Fn(&Port) -> bool,
) -> Vec<(Name, u16, Vec<IpAddr>)> {
    let name = |text: &str| Name::from_ascii(text).ok();
    if let Target::Addresses(addresses) = target {
        let ports = entry.ports().into_iter().filter(wanted);
        return ports.filter_map(|port| Some((name(service)?, port.number, addresses.clone()))).collect();
    }
    let mut targets = Vec::new();
    for endpoint in entry.endpoints() {
        let ports = endpoint.ports.iter().filter(|port| wanted(port));
        let full = name(&format!("{}.{service}", endpoint.label));
        targets.extend(ports.filter_map(|port| Some((full.clone()?, port.number, vec![endpoint.address]))));
    }
    targets
}

fn add_alias(question: &Question, target: Name, found: &mut Found) -> bool {
    found.add(&question.name, RData::CNAME(CNAME(target.clone())));
    if question.record_type != RecordType::CNAME {
        found.alias = Some(target);
    }
    true
}

/// Resolves an alias as far as the zone can.
fn follow(zone: &Zone, question: &Question, mut found: Found, mut target: Name) -> Answer {
    for _ in 0..MAX_ALIASES {
        let Some(labels) = labels_in(zone, &target) else {
            return Answer::Alias { answers: found.answers, target };
        };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let next = Question { name: target, record_type: question.record_type };
        look_up(zone, &next, &labels, &mut found);
        match found.alias.take() {
            Some(another) => target = another,
            None => break,
        }
    }
    found.finish(zone, true)
}

/// Names of addresses that the zone knows; others may know the rest.
fn reverse(zone: &Zone, question: &Question, range: ipnet::IpNet) -> Answer {
    let whole = range.prefix_len() == range.max_prefix_len();
    let names: Vec<&str> = zone.names_of(range.addr()).filter(|_| whole).collect();
    if names.is_empty() {
        return Answer::Elsewhere;
    }
    let mut found = Found::default();
    if matches!(question.record_type, RecordType::PTR | RecordType::ANY) {
        for name in names.into_iter().filter_map(|name| Name::from_ascii(name).ok()) {
            found.add(&question.name, RData::PTR(PTR(name)));
        }
    }
    found.finish(zone, true)
}

fn server_name(zone: &Zone) -> Option<Name> {
    Name::from_ascii(format!("ns.dns.{}.", zone.domain())).ok()
}

fn dns_addresses(zone: &Zone) -> Vec<IpAddr> {
    match zone.service("kube-system", "kube-dns").and_then(Entry::target) {
        Some(Target::Addresses(addresses)) => addresses,
        _ => Vec::new(),
    }
}

fn soa(zone: &Zone) -> Option<Record> {
    let domain = Name::from_ascii(format!("{}.", zone.domain())).ok()?;
    let mailbox = Name::from_ascii(format!("hostmaster.{}.", zone.domain())).ok()?;
    let soa = SOA::new(server_name(zone)?, mailbox, zone.serial(), 7200, 1800, 86400, TTL_SECONDS);
    Some(Record::from_rdata(domain, TTL_SECONDS, RData::SOA(soa)))
}
