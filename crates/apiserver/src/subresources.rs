//! What is below an object's path.

mod binding;
mod eviction;
mod scale;
mod status;
mod token;

use std::sync::Arc;

use kinds::{Kind, Subresource};
use machinery::Status;

use crate::call::Call;
use crate::reply::{Body, Reply};
use crate::server::Server;

/// Does what `call` asks of a subresource of `kind`.
///
/// # Errors
/// Whatever the subresource answers instead of an object.
pub async fn serve(
    server: &Arc<Server>,
    call: &mut Call,
    kind: &'static Kind,
    subresource: &'static Subresource,
    body: Body,
) -> Result<Reply, Status> {
    if !subresource.verbs.contains(&call.info.verb.as_str()) || call.info.parts.len() != 3 {
        return Err(Status::method_not_allowed());
    }
    match subresource.body.2 {
        "" => status::serve(server, call, kind, subresource, body).await,
        "Binding" => binding::create(server, call, kind, body).await,
        "Eviction" => eviction::create(server, call, kind, body).await,
        "TokenRequest" => token::create(server, call, kind, body).await,
        "Scale" => scale::serve(server, call, kind, body).await,
        _ => Err(Status::method_not_allowed()),
    }
}
