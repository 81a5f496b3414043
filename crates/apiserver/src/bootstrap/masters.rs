//! Where API servers are reached: every server keeps a lease on its address, and all write the endpoints of the service
//! `kubernetes` from the leases that there are. Stock servers on the same store do the same with the same keys.

use std::net::IpAddr;
use std::time::Duration;

use base::CancellationToken;
use machinery::{Status, Value, json, value};
use store::{Change, Error, Expect, Range};

use super::{Settings, cluster, ensure};
use crate::server::Server;
use crate::{ApiServer, storage};

/// Where the leases are, each under its address.
const LEASES: &str = "/registry/masterleases/";

/// How long a server that fell silent is still announced.
const LEASE: Duration = Duration::from_secs(15);

/// How often the lease is renewed and the endpoints are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// Keeps the server announced until `stop`, and then takes it out at once.
pub async fn keep(server: ApiServer, settings: Settings, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = server.server.clock.sleep(INTERVAL) => {}
        }
        let objects = cluster::service_range(&settings).into_iter().chain([cluster::service(&settings)]);
        let kept = async {
            ensure(&server, objects.collect()).await?;
            announce(&server, &settings).await
        };
        complain(kept.await);
    }
    complain(withdraw(&server, &settings).await);
}

/// Renews the lease and writes the endpoints. A server that listens on the loopback, which no pod can reach, is not
/// announced.
///
/// # Errors
/// When the store does not answer.
pub async fn announce(server: &ApiServer, settings: &Settings) -> Result<(), Status> {
    let Some(address) = announced(settings) else { return Ok(()) };
    renew(&server.server, address).await?;
    let addresses = leased(&server.server).await?;
    if addresses.is_empty() {
        // We have just put one there.
        return Err(Status::internal(
            "no API server IP addresses were listed in storage, refusing to erase all endpoints for the kubernetes Service",
        ));
    }
    ensure(server, endpoints(&addresses, settings.secure_port)).await
}

/// Gives the lease back and takes the address out of the endpoints.
async fn withdraw(server: &ApiServer, settings: &Settings) -> Result<(), Status> {
    let Some(address) = announced(settings) else { return Ok(()) };
    let removed = server.server.store.write(&key(address), Expect::Any, Change::Delete).await;
    removed.map_err(|error| storage::failure(&error))?;
    let addresses = leased(&server.server).await?;
    ensure(server, endpoints(&addresses, settings.secure_port)).await
}

fn complain(done: Result<(), Status>) {
    if let Err(status) = done {
        tracing::warn!(error = status.message, "unable to sync kubernetes service");
    }
}

fn announced(settings: &Settings) -> Option<IpAddr> {
    let address = settings.advertise_address;
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

fn key(address: IpAddr) -> String {
    format!("{LEASES}{address}")
}

/// The lease is an Endpoints of one address; each renewal counts its generation up.
async fn renew(server: &Server, address: IpAddr) -> Result<(), Status> {
    let key = key(address);
    loop {
        let (entry, _) = server.store.get(&key, None).await.map_err(|error| storage::failure(&error))?;
        let (expect, before) = match entry {
            Some(entry) => (Expect::Revision(entry.revision), json::parse(&entry.value).unwrap_or_default()),
            None => (Expect::Absent, Value::object()),
        };
        let generation = before.int_at(&["metadata", "generation"]).unwrap_or(0) + 1;
        let lease = value!({
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {"generation": generation},
            "subsets": [{"addresses": [{"ip": (address.to_string())}]}]
        });
        let change = Change::Put { value: storage::encode(&lease), ttl: Some(LEASE) };
        match server.store.write(&key, expect, change).await {
            Ok(_) => return Ok(()),
            // It ran out, or another server announces the same address.
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(storage::failure(&error)),
        }
    }
}

/// The addresses under lease, in the order of their keys.
async fn leased(server: &Server) -> Result<Vec<IpAddr>, Status> {
    let found = server.store.range(Range::prefix(LEASES), None).await.map_err(|error| storage::failure(&error))?;
    let addresses = found.entries.iter().filter_map(|entry| {
        let lease = json::parse(&entry.value).ok()?;
        let [subset, ..] = lease.items_at(&["subsets"]) else { return None };
        let [address, ..] = subset.items_at(&["addresses"]) else { return None };
        address.str_at(&["ip"])?.parse().ok()
    });
    Ok(addresses.collect())
}

/// Where the servers listen, in both forms.
fn endpoints(addresses: &[IpAddr], port: u16) -> Vec<Value> {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let ports = value!([{"name": "https", "port": (i64::from(port)), "protocol": "TCP"}]);
    let family = if addresses.iter().any(IpAddr::is_ipv4) || addresses.is_empty() { "IPv4" } else { "IPv6" };
    let subset = || {
        let addresses: Vec<Value> = texts.iter().map(|ip| value!({"ip": (ip.as_str())})).collect();
        value!({"addresses": addresses, "ports": (ports.clone())})
    };
    let subsets: Vec<Value> = if texts.is_empty() { Vec::new() } else { vec![subset()] };
    let endpoint = |ip: &String| value!({"addresses": [(ip.as_str())], "conditions": {"ready": true}});
    vec![
        value!({
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}
            },
            "subsets": subsets
        }),
        value!({
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"}
            },
            "addressType": family,
            "endpoints": (texts.iter().map(endpoint).collect::<Vec<Value>>()),
            "ports": (if texts.is_empty() { Value::Array(Vec::new()) } else { ports.clone() })
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let shown = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            endpoints(&addresses, 6443).iter().map(json::to_string).collect::<Vec<_>>().join("\n")
        };
        expect_test::expect![[r#"
            {"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"kubernetes","namespace":"default","labels":{"endpointslice.kubernetes.io/skip-mirror":"true"}},"subsets":[{"addresses":[{"ip":"192.0.2.7"},{"ip":"192.0.2.8"}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}]}
            {"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"kubernetes","namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","endpoints":[{"addresses":["192.0.2.7"],"conditions":{"ready":true}},{"addresses":["192.0.2.8"],"conditions":{"ready":true}}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}"#]]
        .assert_eq(&shown(&["192.0.2.7", "192.0.2.8"]));
        expect_test::expect![[r#"
            {"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"kubernetes","namespace":"default","labels":{"endpointslice.kubernetes.io/skip-mirror":"true"}},"subsets":[]}
            {"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"kubernetes","namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","endpoints":[],"ports":[]}"#]]
        .assert_eq(&shown(&[]));
    }
}
