//! The kubelet's own HTTPS server: logs, commands, ports, pods; for the API server and for those whom it lets.

mod access;
mod answer;
mod container_logs;
mod route;
mod streams;
mod tls;
mod tunnel;

use std::convert::Infallible;
use std::sync::Arc;

use base::{CancellationToken, Tasks};
use client::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::access::{Access, Peer};
use crate::error::Error;
use crate::node::Node;
use crate::options::KubeletOptions;

/// So many connections at a time; more wait to be accepted.
const CONNECTION_LIMIT: usize = 1000;

/// The server, listening.
pub(crate) struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    pub(crate) async fn bind(
        options: &KubeletOptions,
        name: &str,
        addresses: &[std::net::IpAddr],
    ) -> Result<Self, Error> {
        let acceptor = tls::acceptor(options, name, addresses)?;
        let listener = TcpListener::bind(options.bind).await;
        let listener = listener.map_err(|source| Error::Listen { address: options.bind, source })?;
        Ok(Self { listener, acceptor })
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().map_or(0, |address| address.port())
    }

    /// Serves until cancelled.
    pub(crate) async fn run(self, node: Arc<Node>, node_name: String) {
        let cancel = node.cancel().clone();
        let access = Arc::new(Access::new(node.client().clone(), node.clock().clone(), node_name));
        let mut connections = Tasks::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ended = connections.join_next(), if connections.len() >= CONNECTION_LIMIT => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let work = connection(stream, self.acceptor.clone(), node.clone(), access.clone());
            let cancel = cancel.clone();
            connections.spawn("kubelet connection", async move {
                let _stopping = cancel.run_until_cancelled(work).await;
            });
        }
        connections.join_all().await;
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, node: Arc<Node>, access: Arc<Access>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let peer = Arc::new(Peer::of(&stream));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (node, access, peer) = (node.clone(), access.clone(), peer.clone());
        async move { Ok::<Response<Body>, Infallible>(answer(&node, &access, &peer, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the kubelet broke");
    }
}

async fn answer(node: &Arc<Node>, access: &Access, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    match access.check(peer, &request).await {
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
