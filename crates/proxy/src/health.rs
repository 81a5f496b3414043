//! The proxy's small HTTP servers: health for load balancers and the kubelet's peers, metrics for Prometheus.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{CancellationToken, Clock, Tasks};
use client::full;
use client::serving::exposed;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::Metrics;

/// Connections served at a time; the next waits.
const MAX_CONNECTIONS: usize = 64;

/// How the proxy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// When the kernel last held what it should.
    pub last_updated: Option<Timestamp>,
    /// The last attempt failed.
    pub failing: bool,
    /// The node is going away: load balancers shall send no new traffic.
    pub node_leaving: bool,
}

impl Health {
    fn answer(self, path: &str, now: Timestamp) -> (StatusCode, String) {
        let alive = self.last_updated.is_some() && !self.failing;
        let eligible = !self.node_leaving;
        let healthy = alive && (eligible || path == "/livez");
        let code = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let last = self.last_updated.map_or_else(String::new, |last| last.to_string());
        let eligible = if path == "/healthz" { format!(",\"nodeEligible\": {eligible}") } else { String::new() };
        (code, format!("{{\"lastUpdated\": \"{last}\",\"currentTime\": \"{now}\"{eligible}}}"))
    }
}

/// What the servers show.
#[derive(Clone)]
pub(crate) struct Pages {
    pub health: watch::Receiver<Health>,
    pub metrics: Metrics,
    pub clock: Clock,
}

impl Pages {
    fn answer(&self, path: &str) -> (StatusCode, String) {
        match path {
            "/healthz" | "/livez" => self.health.borrow().answer(path, self.clock.now()),
            "/proxyMode" => (StatusCode::OK, "nftables".to_owned()),
            _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        }
    }
}

/// Serves those of `paths` until cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    paths: &'static [&'static str],
    pages: Pages,
    cancel: CancellationToken,
) {
    let (mut tasks, slots) = (Tasks::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let stream = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection to the health server failed");
                    continue;
                }
            },
        };
        let pages = pages.clone();
        tasks.spawn("proxy-http", async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let path = request.uri().path();
                if path == "/metrics" && paths.contains(&path) {
                    let answer = exposed(pages.metrics.gather(), request.headers());
                    return std::future::ready(Ok::<_, Infallible>(answer));
                }
                let (code, text) = if paths.contains(&path) { pages.answer(path) } else { pages.answer("") };
                let mut response = Response::new(full(text));
                *response.status_mut() = code;
                std::future::ready(Ok(response))
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            drop(slot);
        });
    }
}

/// Takes an address for a server.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}
