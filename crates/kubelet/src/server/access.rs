//! Whether a request may come through: the API server decides, by the part of the node that the path belongs to.

use client::Body;
use client::serving::{self, Delegated, Peer, Question, User};
use http::{Method, Request, Response, StatusCode};

/// Lets the request to the node called `node` through, or gives the answer that refuses it. Nobody comes in without
/// saying who they are.
pub(super) async fn check<B>(
    access: &Delegated,
    node: &str,
    peer: &Peer,
    request: &Request<B>,
) -> Result<(), Response<Body>> {
    let user = access.user(peer, request.headers()).await.ok().filter(|user| *user != User::anonymous());
    let user = user.ok_or_else(|| serving::text(StatusCode::UNAUTHORIZED, "Unauthorized"))?;
    let (verb, subresource) = (verb(request.method()), subresource(request.uri().path()));
    let question = Question::Resource { verb, resource: "nodes", subresource, name: node.to_owned() };
    if access.allows(&user, question).await {
        return Ok(());
    }
    let text = format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])", user.name);
    Err(serving::text(StatusCode::FORBIDDEN, text))
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The part of the node that a path belongs to (KEP-2862).
fn subresource(path: &str) -> &'static str {
    match path.split('/').nth(1).unwrap_or_default() {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "healthz" => "healthz",
        "pods" | "runningpods" => "pods",
        _ => "proxy",
    }
}
