//! `scale`: the number of replicas of any kind that has one, as an object of its own.

mod applied;

use std::sync::Arc;

use http::StatusCode;
use kinds::Kind;
use machinery::field::{Error, Path};
use machinery::status::In;
use machinery::{Status, Value, labels, meta, value};

use crate::call::{self, Call};
use crate::codec::{self, Expected};
use crate::negotiate::Accepted;
use crate::objects::{Objects, Stored};
use crate::options::WriteOptions;
use crate::patching::{self, Patching};
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::verbs::patch::ATTEMPTS;
use crate::{ownership, respond, write};

const SCALE_SCHEMA: &str = "io.k8s.api.autoscaling.v1.Scale";

/// The type of the body.
pub const SCALE: Expected<'static> = Expected { group: "autoscaling", version: "v1", kind: "Scale" };

/// GET, PUT and PATCH of the scale.
///
/// # Errors
/// 404 when there is no such object, 422 for a negative number.
pub async fn serve(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    match call.info.verb.as_str() {
        "get" => get(server, call, kind).await,
        "update" => update(server, call, kind, body).await,
        "patch" => patch(server, call, kind, body).await,
        _ => Err(Status::method_not_allowed()),
    }
}

async fn get(server: &Arc<Server>, call: &Call, kind: &'static Kind) -> Result<Reply, Status> {
    let accepted = call.accepts_object()?;
    let stored = Objects::new(server, kind).get(&call.info.namespace, &call.info.name).await?;
    answer(server, call, &stored.object, accepted)
}

async fn update(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let accepted = call.accepts_object()?;
    let bytes = call::read(body).await?;
    let options = WriteOptions::update(&call.query)?;
    let message = machinery::schema::message(SCALE_SCHEMA);
    let mut scale = codec::typed(call, SCALE, message, &bytes, options.field_validation)?;
    write::fit_namespace(call, kind, &mut scale)?;
    write::fit_name(call, &scale)?;
    let objects = Objects::new(server, kind);
    loop {
        let stored = objects.get(&call.info.namespace, &call.info.name).await?;
        check_uid(&objects, &scale, &stored.object)?;
        if let Some(object) = store(server, call, kind, &stored, &scale, &options).await? {
            return answer(server, call, &object, accepted);
        }
    }
}

/// The scale of an object as the client wants to see it.
fn answer(server: &Server, call: &Call, object: &Value, accepted: Accepted) -> Result<Reply, Status> {
    respond::object(server, call, &kinds::autoscaling::scale::KIND, StatusCode::OK, &of(object), accepted)
}

fn check_uid(objects: &Objects<'_>, scale: &Value, object: &Value) -> Result<(), Status> {
    let asked = meta::uid(scale);
    if asked.is_empty() || asked == meta::uid(object) {
        return Ok(());
    }
    let key = objects.key(meta::namespace(object), meta::name(object));
    Err(write::other_uid(objects.kind.group_resource(), &key, object, asked))
}

async fn patch(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let patch_kind = patching::kind(call)?;
    let accepted = call.accepts_object()?;
    let patch = Patching::new(patch_kind, call::read(body).await?);
    let options = WriteOptions::patch(&call.query, patch_kind)?;
    let message = machinery::schema::message(SCALE_SCHEMA);
    let objects = Objects::new(server, kind);
    for _ in 0..ATTEMPTS {
        let stored = objects.get(&call.info.namespace, &call.info.name).await?;
        let (written, warnings) = if patch.is_apply() {
            let (new, warnings) = applied::changed(server, call, kind, &patch, &stored.object, &options)?;
            (put(server, call, kind, &stored, new, &options).await?, warnings)
        } else {
            let (mut scale, warnings) = patch.apply(&of(&stored.object), SCALE, message, options.field_validation)?;
            write::fit_namespace(call, kind, &mut scale)?;
            write::fit_name(call, &scale)?;
            (store(server, call, kind, &stored, &scale, &options).await?, warnings)
        };
        if let Some(object) = written {
            call.warnings.extend(warnings);
            return answer(server, call, &object, accepted);
        }
    }
    Err(Status::modified(kind.group_resource(), &call.info.name))
}

/// Writes a scale's number into its object; `None` when somebody else was faster.
///
/// # Errors
/// 409 when the scale is of another version, 422 for a negative number.
pub async fn store(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    stored: &Stored,
    scale: &Value,
    options: &WriteOptions,
) -> Result<Option<Arc<Value>>, Status> {
    check(scale)?;
    let mut new = Value::clone(&stored.object);
    new.set_at(&["spec", "replicas"], scale.int_at(&["spec", "replicas"]).unwrap_or(0));
    meta::set_resource_version(&mut new, meta::resource_version(scale));
    ownership::update(server, call, kind, &stored.object, &mut new, options);
    put(server, call, kind, stored, new, options).await
}

/// Stores an object with another number; `None` when somebody else was faster.
async fn put(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    stored: &Stored,
    mut new: Value,
    options: &WriteOptions,
) -> Result<Option<Arc<Value>>, Status> {
    without_time(&mut new);
    let written = write::update(server, call, kind, None, stored, new, options).await?;
    Ok(written.ok().map(write::Written::object))
}

/// Upstream keeps no time for fields that are owned through the scale.
fn without_time(object: &mut Value) {
    let entries = object.at_mut(&["metadata", "managedFields"]).and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|entry| entry.str_at(&["subresource"]) == Some("scale")) {
        entry.remove_at(&["time"]);
    }
}

fn check(scale: &Value) -> Result<(), Status> {
    let replicas = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let field = Path::new("spec").child("replicas");
    let error = Error::invalid(&field, replicas, "must be greater than or equal to 0");
    Err(Status::invalid(In { group: "autoscaling", name: "Scale" }, meta::name(scale), &vec![error]))
}

/// The scale of an object.
#[must_use]
pub fn of(object: &Value) -> Value {
    let mut metadata = value!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(found) = object.at(&["metadata", field]) {
            metadata.set_at(&[field], found.clone());
        }
    }
    let mut spec = value!({});
    if let Some(replicas) = object.int_at(&["spec", "replicas"]).filter(|replicas| *replicas != 0) {
        spec.set_at(&["replicas"], replicas);
    }
    let selector = selector(object);
    let mut status = value!({"replicas": (object.int_at(&["status", "replicas"]).unwrap_or(0))});
    if !selector.is_empty() {
        status.set_at(&["selector"], selector);
    }
    value!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": (metadata),
        "spec": (spec),
        "status": (status),
    })
}

/// The selector of the pods as text; a ReplicationController's is plain labels.
fn selector(object: &Value) -> String {
    let selector = object.at(&["spec", "selector"]);
    if meta::kind(object) == "ReplicationController" {
        return labels::format_labels(selector.and_then(Value::as_object));
    }
    labels::format_label_selector(selector)
}
