//! DELETE of an object: at once, or marked until its grace period and finalizers are over.

use std::sync::Arc;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kinds::Kind;
use machinery::status::{Details, In};
use machinery::{Status, Value, meta};

use crate::access::{self, Write};
use crate::admission::Operation;
use crate::allocation;
use crate::call::{self, Call};
use crate::codec;
use crate::objects::{Objects, Stored};
use crate::options::{DeleteOptions, Propagation};
use crate::reply::{self, Body, Reply};
use crate::respond;
use crate::server::Server;

/// What upstream calls its list of the types that a deletion's body may have.
const SCHEME: &str = "pkg/apis/meta/internalversion/scheme/register.go:28";

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// The kinds of the core group whose deletion answers with the object rather than a Status.
const ANSWERS_OBJECT: [&str; 8] = [
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
    "services",
];

/// The priority classes without which a cluster cannot keep itself alive.
const SYSTEM_CLASSES: [&str; 2] = ["system-cluster-critical", "system-node-critical"];

/// How a deletion ends.
#[derive(Debug)]
pub struct Deleted {
    /// The object as it is now, or last was.
    pub object: Arc<Value>,
    /// Whether it is gone.
    pub gone: bool,
}

/// Deletes the object that the path names.
///
/// # Errors
/// 404 when there is none, 409 when a precondition does not hold.
pub async fn delete(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let accepted = call.accepts_object()?;
    let options = options(call, body).await?;
    let (namespace, name) = (call.info.namespace.clone(), call.info.name.clone());
    let stored = admit(server, call, kind, &namespace, &name, options.dry_run).await?;
    let deleted = delete_stored(server, kind, stored, &options).await?;
    let answers_object = match kind.group {
        "" => ANSWERS_OBJECT.contains(&kind.plural),
        "storage.k8s.io" => kind.plural != "csistoragecapacities",
        group => matches!(group, "apiextensions.k8s.io" | "resource.k8s.io"),
    };
    if deleted.gone && !answers_object {
        let details = Details {
            name,
            group: kind.group.to_owned(),
            kind: kind.plural.to_owned(),
            uid: meta::uid(&deleted.object).to_owned(),
            ..Details::default()
        };
        let status = Status::success(Some(details)).to_value();
        return Ok(reply::object(StatusCode::OK, &status, accepted.encoding));
    }
    let waits = !deleted.gone && options.orphan_dependents == Some(false);
    let code = if waits { StatusCode::ACCEPTED } else { StatusCode::OK };
    respond::object(server, call, kind, code, &deleted.object, accepted)
}

/// Lets admission plugins refuse the deletion; gives the object.
///
/// # Errors
/// 404 when there is no such object, and the answer of the plugin that refuses.
pub async fn admit(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    dry_run: bool,
) -> Result<Stored, Status> {
    let stored = Objects::new(server, kind).get(namespace, name).await?;
    let write = Write { operation: Operation::Delete, kind, body_kind: kind.kind, old: Some(&stored.object), dry_run };
    let mut nothing = Value::Null;
    access::admit(server, call, &write, &mut nothing).await?;
    access::validate(server, call, &write, &mut nothing).await?;
    Ok(stored)
}

/// The options in the body, or in the query when there is no body.
///
/// # Errors
/// 400 for what cannot be read, 422 for values that make no sense.
pub async fn options(call: &mut Call, body: Body) -> Result<DeleteOptions, Status> {
    let bytes = call::read(body).await?;
    if bytes.is_empty() {
        return DeleteOptions::from_query(&call.query);
    }
    let message = machinery::schema::message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let ignore = machinery::schema::FieldValidation::Ignore;
    // Every group has DeleteOptions of its own version; they are all the same.
    let mut untyped = codec::options(call, &bytes)?;
    if !matches!(meta::kind(&untyped), "" | "DeleteOptions") {
        return Err(Status::bad_request(format!(
            "no kind {} is registered for version {} in scheme \"{SCHEME}\"",
            machinery::field::quote(meta::kind(&untyped)),
            machinery::field::quote(meta::api_version(&untyped))
        )));
    }
    meta::set_type(&mut untyped, "v1", "DeleteOptions");
    codec::tree(message, &mut untyped, ignore).map_err(|error| Status::bad_request(error.to_string()))?;
    DeleteOptions::from_body(&untyped)
}

/// Deletes an object, or marks it.
///
/// # Errors
/// 404 when there is none, 409 when a precondition does not hold.
pub async fn delete_object(
    server: &Server,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let stored = Objects::new(server, kind).get(namespace, name).await?;
    delete_stored(server, kind, stored, options).await
}

/// Deletes an object that was just read, or marks it.
///
/// # Errors
/// As [`delete_object`].
pub async fn delete_stored(
    server: &Server,
    kind: &'static Kind,
    mut stored: Stored,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let objects = Objects::new(server, kind);
    let name = meta::name(&stored.object);
    if kind.group == "scheduling.k8s.io" && SYSTEM_CLASSES.contains(&name) {
        let why = "this is a system priority class and cannot be deleted";
        return Err(Status::forbidden(kind.group_resource(), name, why));
    }
    loop {
        check_preconditions(kind, &stored.object, options)?;
        match plan(kind, &stored, options, server.clock.now()) {
            Plan::Nothing => return Ok(Deleted { object: stored.object, gone: false }),
            Plan::Remove(_) if options.dry_run => return Ok(Deleted { object: stored.object, gone: true }),
            Plan::Remove(mut last) => {
                if let Ok(revision) = objects.remove(&stored).await? {
                    if allocation::concerns(kind) {
                        // A service takes other objects along, which are deleted the same way.
                        Box::pin(allocation::gone(server, &stored.object)).await;
                    }
                    meta::set_resource_version(&mut last, &revision.to_string());
                    return Ok(Deleted { object: Arc::new(last), gone: true });
                }
            }
            Plan::Mark(mut marked) => {
                codec::settle(kind, &mut marked);
                if let Ok(marked) = objects.replace(&stored, marked, options.dry_run).await? {
                    return Ok(Deleted { object: marked.object, gone: false });
                }
            }
        }
        stored = objects.get(meta::namespace(&stored.object), meta::name(&stored.object)).await?;
    }
}

fn check_preconditions(kind: &Kind, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let what = In { group: kind.group, name: kind.kind };
    let (uid, version) = (meta::uid(object), meta::resource_version(object));
    if let Some(asked) = options.preconditions.uid.as_deref().filter(|asked| *asked != uid) {
        return Err(Status::conflict(
            what,
            meta::name(object),
            format!(
                "the UID in the precondition ({asked}) does not match the UID in record ({uid}). The object might have \
                 been deleted and then recreated"
            ),
        ));
    }
    if let Some(asked) = options.preconditions.resource_version.as_deref().filter(|asked| *asked != version) {
        return Err(Status::conflict(
            what,
            meta::name(object),
            format!(
                "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record \
                 ({version}). The object might have been modified"
            ),
        ));
    }
    Ok(())
}

/// What a deletion does to an object.
#[derive(Debug, PartialEq)]
enum Plan {
    /// It is on its way already.
    Nothing,
    /// It goes; this is its last form.
    Remove(Value),
    /// It stays, marked, until somebody else takes the marks away.
    Mark(Value),
}

fn plan(kind: &Kind, stored: &Stored, options: &DeleteOptions, now: Timestamp) -> Plan {
    if kind.group.is_empty() && kind.kind == "Namespace" {
        return plan_namespace(kind, &stored.object, options, now);
    }
    let old: &Value = &stored.object;
    let Some(graceful) = kind.grace else { return without_grace(kind, old, options, now) };
    if meta::is_deleting(old) {
        return shorten(kind, old, options, now);
    }
    let asked = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let seconds = graceful(old, asked);
    let mut object = old.clone();
    meta::set_deletion_timestamp(&mut object, Some(now + SignedDuration::from_secs(seconds)));
    meta::set_deletion_grace_period_seconds(&mut object, Some(seconds));
    if meta::generation(old) > 0 {
        meta::set_generation(&mut object, meta::generation(old) + 1);
    }
    set_finalizers(kind, &mut object, options);
    let kept = seconds > 0 || meta::finalizers(&object).next().is_some();
    if kept { Plan::Mark(object) } else { Plan::Remove(object) }
}

/// A second deletion can only make the grace period shorter.
fn shorten(kind: &Kind, old: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let before = meta::deletion_grace_period_seconds(old).unwrap_or(0);
    let Some(asked) = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds }) else {
        return Plan::Nothing;
    };
    if asked >= before {
        return Plan::Nothing;
    }
    let mut object = old.clone();
    let started = meta::deletion_timestamp(old).unwrap_or(now) - SignedDuration::from_secs(before);
    meta::set_deletion_timestamp(&mut object, Some(started + SignedDuration::from_secs(asked)));
    meta::set_deletion_grace_period_seconds(&mut object, Some(asked));
    set_finalizers(kind, &mut object, options);
    let kept = asked > 0 || meta::finalizers(&object).next().is_some();
    if kept { Plan::Mark(object) } else { Plan::Remove(object) }
}

fn without_grace(kind: &Kind, old: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    let mut object = old.clone();
    set_finalizers(kind, &mut object, options);
    if meta::finalizers(&object).next().is_none() {
        return Plan::Remove(object);
    }
    mark(&mut object, now);
    Plan::Mark(object)
}

/// Marks an object of a kind without grace periods as deleted.
fn mark(object: &mut Value, now: Timestamp) {
    if meta::deletion_grace_period_seconds(object).is_none() && meta::generation(object) > 0 {
        let generation = meta::generation(object) + 1;
        meta::set_generation(object, generation);
    }
    if meta::deletion_timestamp(object).is_none_or(|at| at > now) {
        meta::set_deletion_timestamp(object, Some(now));
    }
    meta::set_deletion_grace_period_seconds(object, Some(0));
}

/// A namespace terminates: its content goes first, then the namespace controller takes its finalizer away.
fn plan_namespace(kind: &Kind, old: &Value, options: &DeleteOptions, now: Timestamp) -> Plan {
    if meta::is_deleting(old) {
        let kept = !old.items_at(&["spec", "finalizers"]).is_empty();
        return if kept { Plan::Nothing } else { without_grace(kind, old, options, now) };
    }
    let mut object = old.clone();
    meta::set_deletion_timestamp(&mut object, Some(now));
    object.set_at(&["status", "phase"], "Terminating");
    set_finalizers(kind, &mut object, options);
    Plan::Mark(object)
}

/// Sets or clears the two finalizers of the garbage collector as the options, the object or the kind say.
fn set_finalizers(kind: &Kind, object: &mut Value, options: &DeleteOptions) {
    let has = |name: &str| meta::finalizers(object).any(|finalizer| finalizer == name);
    let orphan = match (options.orphan_dependents, options.propagation) {
        (Some(orphan), _) => orphan,
        (None, Some(propagation)) => propagation == Propagation::Orphan,
        (None, None) if has(ORPHAN) => true,
        (None, None) if has(FOREGROUND) => false,
        (None, None) => kind.orphans_dependents,
    };
    let foreground = match (options.orphan_dependents, options.propagation) {
        (Some(_), _) => false,
        (None, Some(propagation)) => propagation == Propagation::Foreground,
        (None, None) => has(FOREGROUND) && !has(ORPHAN),
    };
    let others = meta::finalizers(object).filter(|name| !matches!(*name, ORPHAN | FOREGROUND)).map(str::to_owned);
    let mut wanted: Vec<String> = others.collect();
    wanted.extend(orphan.then(|| ORPHAN.to_owned()));
    wanted.extend(foreground.then(|| FOREGROUND.to_owned()));
    let same = meta::finalizers(object).count() == wanted.len()
        && meta::finalizers(object).all(|name| wanted.iter().any(|w| w == name));
    if !same {
        meta::set_finalizers(object, wanted);
    }
}
