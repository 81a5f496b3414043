//! The server's life: learn the names, then answer, and follow every change.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{CancellationToken, Clock, Random, Tasks};
use client::{Client, Context, Informer, InformerOptions};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::RwLock;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Notify;

use crate::forward::Forwarder;
use crate::server::Server;
use crate::{Options, Zone, publish};

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A port is taken or forbidden.
    #[error("cluster DNS cannot listen on {address} ({protocol}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Answers until cancelled. Questions that come before the first lists are in wait in the socket.
///
/// # Errors
/// When an address cannot be listened on.
pub async fn run(
    client: Client,
    options: Options,
    clock: Clock,
    random: Random,
    cancel: CancellationToken,
) -> Result<(), DnsError> {
    let mut sockets = Vec::with_capacity(options.listen.len());
    for address in options.listen.iter().copied() {
        let failed = |protocol| move |source| DnsError::Listen { address, protocol, source };
        let udp = UdpSocket::bind(address).await.map_err(failed("UDP"))?;
        sockets.push((udp, TcpListener::bind(address).await.map_err(failed("TCP"))?));
    }
    let zone = Arc::new(RwLock::new(Zone::new(&options.cluster_domain)));
    let context = Context { client, clock: clock.clone(), random: random.clone(), cancel: cancel.clone() };
    let (services, slices, namespaces) = (Informer::new(), Informer::new(), Informer::new());
    let mut tasks = Tasks::new();
    follow(&zone, &services, &slices, &namespaces);
    if let Some(publication) = options.publication.clone() {
        let wake = Arc::new(Notify::new());
        let woken = wake.clone();
        slices.observe(move |change| {
            if publish::concerns(change.key.as_ref()) {
                woken.notify_one();
            }
        });
        tasks.spawn("dns service", publish::keep(context.clone(), publication, wake));
    }
    tasks.spawn("services", services.clone().run(context.clone(), InformerOptions::default()));
    tasks.spawn("endpoint-slices", slices.clone().run(context.clone(), InformerOptions::default()));
    tasks.spawn("namespaces", namespaces.clone().run(context, InformerOptions::default()));
    let synced = async { tokio::join!(services.synced(), slices.synced(), namespaces.synced()) };
    if cancel.run_until_cancelled(synced).await.is_some() {
        let forwarder = Forwarder::new(options, clock.clone(), random);
        let server = Server { zone, forwarder, clock };
        for (udp, tcp) in sockets {
            tasks.spawn("dns-udp", server.clone().serve_udp(udp, cancel.clone()));
            tasks.spawn("dns-tcp", server.clone().serve_tcp(tcp, cancel.clone()));
        }
    }
    tasks.join_all().await;
    Ok(())
}

/// Brings every change into the zone.
fn follow(
    zone: &Arc<RwLock<Zone>>,
    services: &Informer<Service>,
    slices: &Informer<EndpointSlice>,
    namespaces: &Informer<Namespace>,
) {
    let of_services = zone.clone();
    services.observe(move |change| of_services.write().set_service(&change.key, change.new.clone()));
    let of_slices = zone.clone();
    slices.observe(move |change| {
        of_slices.write().set_slice(&change.key, change.old.as_deref(), change.new.clone());
    });
    let of_namespaces = zone.clone();
    namespaces.observe(move |change| of_namespaces.write().set_namespace(&change.key, change.new.is_some()));
}
