//! The server's socket: TLS, HTTP/1.1 and HTTP/2, and an end that lets requests finish.

mod gather;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Tasks};
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub use gather::Gather;

use crate::pipeline;
use crate::reply::{Body, Reply};
use crate::server::Server;

/// A client has this long for its TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A connection that sends no complete request head for this long is closed.
const HEAD_LIMIT: Duration = Duration::from_secs(32);

/// Streams at a time in one HTTP/2 connection, as upstream's default.
const MAX_STREAMS: u32 = 100;

/// The wait after a failed accept (out of file descriptors, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The cryptography of the socket. AES with 128 bits comes first, as in Go: it is a third faster, and a list is little
/// else than encryption.
#[must_use]
pub fn cryptography() -> Arc<CryptoProvider> {
    use rustls::CipherSuite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        TLS13_AES_128_GCM_SHA256 => 0,
        TLS13_AES_256_GCM_SHA384 => 1,
        _ => 2,
    });
    Arc::new(provider)
}

/// What is known of the connection that a request came by.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it came from.
    pub address: SocketAddr,
    /// The certificates that the client showed, its own first; TLS has checked them against the client CA.
    pub certificates: Arc<Vec<CertificateDer<'static>>>,
}

/// Serves until `stop`; then ends watches, lets other requests finish and returns.
pub async fn serve_tls(server: Arc<Server>, listener: TcpListener, config: Arc<ServerConfig>, stop: CancellationToken) {
    let acceptor = TlsAcceptor::from(config);
    let mut connections = Tasks::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let work = tls(server.clone(), acceptor.clone(), stream, address, stop.clone());
                connections.spawn("connection", work);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                server.clock.sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    server.stop.cancel();
    connections.join_all().await;
}

async fn tls(
    server: Arc<Server>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a socket without TCP_NODELAY");
    }
    match server.clock.timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = Arc::new(shown.iter().map(|one| one.clone().into_owned()).collect());
            connection(server, Gather::new(stream), Peer { address, certificates }, stop).await;
        }
        Ok(Err(error)) => {
            server.metrics.tls_failures.inc();
            tracing::debug!(%address, %error, "TLS handshake error");
        }
        Err(_) => {
            server.metrics.tls_failures.inc();
            tracing::debug!(%address, "TLS handshake timed out");
        }
    }
}

async fn connection<S>(server: Arc<Server>, stream: S, peer: Peer, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let server = server.clone();
        async move { Ok::<Reply, std::convert::Infallible>(pipeline::handle(server, request.map(body)).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}

fn body(incoming: Incoming) -> Body {
    incoming.map_err(Into::into).boxed_unsync()
}
