//! PUT of an object.

use std::sync::Arc;

use http::StatusCode;
use kinds::{Kind, Subresource};
use machinery::{Status, Value, meta};

use crate::call::{self, Call};
use crate::codec;
use crate::objects::{Objects, Stored};
use crate::options::WriteOptions;
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::{owners, ownership, respond, write};

/// Replaces the object by the one in the body; kinds that allow it are created by it.
///
/// # Errors
/// 404 when there is none, 409 when it has changed, 422 when it is not valid.
pub async fn update(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    through(server, call, kind, None, body).await
}

/// The same through a subresource whose body is the object itself.
///
/// # Errors
/// As [`update`].
pub async fn through(
    server: &Arc<Server>,
    call: &mut Call,
    kind: &'static Kind,
    subresource: Option<&'static Subresource>,
    body: Body,
) -> Result<Reply, Status> {
    let accepted = call.accepts_object()?;
    let bytes = call::read(body).await?;
    let options = WriteOptions::update(&call.query)?;
    let (objects, info, told) = (Objects::new(server, kind), call.info.clone(), call.warnings.len());
    loop {
        // Read anew when somebody wrote meanwhile: that is rarer than a copy is dear.
        call.warnings.truncate(told);
        let mut new = codec::object(call, kind, &bytes, options.field_validation)?;
        write::fit_namespace(call, kind, &mut new)?;
        write::fit_name(call, &new)?;
        owners::name_once(call, &mut new, "");
        let Some(stored) = objects.find(&info.namespace, &info.name).await? else {
            if !meta::uid(&new).is_empty() {
                return Err(gone(&objects, &new));
            }
            if !kind.writes.create_on_update || subresource.is_some() {
                return Err(objects.not_found(&info.name));
            }
            let mut new = without_version(new);
            ownership::update(server, call, kind, &Value::object(), &mut new, &options);
            let created = write::create(server, call, kind, new, &options).await?;
            return respond::stored(server, call, kind, StatusCode::CREATED, &created, accepted);
        };
        check_uid(&objects, &new, &stored)?;
        ownership::update(server, call, kind, &stored.object, &mut new, &options);
        let written = write::update(server, call, kind, subresource, &stored, new, &options).await?;
        if let Ok(written) = written {
            return respond::written(server, call, kind, &written, accepted);
        }
    }
}

fn check_uid(objects: &Objects<'_>, new: &Value, stored: &Stored) -> Result<(), Status> {
    let asked = meta::uid(new);
    if asked.is_empty() || asked == meta::uid(&stored.object) {
        return Ok(());
    }
    let key = objects.key(meta::namespace(new), meta::name(new));
    Err(write::other_uid(objects.kind.group_resource(), &key, &stored.object, asked))
}

/// The answer to who knows the UID of an object that is no more.
fn gone(objects: &Objects<'_>, new: &Value) -> Status {
    let key = objects.key(meta::namespace(new), meta::name(new));
    write::other(objects.kind.group_resource(), &key, new, ("UID", meta::uid(new), ""))
}

fn without_version(mut object: Value) -> Value {
    object.remove_at(&["metadata", "resourceVersion"]);
    object
}
