//! `status`, `finalize`, `ephemeralcontainers`, `resize`, `approval`: the object again, of which a write changes a part.

use std::sync::Arc;

use kinds::{Kind, Subresource};
use machinery::Status;

use crate::call::Call;
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::verbs;

/// GET, PUT and PATCH of such a view.
///
/// # Errors
/// As the same verbs of the object.
pub async fn serve(
    server: &Arc<Server>,
    call: &mut Call,
    kind: &'static Kind,
    subresource: &'static Subresource,
    body: Body,
) -> Result<Reply, Status> {
    match call.info.verb.as_str() {
        "get" => verbs::get::get(server, call, kind).await,
        "update" => verbs::update::through(server, call, kind, Some(subresource), body).await,
        "patch" => verbs::patch::through(server, call, kind, Some(subresource), body).await,
        _ => Err(Status::method_not_allowed()),
    }
}
