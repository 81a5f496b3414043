//! A server of one resource, in memory, with watches that a test can disturb.
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use client::Body;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use machinery::{Value, value};
use parking_lot::Mutex;
use tokio::sync::watch;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    /// Revision, kind of event, object.
    log: Vec<(u64, &'static str, Value)>,
    revision: u64,
    compacted: u64,
    /// Watches show nothing after this revision.
    held: Option<u64>,
    cuts: u64,
}

pub(crate) struct Server {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Server {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: watch::Sender::new(0) })
    }

    pub(crate) fn service(
        self: Arc<Self>,
    ) -> impl tower::Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future = BoxFuture<'static, Result<Response<Body>, Infallible>>,
    > + Clone
    + Send
    + Sync
    + 'static {
        tower::service_fn(move |request| self.clone().answer(request).map(Ok).boxed())
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().objects.len()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.state.lock().revision
    }

    /// Ends all watches.
    pub(crate) fn cut(&self) {
        self.state.lock().cuts += 1;
        self.changed.send_modify(|ticks| *ticks += 1);
    }

    /// Forgets all events.
    pub(crate) fn compact(&self) {
        let mut state = self.state.lock();
        state.compacted = state.revision;
        state.log.clear();
        state.cuts += 1;
        drop(state);
        self.changed.send_modify(|ticks| *ticks += 1);
    }

    /// Watches show only the next `events` events until [`Server::release`].
    pub(crate) fn hold(&self, events: u64) {
        let mut state = self.state.lock();
        state.held = Some(state.revision + events);
    }

    pub(crate) fn release(&self) {
        self.state.lock().held = None;
        self.changed.send_modify(|ticks| *ticks += 1);
    }

    async fn answer(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let name = head.uri.path().split("/configmaps").nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        match (head.method, name.as_str()) {
            (Method::GET, "") if query.contains("watch=true") => self.watch(&query),
            (Method::GET, "") => self.list(),
            (Method::GET, name) => found(self.state.lock().objects.get(name)),
            (Method::POST, _) => self.write(serde_json::from_slice(&body).unwrap(), "ADDED"),
            (Method::PUT, _) => self.write(serde_json::from_slice(&body).unwrap(), "MODIFIED"),
            (Method::DELETE, name) => {
                let gone = self.state.lock().objects.get(name).cloned().unwrap();
                self.write(gone, "DELETED")
            }
            (method, name) => panic!("{method} {name}"),
        }
    }

    fn write(&self, mut object: Value, event: &'static str) -> Response<Body> {
        let mut state = self.state.lock();
        state.revision += 1;
        let revision = state.revision;
        object.set_at(&["metadata", "resourceVersion"], revision.to_string());
        let name = object.str_at(&["metadata", "name"]).unwrap().to_owned();
        if event == "DELETED" {
            state.objects.remove(&name);
        } else {
            state.objects.insert(name, object.clone());
        }
        state.log.push((revision, event, object.clone()));
        drop(state);
        self.changed.send_modify(|ticks| *ticks += 1);
        answer(200, &object)
    }

    fn list(&self) -> Response<Body> {
        let state = self.state.lock();
        let items: Vec<Value> = state.objects.values().cloned().collect();
        answer(200, &value!({"metadata": {"resourceVersion": (state.revision.to_string())}, "items": items}))
    }

    fn watch(self: Arc<Self>, query: &str) -> Response<Body> {
        let from = query.split("resourceVersion=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
        let from: u64 = from.parse().unwrap();
        let state = self.state.lock();
        if from < state.compacted {
            return answer(410, &value!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}));
        }
        let cuts = state.cuts;
        drop(state);
        let receiver = self.changed.subscribe();
        let lines = futures::stream::unfold((self, receiver, from), move |(server, mut receiver, from)| async move {
            loop {
                {
                    let state = server.state.lock();
                    if state.cuts != cuts {
                        return None;
                    }
                    let shown = |revision: u64| revision > from && state.held.is_none_or(|held| revision <= held);
                    let next = state.log.iter().find(|(revision, ..)| shown(*revision)).cloned();
                    drop(state);
                    if let Some((revision, event, object)) = next {
                        let line = value!({"type": event, "object": object});
                        let line = serde_json::to_string(&line).unwrap() + "\n";
                        return Some((Ok(http_body::Frame::data(Bytes::from(line))), (server, receiver, revision)));
                    }
                }
                receiver.changed().await.unwrap();
            }
        });
        Response::new(StreamBody::new(lines).boxed_unsync())
    }
}

fn found(object: Option<&Value>) -> Response<Body> {
    match object {
        Some(object) => answer(200, object),
        None => answer(404, &value!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "not found"})),
    }
}

fn answer(code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(client::full(serde_json::to_vec(value).unwrap()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}
