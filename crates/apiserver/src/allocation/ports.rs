//! Takes and releases node ports: one compare-and-write of the shared [`Bitmap`] for all ports of a service.

use kinds::core::service::{needs_health_check_port, needs_node_ports};
use machinery::field::{Error, Path};
use machinery::{Status, Value};
use parking_lot::Mutex;
use store::{Change, Entry, Expect, Revision};
use tokio::sync::Semaphore;

use super::bitmap::Bitmap;
use super::known::Share;
use super::metrics::Scope;
use super::port_range::PortRange;
use super::{Claim, invalid};
use crate::server::Server;
use crate::storage;

/// Where the bitmap is.
const KEY: &str = "/registry/ranges/servicenodeports";

/// A trial is told ports from here on: outside of the range, so that nobody takes them for real.
const TRIAL: u16 = 32_768;

const FULL: &str = "range is full";
const TAKEN: &str = "provided port is already allocated";

/// The bitmap as this server last saw it.
pub struct Ports {
    /// What there is to be given.
    pub range: PortRange,
    latest: Mutex<Option<Shared>>,
    /// One change at a time; others' changes are found by comparing.
    turn: Semaphore,
}

impl Ports {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn of(range: PortRange) -> Self {
        Self { range, latest: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// How many were taken when this server last saw them.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.latest.lock().as_ref().map(|seen| seen.bitmap.count())
    }
}

/// Why a service gets no port.
struct Refusal {
    /// How the port was to be chosen; `None` when the store did not answer.
    scope: Option<Scope>,
    status: Status,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { scope: None, status }
    }
}

/// The bitmap, and what must be true of its key for it still to be so.
#[derive(Debug, Clone)]
pub struct Shared {
    expect: Expect,
    /// What is taken.
    pub bitmap: Bitmap,
}

/// Gives `service`, which was `old` before, the node ports that its type needs.
///
/// # Errors
/// 422 when a port that it asks for cannot be had, 500 when none is left.
pub async fn give(
    server: &Server,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
    claim: &mut Claim,
) -> Result<(), Status> {
    if !needs_any(service, old) {
        return Ok(());
    }
    let kept = old.map(Share::of).unwrap_or_default().ports;
    let assign = |bitmap: &mut Bitmap| {
        let mut given = service.clone();
        let mut taker = Taker { server, bitmap, kept: &kept, taken: Vec::new(), dry_run };
        taker.node_ports(&mut given, old.is_some())?;
        taker.health_check(&mut given)?;
        Ok((given, taker.taken))
    };
    if dry_run {
        let mut shared = read(server).await?;
        *service = assign(&mut shared.bitmap).map_err(|refusal: Refusal| refusal.status)?.0;
        return Ok(());
    }
    let metrics = &server.allocator.metrics;
    match change(server, assign).await {
        Ok((given, taken)) => {
            taken.iter().for_each(|(_, scope)| metrics.port_given(*scope));
            (*service, claim.taken.ports) = (given, taken.into_iter().map(|(port, _)| port).collect());
            Ok(())
        }
        Err(refusal) => {
            refusal.scope.into_iter().for_each(|scope| metrics.port_refused(scope));
            Err(refusal.status)
        }
    }
}

/// Gives ports back.
///
/// # Errors
/// When the store does not answer.
pub async fn release(server: &Server, ports: &[u16]) -> Result<(), Status> {
    if ports.is_empty() {
        return Ok(());
    }
    let give_back = |bitmap: &mut Bitmap| -> Result<(), Status> {
        ports.iter().for_each(|port| bitmap.release(*port));
        Ok(())
    };
    change(server, give_back).await
}

/// The bitmap as it is now. What services have is taken where nothing is stored yet.
///
/// # Errors
/// When the store does not answer.
pub async fn read(server: &Server) -> Result<Shared, Status> {
    let (entry, _) = server.store.get(KEY, None).await.map_err(|error| storage::failure(&error))?;
    interpret(server, entry).await
}

/// Stores `bitmap` if nobody changed it since `seen`; whether that was so.
///
/// # Errors
/// When the store does not answer.
pub async fn replace(server: &Server, seen: &Shared, bitmap: Bitmap) -> Result<bool, Status> {
    match server.store.write(KEY, seen.expect, Change::put(bitmap.encode())).await {
        Ok(revision) => {
            *server.allocator.ports.latest.lock() = Some(Shared { expect: Expect::Revision(revision), bitmap });
            Ok(true)
        }
        Err(store::Error::Conflict { .. }) => Ok(false),
        Err(error) => {
            *server.allocator.ports.latest.lock() = None;
            Err(storage::failure(&error))
        }
    }
}

impl Shared {
    /// Whether there is nothing stored that says so.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.expect == Expect::Absent
    }
}

/// Changes the bitmap. What was seen last is tried first; `work` is asked again when that is no longer so, and before
/// its refusal counts.
async fn change<T, E: From<Status>>(server: &Server, work: impl Fn(&mut Bitmap) -> Result<T, E>) -> Result<T, E> {
    let ports = &server.allocator.ports;
    let _turn = ports.turn.acquire().await.map_err(|closed| E::from(Status::internal(closed)))?;
    let mut remembered = ports.latest.lock().clone();
    loop {
        let is_fresh = remembered.is_none();
        let seen = match remembered.take() {
            Some(seen) => seen,
            None => read(server).await?,
        };
        let mut bitmap = seen.bitmap.clone();
        let answer = work(&mut bitmap);
        let is_same = bitmap == seen.bitmap;
        if !is_fresh && (is_same || answer.is_err()) {
            continue;
        }
        let answer = answer?;
        if is_same || replace(server, &seen, bitmap).await? {
            return Ok(answer);
        }
    }
}

async fn interpret(server: &Server, entry: Option<Entry>) -> Result<Shared, Status> {
    let expect = entry.as_ref().map_or(Expect::Absent, |entry| Expect::Revision(Revision(entry.revision.0)));
    let range = server.allocator.ports.range;
    if let Some(bitmap) = entry.and_then(|entry| Bitmap::decode(range, &entry.value)) {
        return Ok(Shared { expect, bitmap });
    }
    server.cacher.catch_up().await?;
    let bitmap = Bitmap::of(range, server.allocator.known.lock().used_ports());
    Ok(Shared { expect, bitmap })
}

/// Whether the service has a port that it did not have, or is to get one.
fn needs_any(service: &Value, old: Option<&Value>) -> bool {
    let before = old.map(Share::of).unwrap_or_default();
    let health = service.int_at(&["spec", "healthCheckNodePort"]).unwrap_or(0);
    let is_balanced = matches!(service.str_at(&["spec", "type"]), Some("NodePort" | "LoadBalancer"));
    let open = service.items_at(&["spec", "ports"]).iter().any(|port| port.int_at(&["nodePort"]).unwrap_or(0) == 0);
    let new = Share::of(service).without(&before).ports;
    (is_balanced && !new.is_empty())
        || (needs_node_ports(service) && open)
        || (needs_health_check_port(service) && health == 0)
}

/// Gives one service its ports.
struct Taker<'a> {
    server: &'a Server,
    bitmap: &'a mut Bitmap,
    /// What the service has already.
    kept: &'a [u16],
    taken: Vec<(u16, Scope)>,
    dry_run: bool,
}

impl Taker<'_> {
    /// On creation, ports of one number (DNS over UDP and TCP) share a node port.
    fn node_ports(&mut self, service: &mut Value, is_update: bool) -> Result<(), Refusal> {
        if !matches!(service.str_at(&["spec", "type"]), Some("NodePort" | "LoadBalancer")) {
            return Ok(());
        }
        let (chooses, count) = (needs_node_ports(service), service.items_at(&["spec", "ports"]).len());
        let mut of_port: Vec<(i64, u16)> = Vec::new();
        for i in 0..count {
            let port = &service.items_at(&["spec", "ports"])[i];
            let number = port.int_at(&["port"]).unwrap_or_default();
            let asked = port.int_at(&["nodePort"]).filter(|port| *port != 0);
            if asked.is_none() && !chooses {
                continue;
            }
            let shared = of_port.iter().find(|(of, _)| *of == number && !is_update).map(|(_, port)| *port);
            let asked = match (asked, shared) {
                (None, None) if !is_update => requested(service, number),
                (asked, _) => asked,
            };
            let given = match (asked, shared) {
                (None, Some(shared)) => shared,
                (Some(asked), Some(shared)) if asked == i64::from(shared) => shared,
                (Some(asked), _) => self.take(asked).map_err(|why| {
                    let path = Path::new("spec").child("ports").index(i).child("nodePort");
                    Refusal::fixed(invalid(service, &vec![Error::invalid(&path, asked, why)]))
                })?,
                (None, None) => self.take_any().ok_or_else(|| Refusal::full("failed to allocate a nodePort"))?,
            };
            if shared.is_none() {
                of_port.push((number, given));
            }
            let ports = service.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
            if let Some(port) = ports.and_then(|ports| ports.get_mut(i)) {
                port.set_at(&["nodePort"], i64::from(given));
            }
        }
        Ok(())
    }

    fn health_check(&mut self, service: &mut Value) -> Result<(), Refusal> {
        if !needs_health_check_port(service) {
            return Ok(());
        }
        let asked = service.int_at(&["spec", "healthCheckNodePort"]).filter(|port| *port != 0);
        let given = match asked {
            Some(asked) => self.take(asked).map_err(|why| {
                let message = format!("failed to allocate requested HealthCheck NodePort {asked}: {why}");
                Refusal::fixed(Status::internal(message))
            })?,
            None => self.take_any().ok_or_else(|| Refusal::full("failed to allocate a HealthCheck NodePort 0"))?,
        };
        service.set_at(&["spec", "healthCheckNodePort"], i64::from(given));
        Ok(())
    }

    /// Takes the port that somebody chose, unless this service has it: one number may serve several protocols.
    fn take(&mut self, asked: i64) -> Result<u16, String> {
        let range = self.bitmap.range();
        let outside = || format!("provided port is not in the valid range. The range of valid ports is {range}");
        let port = u16::try_from(asked).map_err(|_| outside())?;
        if self.kept.contains(&port) || self.has(port) {
            return Ok(port);
        }
        if !range.contains(port) && !self.dry_run {
            return Err(outside());
        }
        if !self.bitmap.take(port) {
            return Err(TAKEN.to_owned());
        }
        self.taken.push((port, Scope::Static));
        Ok(port)
    }

    fn take_any(&mut self) -> Option<u16> {
        let port = if self.dry_run {
            self.taken.iter().map(|(port, _)| *port).max().unwrap_or(TRIAL).saturating_add(1)
        } else {
            self.bitmap.take_any(&self.server.allocator.random)?
        };
        self.taken.push((port, Scope::Dynamic));
        Some(port)
    }

    fn has(&self, port: u16) -> bool {
        self.taken.iter().any(|(taken, _)| *taken == port)
    }
}

impl Refusal {
    /// Of a port that somebody chose.
    fn fixed(status: Status) -> Self {
        Self { scope: Some(Scope::Static), status }
    }

    /// Of any port.
    fn full(what: &str) -> Self {
        Self { scope: Some(Scope::Dynamic), status: Status::internal(format!("{what}: {FULL}")) }
    }
}

/// The node port that another port of the same number asks for.
fn requested(service: &Value, number: i64) -> Option<i64> {
    let same = service.items_at(&["spec", "ports"]).iter().filter(|port| port.int_at(&["port"]) == Some(number));
    same.filter_map(|port| port.int_at(&["nodePort"])).find(|port| *port != 0)
}
