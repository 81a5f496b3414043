//! GET of one object.

use std::sync::Arc;

use http::StatusCode;
use kinds::Kind;
use machinery::Status;

use crate::cache::{self, Form};
use crate::call::Call;
use crate::negotiate::{Encoding, Shape};
use crate::objects::Objects;
use crate::reply::{self, Reply};
use crate::respond;
use crate::server::Server;

/// Answers with the object, read from the store, or from memory when the client allows an older state.
///
/// # Errors
/// 404, or 504 when the wanted version has not come yet.
pub async fn get(server: &Arc<Server>, call: &Call, kind: &'static Kind) -> Result<Reply, Status> {
    let accepted = call.accepts_object()?;
    let (objects, info) = (Objects::new(server, kind), &call.info);
    let asked = call.query.text("resourceVersion");
    if !asked.is_empty() && asked != "0" {
        server.cacher.reach(super::list::version(asked)?).await?;
    }
    let plain = accepted.encoding == Encoding::Json && accepted.shape != Shape::Table && kind.stored_as.is_none();
    let plain = plain && !accepted.is_beta;
    if plain {
        let key = objects.key(&info.namespace, &info.name);
        let found = objects.read(&key, &info.namespace, &info.name).await?;
        let (bytes, revision) = found.ok_or_else(|| objects.not_found(&info.name))?;
        let form = if accepted.shape == Shape::PartialMetadata { Form::Partial } else { Form::Whole };
        let bytes = cache::written(&bytes, form, revision);
        let bytes = bytes.ok_or_else(|| Status::internal("what is stored is no object"))?;
        return Ok(reply::with_type(StatusCode::OK, "application/json", reply::full(bytes)));
    }
    let stored = objects.get(&info.namespace, &info.name).await?;
    respond::object(server, call, kind, StatusCode::OK, &stored.object, accepted)
}
