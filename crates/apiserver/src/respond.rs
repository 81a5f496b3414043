//! Objects as the client wants to see them: whole, as a table, or their metadata.

use http::StatusCode;
use kinds::Kind;
use machinery::{Status, Value, meta, value};
use store::Revision;

use crate::cache::{self, Form};
use crate::call::Call;
use crate::negotiate::{Accepted, Encoding, Shape};
use crate::objects::Stored;
use crate::reply::{self, Reply};
use crate::server::Server;
use crate::table::{self, Include};
use crate::write::Written;

/// Answers with one object.
///
/// # Errors
/// 400 when a table is wanted in a way that is not known.
pub fn object(
    server: &Server,
    call: &Call,
    kind: &Kind,
    code: StatusCode,
    object: &Value,
    accepted: Accepted,
) -> Result<Reply, Status> {
    let mut shaped = match accepted.shape {
        Shape::Whole => return Ok(reply::object(code, object, accepted.encoding)),
        Shape::PartialMetadata => table::partial(object),
        Shape::Table => {
            let include = Include::parse(&call.query)?;
            let metadata = value!({"resourceVersion": (meta::resource_version(object))});
            table::of(kind, std::slice::from_ref(object), metadata, include, server.clock.now())
        }
    };
    if accepted.is_beta {
        table::to_beta(&mut shaped);
    }
    Ok(reply::object(code, &shaped, accepted.encoding))
}

/// Answers with an object that was just stored; plain JSON is copied from what the store holds.
///
/// # Errors
/// As [`object`].
pub fn stored(
    server: &Server,
    call: &Call,
    kind: &Kind,
    code: StatusCode,
    stored: &Stored,
    accepted: Accepted,
) -> Result<Reply, Status> {
    let is_plain = accepted.encoding == Encoding::Json && accepted.shape == Shape::Whole && kind.stored_as.is_none();
    let is_kept = stored.revision != Revision(0);
    let copied = (is_plain && is_kept).then(|| cache::written(&stored.bytes, Form::Whole, stored.revision));
    match copied.flatten() {
        Some(bytes) => Ok(reply::with_type(code, "application/json", reply::full(bytes))),
        None => object(server, call, kind, code, &stored.object, accepted),
    }
}

/// Answers with what a PUT or PATCH has made of an object.
///
/// # Errors
/// As [`object`].
pub fn written(
    server: &Server,
    call: &Call,
    kind: &Kind,
    written: &Written,
    accepted: Accepted,
) -> Result<Reply, Status> {
    match written {
        Written::Stored(found) => stored(server, call, kind, StatusCode::OK, found, accepted),
        Written::Removed(last) => object(server, call, kind, StatusCode::OK, last, accepted),
    }
}

/// Answers with several objects as a list.
///
/// # Errors
/// 400 when a table is wanted in a way that is not known.
pub fn list(
    server: &Server,
    call: &Call,
    kind: &Kind,
    mut objects: Vec<Value>,
    metadata: Value,
    accepted: Accepted,
) -> Result<Reply, Status> {
    let mut shaped = match accepted.shape {
        Shape::Table => table::of(kind, &objects, metadata, Include::parse(&call.query)?, server.clock.now()),
        Shape::PartialMetadata => {
            let items: Vec<Value> = objects.iter().map(table::partial).collect();
            let items = if items.is_empty() { Value::Null } else { items.into() };
            value!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": (metadata),
                "items": (items),
            })
        }
        Shape::Whole => {
            for object in objects.iter_mut().filter_map(Value::as_object_mut) {
                object.remove("kind");
                object.remove("apiVersion");
            }
            value!({
                "kind": (kind.list_kind()),
                "apiVersion": (kind.api_version()),
                "metadata": (metadata),
                "items": (objects),
            })
        }
    };
    if accepted.is_beta {
        table::to_beta(&mut shaped);
    }
    Ok(reply::object(StatusCode::OK, &shaped, accepted.encoding))
}
