//! The way from a component to the API server, on which things go wrong.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use apiserver::ApiServer;
use base::{CancellationToken, Clock};
use client::{Body, BoxError};
use futures::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use machinery::Status;
use machinery::status::In;
use tower::Service;

use crate::faults::{Faults, WriteFault};

/// Burns down with every write of a component; then the component is dead.
#[derive(Debug)]
pub struct Fuse {
    writes_left: AtomicUsize,
    after: bool,
    /// Cancelled when the component crashed.
    pub blown: CancellationToken,
}

impl Fuse {
    /// A fuse for a component that starts now.
    #[must_use]
    pub fn new(faults: &Faults) -> Self {
        let writes_left = AtomicUsize::new(faults.crash().unwrap_or(usize::MAX));
        Self { writes_left, after: faults.crashes_after(), blown: CancellationToken::new() }
    }

    /// Counts a write; whether it is the last one.
    fn burns(&self) -> bool {
        let burn = |left: usize| if left == usize::MAX { None } else { Some(left.saturating_sub(1)) };
        self.writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, burn) == Ok(0)
    }
}

/// A connection of one start of a component.
#[derive(Clone)]
pub struct Wire {
    /// The server at the other end.
    pub server: ApiServer,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// The time.
    pub clock: Clock,
    /// When the component crashes.
    pub fuse: Arc<Fuse>,
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move { wire.carry(request).await })
    }
}

impl Wire {
    async fn carry(mut self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        self.clock.sleep(self.faults.latency()).await;
        if self.fuse.blown.is_cancelled() {
            return dead().await;
        }
        let method = request.method().clone();
        if method == Method::GET {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let answer = self.ask(request).await?;
            return Ok(if is_watch { answer.map(|body| self.watched(body)) } else { answer });
        }
        if self.faults.are_in_force() && self.fuse.burns() {
            if self.fuse.after {
                drop(self.ask(request).await);
            }
            self.fuse.blown.cancel();
            return dead().await;
        }
        let is_update = method == Method::PUT || method == Method::PATCH;
        match self.faults.write(is_update) {
            None => self.ask(request).await,
            Some(WriteFault::Conflict) => Ok(answer(&conflict(&request))),
            Some(WriteFault::Error) => Ok(answer(&Status::internal("a fault of the simulation"))),
            Some(WriteFault::Refused) => Err("connection refused".into()),
            Some(WriteFault::LostAnswer) => {
                drop(self.ask(request).await);
                Err("connection reset by peer".into())
            }
        }
    }

    async fn ask(&mut self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let answer = self.server.call(request).await?;
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// The events of a watch, late or cut off.
    fn watched(&self, body: Body) -> Body {
        let breaks = self.faults.watch_life().map(|life| self.clock.instant() + life);
        let clock = self.clock.clone();
        let broken = async move {
            match breaks {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let stream = stream::unfold(
            (body, Box::pin(broken), self.clone(), false),
            |(mut body, mut broken, wire, over)| async move {
                if over {
                    return None;
                }
                let frame = async {
                    let frame = body.frame().await;
                    if let Some(wait) = wire.faults.hold() {
                        wire.clock.sleep(wait).await;
                    }
                    frame
                };
                let (frame, over) = tokio::select! {
                    biased;
                    () = &mut broken => (wire.faults.breaks_loudly().then(|| Err("connection reset by peer".into())), true),
                    frame = frame => (frame, false),
                };
                frame.map(|frame| (frame, (body, broken, wire, over)))
            },
        );
        StreamBody::new(stream).boxed_unsync()
    }
}

/// A crashed component hears nothing any more.
async fn dead() -> Result<Response<Body>, BoxError> {
    std::future::pending().await
}

fn conflict(request: &Request<Body>) -> Status {
    let mut segments = request.uri().path().rsplit('/');
    let (name, resource) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    Status::conflict(In { group: "", name: resource }, name, why)
}

fn answer(status: &Status) -> Response<Body> {
    let mut answer = Response::new(client::full(machinery::json::to_vec(&status.to_value())));
    *answer.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}
