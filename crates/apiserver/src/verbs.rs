//! What can be done with a resource, one file a verb.

mod component_status;
pub mod continuation;
mod create;
pub mod delete;
mod delete_collection;
pub mod get;
pub mod list;
pub mod patch;
pub mod update;
mod watch;

use std::sync::Arc;

use futures::FutureExt as _;
use kinds::Kind;
use machinery::Status;

use crate::call::Call;
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::subresources::binding;

/// Does what `call` asks of `kind`.
///
/// # Errors
/// Whatever the verb answers instead of an object.
pub async fn serve(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let verb = call.info.verb.as_str();
    // A watch is a GET of the list, and warns like one even where there is none.
    if kind.verbs.contains(&verb) || verb == "watch" && kind.verbs.contains(&"list") {
        call.warnings.extend(deprecation(kind));
    }
    let writes_watch = verb == "watch" && call.parts.method != http::Method::GET;
    if !kind.verbs.contains(&verb) || writes_watch || !fits(call, kind) {
        return Err(Status::method_not_allowed());
    }
    // In boxes of their own: else every request would carry room for the largest of them along.
    let answer = match call.info.verb.as_str() {
        "get" | "list" if kind.plural == component_status::RESOURCE && kind.group.is_empty() => {
            component_status::serve(server, call, kind).boxed()
        }
        "create" if kind.plural == binding::RESOURCE && kind.group.is_empty() => {
            binding::create(server, call, kind, body).boxed()
        }
        "get" => get::get(server, call, kind).boxed(),
        "list" => list::list(server, call, kind).boxed(),
        "watch" => watch::watch(server, call, kind).boxed(),
        "create" => create::create(server, call, kind, body).boxed(),
        "update" => update::update(server, call, kind, body).boxed(),
        "patch" => patch::patch(server, call, kind, body).boxed(),
        "delete" => delete::delete(server, call, kind, body).boxed(),
        "deletecollection" => delete_collection::delete_collection(server, call, kind, body).boxed(),
        _ => return Err(Status::method_not_allowed()),
    };
    answer.await
}

/// What every request for a kind that is on its way out is told.
fn deprecation(kind: &Kind) -> Option<String> {
    match (kind.group, kind.plural) {
        ("", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned())
        }
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+".to_owned()),
        _ => None,
    }
}

/// Whether the path has a name where the verb needs one, and a namespace where the kind does.
fn fits(call: &Call, kind: &Kind) -> bool {
    let info = &call.info;
    let named = info.parts.len() > 1;
    let place = match kind.namespaced {
        true => !info.namespace.is_empty() || matches!(info.verb.as_str(), "list" | "watch"),
        false => true,
    };
    let wants_name = matches!(info.verb.as_str(), "get" | "update" | "patch" | "delete");
    place && if info.verb == "create" { !named } else { !wants_name || named }
}
