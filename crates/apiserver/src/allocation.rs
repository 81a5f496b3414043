//! Addresses and node ports of services, each given to one service only, whichever server of a store gives them.
//!
//! An address is taken by making its IPAddress object (KEP-1880), a port by setting its bit in the RangeAllocation that
//! all servers share. Both happen before the service is stored and are undone after it is gone; what a crash leaves
//! behind in between is found by [`repair`].
//!
//! Invariant: what the cache shows of services, IPAddresses and ServiceCIDRs ([`known::Known`]) only suggests what is
//! free. Whether it is, the store decides.

mod addresses;
mod bitmap;
mod families;
mod known;
mod metrics;
mod port_range;
mod ports;
mod range;
pub mod repair;

use base::Random;
use ipnet::IpNet;
use kinds::Kind;
use machinery::field::Errors;
use machinery::status::In;
use machinery::{Status, Value, meta};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cache::Observer;
use crate::objects::Objects;
use crate::options::DeleteOptions;
use crate::server::Server;
use crate::verbs::delete::delete_object;
use known::{Known, Share};
use metrics::Metrics;
pub use port_range::{PortRange, WrongPortRange};
use ports::Ports;

/// Hands out addresses and ports.
pub struct Allocator {
    /// `IPv4`, `IPv6` or both; a service that does not care gets the first.
    families: Vec<&'static str>,
    random: Random,
    known: Mutex<Known>,
    ports: Ports,
    metrics: Metrics,
    /// Rung when something was seen that should not be.
    wrong: Notify,
}

/// What a write took for its service, and what the service no longer has once the write is done.
#[derive(Debug)]
#[must_use = "it is kept or given back"]
pub struct Claim {
    service: String,
    taken: Share,
    freed: Share,
}

impl Allocator {
    /// Hands out addresses of the families of `ranges`, the first of which is preferred, and ports of `node_ports`.
    #[must_use]
    pub fn new(ranges: &[IpNet], node_ports: PortRange, random: Random) -> Self {
        Self {
            families: ranges.iter().map(|range| family(range.addr().is_ipv4())).collect(),
            random,
            known: Mutex::default(),
            ports: Ports::of(node_ports),
            metrics: Metrics::new(),
            wrong: Notify::new(),
        }
    }
}

impl Observer for Allocator {
    fn wants(&self, kind: &Kind) -> bool {
        matches!((kind.group, kind.plural), ("", "services") | ("networking.k8s.io", "ipaddresses" | "servicecidrs"))
    }

    fn observe(&self, kind: &Kind, namespace: &str, name: &str, object: Option<&Value>) {
        let mut known = self.known.lock();
        let is_right = match kind.plural {
            "services" => known.service(&format!("{namespace}/{name}"), object),
            "ipaddresses" => known.address(name, object),
            _ => known.range(name, object),
        };
        drop(known);
        if !is_right {
            self.wrong.notify_one();
        }
    }
}

/// Gives `service`, which was `old` before, what its type needs and it does not have. A trial takes nothing.
///
/// # Errors
/// What it asks for is taken or out of range, nothing is left, or the store does not answer.
pub async fn allocate(
    server: &Server,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Claim, Status> {
    families::fill_in(service, old, &server.allocator.families).map_err(|errors| invalid(service, &errors))?;
    let mut claim = Claim { service: key_of(service), taken: Share::default(), freed: Share::default() };
    let mut given = addresses::give(server, service, old, dry_run, &mut claim).await;
    if given.is_ok() {
        given = ports::give(server, service, old, dry_run, &mut claim).await;
    }
    if let Err(status) = given {
        claim.give_back(server).await;
        return Err(status);
    }
    if let Some(old) = old.filter(|_| !dry_run) {
        claim.freed = Share::of(old).without(&Share::of(service));
    }
    Ok(claim)
}

impl Claim {
    /// The outcome of the write for which this was taken decides: stored, the service has it; refused, it is given back.
    /// When nobody knows, the repair will find out.
    pub async fn settle<T>(self, server: &Server, written: &Result<T, Status>) {
        match written {
            Ok(_) => release(server, &self.service, &self.freed).await,
            Err(status) if status.code < 500 => self.give_back(server).await,
            Err(_) => {}
        }
    }

    /// Gives back what was taken.
    pub async fn give_back(self, server: &Server) {
        release(server, &self.service, &self.taken).await;
    }
}

/// A service is gone, and so are its addresses, its ports and its Endpoints: whoever makes one of its name does not
/// inherit them.
pub async fn gone(server: &Server, service: &Value) {
    release(server, &key_of(service), &Share::of(service)).await;
    let Some(endpoints) = kinds::lookup("", "v1", "endpoints") else { return };
    let (namespace, name) = (meta::namespace(service), meta::name(service));
    match delete_object(server, endpoints, namespace, name, &DeleteOptions::default()).await {
        Err(status) if status.code != 404 => {
            tracing::error!(namespace, name, error = status.message, "the endpoints of a deleted service stay");
        }
        _ => {}
    }
}

/// Whether objects of this kind have addresses and ports.
#[must_use]
pub fn concerns(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.kind == "Service"
}

async fn release(server: &Server, service: &str, share: &Share) {
    for address in &share.addresses {
        if let Err(status) = addresses::release(server, service, *address).await {
            tracing::warn!(service, %address, error = status.message, "an address was not released");
        }
    }
    if let Err(status) = ports::release(server, &share.ports).await {
        tracing::warn!(service, error = status.message, "node ports were not released");
    }
}

/// The objects that stand for addresses.
fn ip_addresses(server: &Server) -> Objects<'_> {
    let kind = kinds::lookup("networking.k8s.io", "v1", "ipaddresses").expect("the kind is built in");
    Objects::new(server, kind)
}

fn key_of(service: &Value) -> String {
    format!("{}/{}", meta::namespace(service), meta::name(service))
}

fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "IPv4" } else { "IPv6" }
}

fn invalid(service: &Value, errors: &Errors) -> Status {
    Status::invalid(In { group: "", name: "Service" }, meta::name(service), errors)
}
