//! PATCH of an object.

use std::sync::Arc;

use http::StatusCode;
use kinds::{Kind, Subresource};
use machinery::schema::{self, FieldValidation};
use machinery::{Status, Value, meta};

use crate::call::{self, Call};
use crate::objects::Objects;
use crate::options::{PatchKind, WriteOptions};
use crate::patching::{self, Patching};
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::{codec, ownership, respond, write};

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
    for _ in 0..ATTEMPTS {
        let found = objects.find(&info.namespace, &info.name).await?;
        let live = found.as_ref().map(|stored| &*stored.object);
        let creates = patch_kind == PatchKind::Apply && subresource.is_none();
        if live.is_none() && !creates {
            return Err(objects.not_found(&info.name));
        }
        let (mut new, warnings) = changed(server, call, kind, &patch, live, &options)?;
        if live.is_none() && !meta::uid(&new).is_empty() {
            return Err(unborn(kind, &info.name, meta::uid(&new)));
        }
        codec::default(kind, &mut new);
        write::fit_name(call, &new)?;
        write::fit_namespace(call, kind, &mut new)?;
        let before = call.warnings.len();
        call.warnings.extend(warnings);
        let Some(stored) = found else {
            meta::set_resource_version(&mut new, "");
            let created = write::create(server, call, kind, new, &options).await?;
            return respond::stored(server, call, kind, StatusCode::CREATED, &created, accepted);
        };
        if patch_kind != PatchKind::Apply {
            ownership::update(server, call, kind, &stored.object, &mut new, &options);
        }
        let written = write::update(server, call, kind, subresource, &stored, new, &options).await?;
        if let Ok(written) = written {
            return respond::written(server, call, kind, &written, accepted);
        }
        call.warnings.truncate(before);
    }
    Err(Status::modified(kind.group_resource(), &info.name))
}

/// The live object as the patch changes it, and what there is to warn of.
fn changed(
    server: &Server,
    call: &Call,
    kind: &'static Kind,
    patch: &Patching,
    live: Option<&Value>,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), Status> {
    let message = codec::message_of(kind);
    let nothing = Value::object();
    let live = live.unwrap_or(&nothing);
    if !patch.is_apply() {
        return patch.apply(live, kind.into(), message, options.field_validation);
    }
    let (config, doubled) = patch.config()?;
    let mut new = ownership::apply(server, call, kind, live, &config, options)?;
    let place = format!("{}/{}", meta::namespace(&config), meta::name(&config));
    let converted = message.map_or(Ok(()), |message| schema::convert(message, &mut new));
    converted.map_err(|error| unfit(kind, &place, &error))?;
    let decoded = codec::tree(message, &mut new, FieldValidation::Ignore);
    decoded.map_err(|error| unfit(kind, &place, &error.to_string()))?;
    Ok((new, Patching::doubled(doubled, options.field_validation)?))
}

/// The answer to a configuration that knows the UID of an object which there is not.
fn unborn(kind: &Kind, name: &str, uid: &str) -> Status {
    let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
    Status::conflict(kind.group_resource(), name, why)
}

/// The answer when a configuration has a value that its field cannot take.
fn unfit(kind: &Kind, place: &str, error: &str) -> Status {
    let slash = if kind.group.is_empty() { "/" } else { "" };
    let what = format!("{slash}{}, Kind={}", kind.api_version(), kind.kind);
    Status::unknown(format!(
        "failed to convert new object ({place}; {what}) to proper version: unable to convert unstructured object to \
         {what}: {error}"
    ))
}
