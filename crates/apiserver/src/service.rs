//! The server as a whole: started, asked in process, served over TLS, stopped.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::{CancellationToken, Clock, Random};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use rustls::ServerConfig;
use store::Store;
use tokio::net::TcpListener;

use crate::pipeline;
use crate::reply::{Body, BoxError};
use crate::server::{Options, Server};

/// The API server. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct ApiServer {
    /// Its parts.
    pub server: Arc<Server>,
}

impl ApiServer {
    /// Reads what is stored; [`ApiServer::run`] keeps it up to date.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn start(
        store: Arc<dyn Store>,
        options: Options,
        access: crate::access::Settings,
        clock: Clock,
        random: Random,
    ) -> Result<(Self, store::Revision), store::Error> {
        let server = Arc::new(Server::new(store, options, access, clock, random));
        let loaded = server.cacher.load().await?;
        Ok((Self { server }, loaded))
    }

    /// Follows the store's changes, compacts its history and repairs what services were given, from `loaded` on until
    /// `stop`.
    pub async fn run(&self, loaded: store::Revision, stop: CancellationToken) {
        let follow = self.server.cacher.clone().run(loaded, stop.clone());
        let compact = crate::compaction::run(self.server.clone(), stop.clone());
        let repair = crate::allocation::repair::run(self.clone(), stop.clone());
        tokio::join!(follow, compact, repair);
        self.server.stop.cancel();
    }

    /// Serves a socket until `stop`, then lets requests finish.
    pub async fn serve_tls(&self, listener: TcpListener, config: Arc<ServerConfig>, stop: CancellationToken) {
        crate::http::serve_tls(self.server.clone(), listener, config, stop).await;
    }
}

impl<B> tower::Service<Request<B>> for ApiServer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(async move { Ok(pipeline::handle(server, request).await) })
    }
}
