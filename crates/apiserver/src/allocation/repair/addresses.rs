//! Addresses: each that a service has is in its IPAddress, and each IPAddress that a server made belongs to a service.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use machinery::Status;

use super::events::{About, Event, Events};
use crate::ApiServer;
use crate::allocation::addresses::{make, remove};
use crate::allocation::family;
use crate::allocation::known::{Held, Known, Parent};

/// A service may still be on its way when its IPAddress is no older than this: a request takes no longer.
const GRACE: Duration = Duration::from_secs(60);

/// Who says so in events.
const SOURCE: &str = "ipallocator-repair-controller";
/// Nothing is known to be wrong while this one is not there yet.
const DEFAULT_RANGE: &str = "kubernetes";

/// One thing that is wrong.
#[derive(Debug, PartialEq)]
struct Finding {
    event: Option<Event>,
    remedy: Remedy,
}

/// What helps.
#[derive(Debug, PartialEq)]
enum Remedy {
    /// Make the IPAddress of this service.
    Make(IpAddr, String),
    /// Make it anew.
    Replace(IpAddr, String),
    /// Delete the IPAddress.
    Remove(IpAddr),
    /// Only people can help.
    None,
}

/// Looks once and sets right what it finds.
///
/// # Errors
/// When the store does not answer.
pub async fn repair(server: &ApiServer, events: &mut Events) -> Result<(), Status> {
    server.server.cacher.catch_up().await?;
    let findings = plan(&server.server.allocator.known.lock(), server.server.clock.now());
    for finding in findings {
        if let Some(event) = &finding.event {
            server.server.allocator.metrics.address_repaired(event);
            events.tell(server, SOURCE, event).await;
        }
        act(server, &finding.remedy).await?;
    }
    Ok(())
}

async fn act(api: &ApiServer, remedy: &Remedy) -> Result<(), Status> {
    let server = &*api.server;
    let made = match remedy {
        Remedy::None => return Ok(()),
        Remedy::Remove(address) => return remove(server, &address.to_string()).await,
        Remedy::Make(address, service) => make(server, service, *address).await,
        Remedy::Replace(address, service) => {
            remove(server, &address.to_string()).await?;
            make(server, service, *address).await
        }
    };
    match made {
        // Somebody else has made it.
        Err(status) if status.code == 409 => Ok(()),
        made => made,
    }
}

/// What is wrong, services first, each in order.
fn plan(known: &Known, now: Timestamp) -> Vec<Finding> {
    if !known.ranges.contains_key(DEFAULT_RANGE) {
        return Vec::new();
    }
    let mut services: Vec<&String> = known.services.keys().collect();
    services.sort_unstable();
    let mut addresses: Vec<&IpAddr> = known.addresses.keys().collect();
    addresses.sort_unstable();
    let of_services = services
        .into_iter()
        .flat_map(|key| known.services[key].addresses.iter().flat_map(|address| of_service(known, key, *address)));
    // An address that a service uses has been looked at with it.
    let unused = addresses.into_iter().filter(|address| !known.is_used(**address));
    of_services.chain(unused.filter_map(|address| of_address(known, *address, now))).collect()
}

/// What is wrong with the address of a service.
fn of_service(known: &Known, key: &str, address: IpAddr) -> Vec<Finding> {
    let shown = format!("[{}]", family(address.is_ipv4()));
    let about = |reason: &'static str, note: String| {
        let about = About::Service(key.to_owned());
        Some(Event { about, reason, action: "ClusterIPAllocation", note })
    };
    if !known.is_in_range(address) {
        let note =
            format!("Cluster IP {shown}: {address} is not within any configured Service CIDR; please recreate service");
        return vec![Finding { event: about("ClusterIPOutOfRange", note), remedy: Remedy::None }];
    }
    let Some(held) = known.addresses.get(&address) else {
        let note = format!("Cluster IP {shown}: {address} is not allocated; repairing");
        return vec![Finding {
            event: about("ClusterIPNotAllocated", note),
            remedy: Remedy::Make(address, key.to_owned()),
        }];
    };
    let replace = || Remedy::Replace(address, key.to_owned());
    let wrong_reference = || {
        let note = format!("the ClusterIP {shown}: {address} for Service {key} has a wrong reference; repairing");
        vec![Finding { event: about("ClusterIPNotAllocated", note), remedy: replace() }]
    };
    let Parent::Service(parent) = &held.parent else { return wrong_reference() };
    if parent != key {
        let Some(other) = known.services.get(parent) else { return wrong_reference() };
        if other.addresses.contains(&address) {
            let note =
                format!("Cluster IP {shown}:{address} was assigned to multiple services; please recreate service");
            return vec![Finding { event: about("ClusterIPAlreadyAllocated", note), remedy: Remedy::None }];
        }
    }
    if held.labelled { Vec::new() } else { vec![Finding { event: None, remedy: replace() }] }
}

/// What is wrong with an IPAddress that a server made.
fn of_address(known: &Known, address: IpAddr, now: Timestamp) -> Option<Finding> {
    let held = known.addresses.get(&address).filter(|held| held.managed)?;
    let remove = |reason: &'static str, note: String| {
        let event = Event { about: About::Address(address), reason, action: "IPAddressAllocation", note };
        Some(Finding { event: Some(event), remedy: Remedy::Remove(address) })
    };
    let parent = match &held.parent {
        Parent::Service(parent) => parent,
        Parent::Other(other) => {
            let note = format!(
                "IPAddress {address} appears to have been modified, not referencing a Service {other}: cleaning up"
            );
            return remove("IPAddressNotAllocated", note);
        }
    };
    match known.services.get(parent) {
        Some(share) if share.addresses.contains(&address) => None,
        Some(_) if is_young(held, now) => None,
        Some(_) => remove(
            "IPAddressWrongReference",
            format!("IPAddress: {address} for Service {parent} has a wrong reference; cleaning up"),
        ),
        None if is_young(held, now) => None,
        None => remove(
            "IPAddressNotAllocated",
            format!("IPAddress: {address} for Service {parent} appears to have leaked: cleaning up"),
        ),
    }
}

fn is_young(held: &Held, now: Timestamp) -> bool {
    now.duration_since(held.created) <= jiff::SignedDuration::try_from(GRACE).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{Value, value};

    const NOW: &str = "2026-01-01T00:10:00Z";

    fn known(services: &[(&str, &str)], addresses: &[(&str, &str, &str)]) -> Known {
        let mut known = Known::default();
        known.range("kubernetes", Some(&value!({"spec": {"cidrs": ["10.0.0.0/24"]}})));
        for (name, ip) in services {
            let service = value!({"spec": {"type": "ClusterIP", "clusterIPs": [(*ip)]}});
            known.service(&format!("a/{name}"), Some(&service));
        }
        for (ip, parent, created) in addresses {
            known.address(ip, Some(&held(parent, created)));
        }
        known
    }

    fn held(parent: &str, created: &str) -> Value {
        let (resource, name) = parent.split_once('/').unwrap();
        value!({
            "metadata": {"creationTimestamp": created, "labels": {
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                "ipaddress.kubernetes.io/ip-family": "IPv4"
            }},
            "spec": {"parentRef": {"resource": resource, "namespace": "a", "name": name}}
        })
    }

    fn show(known: &Known) -> String {
        let line = |finding: &Finding| {
            let event = finding.event.as_ref().map_or_else(String::new, |e| format!("{} {}", e.reason, e.note));
            format!("{event} -> {:?}", finding.remedy)
        };
        plan(known, NOW.parse().unwrap()).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn services_have_their_addresses() {
        let old = "2026-01-01T00:00:00Z";
        let mut known = known(
            &[
                ("fine", "10.0.0.1"),
                ("lost", "10.0.0.2"),
                ("outside", "10.9.0.1"),
                ("second", "10.0.0.1"),
                ("taken", "10.0.0.3"),
            ],
            &[("10.0.0.1", "services/fine", old), ("10.0.0.3", "gateways/g", old)],
        );
        expect_test::expect![[r#"
            ClusterIPNotAllocated Cluster IP [IPv4]: 10.0.0.2 is not allocated; repairing -> Make(10.0.0.2, "a/lost")
            ClusterIPOutOfRange Cluster IP [IPv4]: 10.9.0.1 is not within any configured Service CIDR; please recreate service -> None
            ClusterIPAlreadyAllocated Cluster IP [IPv4]:10.0.0.1 was assigned to multiple services; please recreate service -> None
            ClusterIPNotAllocated the ClusterIP [IPv4]: 10.0.0.3 for Service a/taken has a wrong reference; repairing -> Replace(10.0.0.3, "a/taken")"#]]
        .assert_eq(&show(&known));
        known.range("kubernetes", None);
        assert_eq!(show(&known), "", "the ranges are not there yet");
    }

    #[test]
    fn orphans_go_after_a_while() {
        let known = known(
            &[("s", "10.0.0.1")],
            &[
                ("10.0.0.1", "services/s", NOW),
                ("10.0.0.4", "services/new", "2026-01-01T00:09:30Z"),
                ("10.0.0.5", "services/crashed", "2026-01-01T00:08:00Z"),
                ("10.0.0.6", "services/s", "2026-01-01T00:08:00Z"),
                ("10.0.0.7", "gateways/g", NOW),
            ],
        );
        expect_test::expect![[r#"
            IPAddressNotAllocated IPAddress: 10.0.0.5 for Service a/crashed appears to have leaked: cleaning up -> Remove(10.0.0.5)
            IPAddressWrongReference IPAddress: 10.0.0.6 for Service a/s has a wrong reference; cleaning up -> Remove(10.0.0.6)
            IPAddressNotAllocated IPAddress 10.0.0.7 appears to have been modified, not referencing a Service &ParentReference{Group:,Resource:gateways,Namespace:a,Name:g,}: cleaning up -> Remove(10.0.0.7)"#]]
        .assert_eq(&show(&known));
    }
}
