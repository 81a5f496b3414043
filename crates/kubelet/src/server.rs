//! The kubelet's own HTTPS server: logs, commands, ports, pods; for the API server and for those whom it lets.

mod access;
mod container_logs;
mod route;
mod streams;
mod tunnel;

use std::sync::Arc;

use base::{CancellationToken, Clock};
use client::Body;
use client::serving::{Delegated, Listener, Peer, Settings, Trust};
use http::{Request, Response};
use hyper::body::Incoming;

use crate::error::Error;
use crate::node::Node;
use crate::options::KubeletOptions;

/// So many connections at a time; more wait to be accepted.
const CONNECTION_LIMIT: usize = 1000;

/// The server, listening.
pub(crate) struct Server(Listener);

impl Server {
    pub(crate) async fn bind(
        options: &KubeletOptions,
        name: &str,
        addresses: &[std::net::IpAddr],
        clock: &Clock,
    ) -> Result<Self, Error> {
        let settings = Settings {
            bind: options.bind,
            certificate: options.tls.clone(),
            names: [name.to_owned()].into_iter().chain(addresses.iter().map(ToString::to_string)).collect(),
            client_ca: options.client_ca.clone(),
            connections: CONNECTION_LIMIT,
        };
        Ok(Self(Listener::bind(&settings, clock.clone()).await?))
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.0.address().map_or(0, |address| address.port())
    }

    /// Serves until cancelled.
    pub(crate) async fn run(self, node: Arc<Node>, node_name: String) {
        let cancel = node.cancel().clone();
        let clients = (node.client().clone(), node.client().clone());
        let access = Arc::new((Delegated::new(clients, node.clock().clone(), Trust::NODE), node_name));
        let answer = move |peer: Arc<Peer>, request: Request<Incoming>| {
            let (node, access) = (node.clone(), access.clone());
            async move { answer(&node, &access, &peer, request).await }
        };
        self.0.run("kubelet connection", cancel, answer).await;
    }
}

async fn answer(
    node: &Arc<Node>,
    (access, name): &(Delegated, String),
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    match access::check(access, name, peer, &request).await {
        Ok(()) => route::route(node, request).await,
        Err(refusal) => refusal,
    }
}

/// Work that outlives the answer to a request, such as an upgraded connection; ends with the node.
fn detach(cancel: &CancellationToken, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let cancel = cancel.clone();
    // The task ends with its connection or the node, whichever is first; nobody waits for it.
    drop(base::spawn(name, async move {
        let _stopping = cancel.run_until_cancelled(work).await;
    }));
}
