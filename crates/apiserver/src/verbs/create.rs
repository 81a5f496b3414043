//! POST to a collection.

use std::sync::Arc;

use http::StatusCode;
use kinds::Kind;
use machinery::{Status, Value};

use crate::call::{self, Call};
use crate::codec;
use crate::options::WriteOptions;
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::{owners, ownership, respond, reviews, write};

/// Creates the object in the body.
///
/// # Errors
/// 400 for a body that is no such object, 409 when it exists, 422 when it is not valid.
pub async fn create(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    if kind.storage.is_empty() {
        return reviews::create(server, call, kind, body).await;
    }
    let accepted = call.accepts_object()?;
    let bytes = call::read(body).await?;
    let options = WriteOptions::create(&call.query)?;
    let mut object = codec::object(call, kind, &bytes, options.field_validation)?;
    write::fit_namespace(call, kind, &mut object)?;
    owners::name_once(call, &mut object, "");
    ownership::update(server, call, kind, &Value::object(), &mut object, &options);
    let created = write::create(server, call, kind, object, &options).await?;
    respond::stored(server, call, kind, StatusCode::CREATED, &created, accepted)
}
