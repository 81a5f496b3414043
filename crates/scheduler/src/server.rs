//! The scheduler's own HTTPS server: health for everybody, metrics for those whom the API server lets.

mod access;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{CancellationToken, Tasks};
use client::{Body, Client, full};
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::metrics::Metrics;
use access::{Access, Peer};

/// So many connections at a time; more wait to be accepted.
const CONNECTION_LIMIT: usize = 200;

/// How the server is reached and whom it believes.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Where it listens.
    pub bind: SocketAddr,
    /// Certificate and key; without them it makes its own.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Who signs clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// Paths that need no authorization; a `*` at the end stands for anything.
    pub open_paths: Vec<String>,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("the server's certificates: {0}")]
    Certificate(String),
}

/// What the server tells.
#[derive(Default)]
pub struct Health {
    ready: AtomicBool,
}

impl Health {
    /// The scheduler works, or waits for its turn to.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// The server, listening.
pub struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
}

struct Shared {
    access: Access,
    open_paths: Vec<String>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl Server {
    /// Begins to listen. `authentication` is asked who a token's holder is, `authorization` what they may.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn bind(
        options: ServerOptions,
        (authentication, authorization): (Client, Client),
        clock: base::Clock,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Result<Self, ServerError> {
        let acceptor = tls::acceptor(&options)?;
        let address = options.bind;
        let listener = TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
        let access = Access::new(authentication, authorization, clock);
        let shared = Arc::new(Shared { access, open_paths: options.open_paths, metrics, health });
        Ok(Self { listener, acceptor, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let mut connections = Tasks::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ended = connections.join_next(), if connections.len() >= CONNECTION_LIMIT => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let work = connection(stream, self.acceptor.clone(), self.shared.clone());
            let cancel = cancel.clone();
            connections.spawn("scheduler connection", async move {
                let _stopping = cancel.run_until_cancelled(work).await;
            });
        }
        connections.join_all().await;
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let peer = Arc::new(Peer::of(&stream));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (shared, peer) = (shared.clone(), peer.clone());
        async move { Ok::<Response<Body>, Infallible>(shared.answer(&peer, &request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the scheduler broke");
    }
}

impl Shared {
    async fn answer<B>(&self, peer: &Peer, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        if !self.is_open(path)
            && let Err((code, message)) = self.access.check(peer, request).await
        {
            return text(code, message);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n".to_owned());
        }
        match path {
            "/healthz" | "/livez" => text(StatusCode::OK, "ok".to_owned()),
            "/readyz" if self.health.is_ready() => text(StatusCode::OK, "ok".to_owned()),
            "/readyz" => {
                let message = "[+]ping ok\n[-]sched-handler-sync failed: reason withheld\nreadyz check failed\n";
                text(StatusCode::INTERNAL_SERVER_ERROR, message.to_owned())
            }
            "/metrics" => text(StatusCode::OK, self.metrics.text()),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        self.open_paths.iter().any(|open| match open.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == open,
        })
    }
}

fn text(code: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = code;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}
