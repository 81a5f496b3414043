//! A scale that is applied: the object's own configuration, of nothing but its number of replicas.

use kinds::Kind;
use machinery::schema::FieldValidation;
use machinery::{Object, Status, Value, meta, value};

use super::SCALE;
use crate::call::Call;
use crate::codec;
use crate::options::WriteOptions;
use crate::ownership;
use crate::patching::Patching;
use crate::server::Server;

/// The live object as the configuration of its scale changes it, and what there is to warn of.
///
/// # Errors
/// 400 for what is no scale, 409 when others own the number.
pub(super) fn changed(
    server: &Server,
    call: &Call,
    kind: &'static Kind,
    patch: &Patching,
    live: &Value,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), Status> {
    let (scale, doubled) = patch.config()?;
    check(&scale)?;
    crate::write::fit_name(call, &scale)?;
    super::check(&scale)?;
    let mut config = value!({"metadata": (scale.get("metadata").cloned().unwrap_or_else(Value::object))});
    meta::set_type(&mut config, &kind.api_version(), kind.kind);
    if let Some(replicas) = scale.at(&["spec", "replicas"]) {
        config.set_at(&["spec", "replicas"], replicas.clone());
    }
    let applied = ownership::apply(server, call, kind, live, &config, options);
    let mut new = applied.map_err(|status| as_scale(status, &kind.api_version()))?;
    codec::settle(kind, &mut new);
    Ok((new, Patching::doubled(doubled, options.field_validation)?))
}

/// Whoever owns the number owns it, seen from here, as one of a scale.
fn as_scale(mut status: Status, version: &str) -> Status {
    let (own, seen) = (format!(" using {version}"), format!(" using {}", SCALE.api_version()));
    let texts = status.details.iter_mut().flat_map(|details| &mut details.causes).map(|cause| &mut cause.message);
    texts.chain([&mut status.message]).for_each(|text| *text = text.replace(&own, &seen));
    status
}

/// Refuses what is of another type, or has fields that a scale has not or of other types.
fn check(scale: &Value) -> Result<(), Status> {
    let (version, name) = (meta::api_version(scale), meta::kind(scale));
    if version != SCALE.api_version() || name != SCALE.kind {
        let slash = if version.contains('/') { "" } else { "/" };
        return Err(Status::bad_request(format!("invalid object type: {slash}{version}, Kind={name}")));
    }
    let place = format!("{}/{}", meta::namespace(scale), meta::name(scale));
    let unfit = |why: &str| {
        let what = format!("{version}, Kind={name}");
        Status::unknown(format!("failed to create typed patch object ({place}; {what}): {why}"))
    };
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    if let Some(field) = unknown(scale.as_object(), &known) {
        return Err(unfit(&format!(".{field}: field not declared in schema")));
    }
    if let Some(field) = unknown(scale.get("spec").and_then(Value::as_object), &["replicas"]) {
        return Err(unfit(&format!(".spec.{field}: field not declared in schema")));
    }
    let message = machinery::schema::message(super::SCALE_SCHEMA);
    let decoded = codec::tree(message, &mut scale.clone(), FieldValidation::Ignore);
    decoded.map(drop).map_err(|error| unfit(&error.to_string()))
}

fn unknown<'a>(object: Option<&'a Object>, known: &[&str]) -> Option<&'a str> {
    object?.iter().map(|(name, _)| name.as_str()).find(|name| !known.contains(name))
}
