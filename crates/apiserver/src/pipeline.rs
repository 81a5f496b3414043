//! A request's whole path.
//!
//! ```text
//! panic guard → request info → authenticate → place among the requests under way → authorize → route
//!   → verb: negotiate → read and decode → default → admit → prepare → validate → store → encode
//! ```
//! The steps of a verb are in `verbs/`, those of a write in `write.rs`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use kinds::{Kind, Subresource};
use machinery::Status;

use crate::call::Call;
use crate::reply::{self, Body, Reply};
use crate::request::RequestInfo;
use crate::server::Server;
use crate::{compress, flow, paths, query, subresources, verbs};

/// Answers a request; never panics, always answers.
pub async fn handle(server: Arc<Server>, request: Request<Body>) -> Reply {
    let started = server.clock.instant();
    let (parts, body) = request.into_parts();
    let sent_bytes = body.size_hint().exact();
    let mut call = Call::new(parts);
    let result = AssertUnwindSafe(within_time(&server, &mut call, body)).catch_unwind().await;
    let mut answer = match result {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) => reply::failure(&status, call.error_encoding()),
        Err(_) => {
            tracing::error!(verb = call.info.verb, path = call.info.path, "a request panicked");
            let status = Status::internal("This request caused apiserver to panic. Look in the logs for details.");
            reply::failure(&status, call.error_encoding())
        }
    };
    call.class.tell(answer.headers_mut());
    answer = compress::answer(&call, answer).await;
    reply::warn_all(&mut answer, &call.warnings);
    let took = server.clock.instant().saturating_duration_since(started);
    let answer = server.metrics.answered(&mut call, answer, sent_bytes, took);
    if call.parts.method == Method::HEAD { reply::without_body(answer) } else { answer }
}

async fn within_time(server: &Arc<Server>, call: &mut Call, body: Body) -> Result<Reply, Status> {
    if call.info.is_long_running() {
        return boxed(server, call, body).await;
    }
    let limit = time_limit(server, call)?;
    match server.clock.timeout(limit, boxed(server, call, body)).await {
        Ok(result) => result,
        Err(_) => Err(Status::timeout("request did not complete within the allotted timeout", 0)),
    }
}

/// How long the request may take: the client may ask for less than the server allows.
fn time_limit(server: &Server, call: &Call) -> Result<Duration, Status> {
    let (limit, asked) = (server.options.request_timeout, call.query.text("timeout"));
    if asked.is_empty() {
        return Ok(limit);
    }
    let asked = query::go_duration(asked)
        .map_err(|why| Status::bad_request(format!("invalid timeout specified in the request URL - {why}")))?;
    Ok(if asked.is_zero() { limit } else { asked.min(limit) })
}

/// Boxed, because the compiler cannot see through this many nested futures that they are `Send`.
fn boxed<'a>(server: &'a Arc<Server>, call: &'a mut Call, body: Body) -> BoxFuture<'a, Result<Reply, Status>> {
    serve(server, call, body).boxed()
}

async fn serve(server: &Arc<Server>, call: &mut Call, body: Body) -> Result<Reply, Status> {
    let (clock, metrics) = (&server.clock, &server.metrics);
    let (asked, user) = (clock.instant(), server.access.user(&call.parts, &call.info));
    let known = clock.instant();
    metrics.authenticated(user.as_ref().ok().map(|user| user.name.as_str()), known - asked);
    call.user = user?;
    let (class, entered) = server.flow.enter(&call.user, &call.info).await;
    call.class = class;
    let inside = clock.instant();
    call.waited = inside - known;
    metrics.entered(call.waited);
    let Ok(_place) = entered else {
        count(server, call, &route(call)?);
        return Ok(flow::turned_away());
    };
    let allowed = server.access.authorize(&call.user, &call.info);
    metrics.authorized(allowed.is_ok(), clock.instant() - inside);
    allowed?;
    let route = route(call)?;
    count(server, call, &route);
    match route {
        Route::Path => paths::serve(server, call).await,
        Route::Resource(kind) => verbs::serve(server, call, kind, body).await,
        Route::Subresource(kind, sub) => subresources::serve(server, call, kind, sub, body).await,
    }
}

/// Has the answer counted as one of this route.
fn count(server: &Server, call: &mut Call, route: &Route) {
    match route {
        Route::Path => server.metrics.routed_to_path(call),
        Route::Resource(kind) => server.metrics.routed(call, kind, None),
        Route::Subresource(kind, part) => server.metrics.routed(call, kind, Some(part)),
    }
}

enum Route {
    Path,
    Resource(&'static Kind),
    Subresource(&'static Kind, &'static Subresource),
}

fn route(call: &Call) -> Result<Route, Status> {
    let info = &call.info;
    if !info.is_resource_request {
        return Ok(Route::Path);
    }
    // A HEAD is authorized as the GET that it resembles, but resources have none.
    let has_method = call.parts.method != Method::HEAD || info.is_long_running();
    if !kinds::all().iter().any(|kind| kind.group == info.group) {
        return Ok(Route::Path);
    }
    let kind = kinds::lookup(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_resource)?;
    if !is_placed(info, kind) {
        return Err(Status::no_such_resource());
    }
    if !has_method {
        return Err(Status::method_not_allowed());
    }
    check_name(info.parts.get(1).map_or("", String::as_str))?;
    if info.subresource.is_empty() {
        return Ok(Route::Resource(kind));
    }
    let found = kind.subresource(&info.subresource).ok_or_else(Status::no_such_resource)?;
    Ok(Route::Subresource(kind, found))
}

/// Whether there are paths of this form for the kind: one of a cluster has no namespace, another's object has one.
fn is_placed(info: &RequestInfo, kind: &Kind) -> bool {
    if kind.namespaced {
        return info.parts.len() < 2 || !info.namespace.is_empty();
    }
    info.namespace.is_empty() || is_namespace(kind)
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.kind == "Namespace"
}

/// Refuses names under which nothing can be stored.
fn check_name(name: &str) -> Result<(), Status> {
    let why = match name {
        "." | ".." => format!("may not be '{name}'"),
        name if name.contains('%') => "may not contain '%'".to_owned(),
        _ => return Ok(()),
    };
    let quoted = machinery::field::quote(name);
    Err(Status::bad_request(format!("Name parameter invalid: {quoted}: {why}")))
}

/// The answer for a path that nobody serves.
#[must_use]
pub fn not_found() -> Reply {
    reply::text(StatusCode::NOT_FOUND, "404 page not found\n")
}
