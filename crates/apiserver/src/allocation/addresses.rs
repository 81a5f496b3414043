//! Takes and releases addresses of services: an address is whose its IPAddress object names (KEP-1880).

use std::net::IpAddr;

use machinery::field::{Error, Path};
use machinery::{Status, Value, meta, value};

use super::known::{FAMILY_LABEL, MANAGED_BY, Share};
use super::metrics::Scope;
use super::range::Range;
use super::{Claim, family, invalid, ip_addresses};
use crate::identity::User;
use crate::options::DeleteOptions;
use crate::server::Server;
use crate::verbs::delete::delete_object;
use crate::{codec, ownership, write};

const FULL: &str = "range is full";
const TAKEN: &str = "provided IP is already allocated";
const NOWHERE: &str = "the provided network does not match the current range";

/// Why there is no address.
enum Refusal {
    /// In the words that follow "failed to allocate …".
    Because(String),
    /// The store did not answer.
    Failed(Status),
}

/// Gives `service`, which was `old` before, an address of each of its families.
///
/// # Errors
/// 422 when an address that it asks for cannot be had, 500 when none is left.
pub async fn give(
    server: &Server,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
    claim: &mut Claim,
) -> Result<(), Status> {
    use kinds::core::service::{has_cluster_ip, is_headless};
    if !has_cluster_ip(service) || is_headless(service) {
        return Ok(());
    }
    let kept = old.map(Share::of).unwrap_or_default().addresses;
    let families: Vec<&str> = service.items_at(&["spec", "ipFamilies"]).iter().filter_map(Value::as_str).collect();
    let families: Vec<&'static str> = families.into_iter().map(|name| family(name == "IPv4")).collect();
    let mut addresses = service.items_at(&["spec", "clusterIPs"]).to_vec();
    // The gaps stand for those to be chosen.
    addresses.resize(addresses.len().max(families.len()), "".into());
    let shown = Value::Array(addresses.clone());
    for (family, slot) in families.into_iter().zip(&mut addresses) {
        match slot.as_str().filter(|text| !text.is_empty()).map(str::to_owned) {
            Some(text) => {
                let Ok(address) = text.parse::<IpAddr>() else { continue };
                if kept.contains(&address) {
                    continue;
                }
                match take(server, &claim.service, address, dry_run).await {
                    Ok(()) => claim.note_address(address, dry_run),
                    Err(Refusal::Failed(status)) => return Err(status),
                    Err(Refusal::Because(why)) => {
                        let detail = format!("failed to allocate IP {text}: {why}");
                        let error = Error::invalid(&Path::new("spec").child("clusterIPs"), shown, detail);
                        return Err(invalid(service, &vec![error]));
                    }
                }
            }
            None => match take_any(server, &claim.service, family, dry_run).await {
                Ok(address) => {
                    claim.note_address(address, dry_run);
                    *slot = address.to_string().into();
                }
                Err(Refusal::Failed(status)) => return Err(status),
                Err(Refusal::Because(why)) => {
                    return Err(Status::internal(format!("failed to allocate a serviceIP: {why}")));
                }
            },
        }
    }
    if let Some(first) = addresses.first().cloned() {
        service.set_at(&["spec", "clusterIP"], first);
    }
    service.set_at(&["spec", "clusterIPs"], Value::Array(addresses));
    Ok(())
}

impl Claim {
    fn note_address(&mut self, address: IpAddr, dry_run: bool) {
        if !dry_run {
            self.taken.addresses.push(address);
        }
    }
}

/// Takes the address that somebody chose.
async fn take(server: &Server, service: &str, address: IpAddr, dry_run: bool) -> Result<(), Refusal> {
    let ranges = ready(server, family(address.is_ipv4()), |range| range.contains(address)).await?;
    if !ranges.iter().any(|range| range.contains(address)) {
        return Err(Refusal::Because(match ranges.first() {
            // A trial asks any range.
            Some(range) if dry_run => {
                let network = range.network();
                format!("the provided IP ({address}) is not in the valid range. The range of valid IPs is {network}")
            }
            _ => NOWHERE.to_owned(),
        }));
    }
    if dry_run {
        return Ok(());
    }
    let cidr = ranges.iter().find(|range| range.contains(address)).map(|range| range.network().to_string());
    let (cidr, begun) = (cidr.unwrap_or_default(), server.clock.instant());
    let made = take_free(server, service, address).await;
    match &made {
        Ok(()) => server.allocator.metrics.address_given(&cidr, Scope::Static, begun.elapsed()),
        Err(_) => server.allocator.metrics.address_refused(&cidr, Scope::Static),
    }
    made
}

/// Takes an address of a range, unless somebody has it.
async fn take_free(server: &Server, service: &str, address: IpAddr) -> Result<(), Refusal> {
    let is_used = || server.allocator.known.lock().is_used_by_other(address, service);
    if is_used() {
        server.cacher.catch_up().await.map_err(Refusal::Failed)?;
        if is_used() {
            return Err(Refusal::Because(TAKEN.to_owned()));
        }
    }
    match make(server, service, address).await {
        Ok(()) => Ok(()),
        Err(status) if status.code == 409 => Err(Refusal::Because(TAKEN.to_owned())),
        Err(status) => Err(Refusal::Failed(status)),
    }
}

/// Takes any free address of a family. A trial gives that of the network, which is nobody's.
async fn take_any(server: &Server, service: &str, family: &str, dry_run: bool) -> Result<IpAddr, Refusal> {
    let ranges = ready(server, family, |_| true).await?;
    if let Some(range) = ranges.first().filter(|_| dry_run) {
        return Ok(range.network().addr());
    }
    if let Some(address) = search(server, service, &ranges).await? {
        return Ok(address);
    }
    // Some may be free again by now.
    server.cacher.catch_up().await.map_err(Refusal::Failed)?;
    let found = search(server, service, &ranges).await?;
    if found.is_none() {
        let cidrs = ranges.iter().map(|range| range.network().to_string());
        cidrs.for_each(|cidr| server.allocator.metrics.address_refused(&cidr, Scope::Dynamic));
    }
    found.ok_or_else(|| Refusal::Because(FULL.to_owned()))
}

async fn search(server: &Server, service: &str, ranges: &[Range]) -> Result<Option<IpAddr>, Refusal> {
    let allocator = &server.allocator;
    let metrics = &allocator.metrics;
    for range in ranges {
        let (cidr, begun) = (range.network().to_string(), server.clock.instant());
        let mut candidates = range.candidates(&allocator.random);
        while let Some(address) = candidates.find(|address| !allocator.known.lock().is_taken(*address)) {
            match make(server, service, address).await {
                Ok(()) => {
                    metrics.address_given(&cidr, Scope::Dynamic, begun.elapsed());
                    return Ok(Some(address));
                }
                // Another server was faster.
                Err(status) if status.code == 409 => {}
                Err(status) => {
                    metrics.address_refused(&cidr, Scope::Dynamic);
                    return Err(Refusal::Failed(status));
                }
            }
        }
    }
    Ok(None)
}

/// The ranges of a family that may be used. When none of them will do, they are looked at once more after the cache was
/// brought up to date.
async fn ready(server: &Server, family: &str, will_do: impl Fn(&Range) -> bool) -> Result<Vec<Range>, Refusal> {
    let ranges = server.allocator.known.lock().ready(family);
    if ranges.iter().any(will_do) {
        return Ok(ranges);
    }
    server.cacher.catch_up().await.map_err(Refusal::Failed)?;
    Ok(server.allocator.known.lock().ready(family))
}

/// Makes the IPAddress by which `service` (namespace/name) has the address.
///
/// # Errors
/// 409 when there is one already.
pub async fn make(server: &Server, service: &str, address: IpAddr) -> Result<(), Status> {
    let objects = ip_addresses(server);
    let (namespace, name) = service.split_once('/').unwrap_or(("", service));
    let mut object = value!({
        "kind": (objects.kind.kind),
        "apiVersion": (objects.kind.api_version()),
        "metadata": {"name": (address.to_string())},
        "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": name}}
    });
    meta::set_label(&mut object, FAMILY_LABEL, family(address.is_ipv4()));
    meta::set_label(&mut object, MANAGED_BY.0, MANAGED_BY.1);
    let now = server.clock.now();
    meta::set_uid(&mut object, &server.random.uuid());
    meta::set_creation_timestamp(&mut object, now);
    ownership::of_server(server, objects.kind, &Value::object(), &mut object);
    write::with_context(&User::loopback(), now, |context| objects.kind.prepare_for_create(&mut object, context));
    codec::settle(objects.kind, &mut object);
    objects.create(object, false).await.map(drop)
}

/// Deletes the IPAddress by which `service` (namespace/name) has the address, if it does.
///
/// # Errors
/// When the store does not answer.
pub async fn release(server: &Server, service: &str, address: IpAddr) -> Result<(), Status> {
    let (objects, name) = (ip_addresses(server), address.to_string());
    let Some(stored) = objects.find("", &name).await? else { return Ok(()) };
    let part = |field: &str| stored.object.str_at(&["spec", "parentRef", field]).unwrap_or_default();
    if format!("{}/{}", part("namespace"), part("name")) != service || part("resource") != "services" {
        return Ok(());
    }
    remove(server, &name).await
}

/// Deletes an IPAddress.
///
/// # Errors
/// When the store does not answer; that there is none is no error.
pub async fn remove(server: &Server, name: &str) -> Result<(), Status> {
    match delete_object(server, ip_addresses(server).kind, "", name, &DeleteOptions::default()).await {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}
