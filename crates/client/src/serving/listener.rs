//! The socket: takes connections, and hands their requests on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Clock, Tasks};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Error, Peer, Settings, tls};
use crate::Body;

/// Who connects and then says nothing is let go after this.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Between attempts when the machine has no room for another connection.
const PAUSE: Duration = Duration::from_secs(1);

/// A server that listens, and serves when it is run.
pub struct Listener {
    socket: TcpListener,
    acceptor: TlsAcceptor,
    limit: usize,
    clock: Clock,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// The address is taken, a certificate cannot be read.
    pub async fn bind(settings: &Settings, clock: Clock) -> Result<Self, Error> {
        let (acceptor, address) = (tls::acceptor(settings)?, settings.bind);
        let socket = TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
        Ok(Self { socket, acceptor, limit: settings.connections, clock })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Answers requests with `answer` until cancelled; `name` is that of the connections' tasks.
    pub async fn run<A, F>(self, name: &'static str, cancel: CancellationToken, answer: A)
    where
        A: Fn(Arc<Peer>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut connections = Tasks::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                _ended = connections.join_next(), if connections.len() >= self.limit => continue,
                accepted = self.socket.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, name, "a connection cannot be accepted");
                    let _stopping = cancel.run_until_cancelled(self.clock.sleep(PAUSE)).await;
                    continue;
                }
            };
            let work = connection(stream, self.acceptor.clone(), self.clock.clone(), answer.clone());
            let cancel = cancel.clone();
            connections.spawn(name, async move {
                let _stopping = cancel.run_until_cancelled(work).await;
            });
        }
        connections.join_all().await;
    }
}

async fn connection<A, F>(stream: TcpStream, acceptor: TlsAcceptor, clock: Clock, answer: A)
where
    A: Fn(Arc<Peer>, Request<Incoming>) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let Ok(Ok(stream)) = clock.timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await else { return };
    let peer = Arc::new(Peer::of(&stream));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answered = answer(peer.clone(), request);
        async move { Ok::<Response<Body>, Infallible>(answered.await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}
