//! What is below an object's path.

pub mod binding;
mod connect;
mod eviction;
mod log;
mod proxy;
mod scale;
mod status;
mod token;

use std::sync::Arc;

use futures::FutureExt as _;
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
    if !subresource.verbs.contains(&call.info.verb.as_str()) {
        return Err(Status::method_not_allowed());
    }
    if call.info.parts.len() != 3 && subresource.name != "proxy" {
        return Err(Status::no_such_resource());
    }
    // In boxes of their own, as verbs are.
    let answer = match subresource.body.2 {
        _ if subresource.name == "log" => log::get(server, call, kind).boxed(),
        "PodExecOptions" | "PodAttachOptions" | "PodPortForwardOptions" => {
            connect::serve(server, call, kind, subresource, body).boxed()
        }
        "PodProxyOptions" | "ServiceProxyOptions" | "NodeProxyOptions" => {
            proxy::serve(server, call, kind, body).boxed()
        }
        "" => status::serve(server, call, kind, subresource, body).boxed(),
        "Binding" => binding::create(server, call, kind, body).boxed(),
        "Eviction" => eviction::create(server, call, kind, body).boxed(),
        "TokenRequest" => token::create(server, call, kind, body).boxed(),
        "Scale" => scale::serve(server, call, kind, body).boxed(),
        _ => return Err(Status::method_not_allowed()),
    };
    answer.await
}
