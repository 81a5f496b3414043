//! PATCH of an object.

use std::sync::Arc;

use http::StatusCode;
use kinds::{Kind, Subresource};
use machinery::Status;

use crate::call::{self, Call};
use crate::objects::Objects;
use crate::options::WriteOptions;
use crate::patching::{self, Patching};
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::{codec, respond, write};

/// A patch is applied anew this often when somebody else writes in between; then the client must decide.
pub const ATTEMPTS: usize = 6;

/// Changes the object as the body says.
///
/// # Errors
/// 404 when there is none, 409 when it has changed, 415 for an unknown kind of patch, 422 when the result is not valid.
pub async fn patch(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    through(server, call, kind, None, body).await
}

/// The same through a subresource whose body is the object itself.
///
/// # Errors
/// As [`patch`].
pub async fn through(
    server: &Arc<Server>,
    call: &mut Call,
    kind: &'static Kind,
    subresource: Option<&'static Subresource>,
    body: Body,
) -> Result<Reply, Status> {
    let patch_kind = patching::kind(call)?;
    let accepted = call.accepts_object()?;
    let patch = Patching::new(patch_kind, call::read(body).await?);
    let options = WriteOptions::patch(&call.query, patch_kind)?;
    let (objects, info) = (Objects::new(server, kind), call.info.clone());
    let message = codec::message_of(kind);
    for _ in 0..ATTEMPTS {
        let stored = objects.get(&info.namespace, &info.name).await?;
        let applied = patch.apply(stored.object.clone(), kind.into(), message, options.field_validation);
        let (mut new, warnings) = applied?;
        codec::default(kind, &mut new);
        write::fit_name(call, &new)?;
        write::fit_namespace(call, kind, &mut new)?;
        let before = call.warnings.len();
        call.warnings.extend(warnings);
        let written = write::update(server, call, kind, subresource, &stored, new, &options).await?;
        if let Ok(written) = written {
            return respond::object(server, call, kind, StatusCode::OK, &written.object(), accepted);
        }
        call.warnings.truncate(before);
    }
    Err(Status::modified(kind.group_resource(), &info.name))
}
