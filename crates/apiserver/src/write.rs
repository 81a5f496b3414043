//! The way of an object into the store, the same for every verb: prepare, check, admit, store.

use std::sync::Arc;

use jiff::Timestamp;
use kinds::{Context, Kind, Subresource};
use machinery::field::{Error, Path};
use machinery::status::In;
use machinery::{Status, Value, meta};

use crate::User;
use crate::access::{self, Write};
use crate::admission::Operation;
use crate::allocation::{self, Claim};
use crate::call::Call;
use crate::objects::{Objects, Raced, Stored};
use crate::options::WriteOptions;
use crate::server::Server;
use crate::{codec, device_access, owners, quota};

/// A generated name is tried this often; then the client is told that all were taken.
const GENERATE_ATTEMPTS: usize = 8;

/// A generated name is the prefix, cut to this, and a suffix.
const GENERATE_PREFIX_BYTES: usize = 58;

/// How long the suffix is.
const GENERATE_SUFFIX: usize = 5;

const OWNERS: &[&str] = &["metadata", "managedFields"];

/// How a PUT or PATCH ends.
#[derive(Debug)]
pub enum Written {
    /// The object is stored.
    Stored(Stored),
    /// The last finalizer of a deleted object went, so the object did.
    Removed(Arc<Value>),
}

impl Written {
    /// The object.
    #[must_use]
    pub fn object(self) -> Arc<Value> {
        match self {
            Self::Stored(stored) => stored.object,
            Self::Removed(object) => object,
        }
    }
}

/// Creates `object`, which is decoded and defaulted.
///
/// # Errors
/// 409 when it exists, 422 when it is not valid, and what admission says.
pub async fn create(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Stored, Status> {
    let admission =
        Write { operation: Operation::Create, kind, body_kind: kind.kind, old: None, dry_run: options.dry_run };
    access::admit(server, call, &admission, &mut object).await?;
    owners::name_once(call, &mut object, owners::AFTER_ADMISSION);
    access::hands_on(server, call, &admission, &object).await?;
    let generated = meta::name(&object).is_empty() && !meta::generate_name(&object).is_empty();
    if !generated {
        return create_once(server, call, kind, object, options).await;
    }
    let mut attempt = 1;
    loop {
        let result = create_once(server, call, kind, object.clone(), options).await;
        match result {
            Err(status) if &*status.reason == "AlreadyExists" => {
                if attempt == GENERATE_ATTEMPTS {
                    let name = status.details.as_ref().map_or("", |details| details.name.as_str());
                    return Err(Status::generate_name_conflict(kind.group_resource(), name, 1));
                }
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn create_once(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    mut object: Value,
    options: &WriteOptions,
) -> Result<Stored, Status> {
    let now = server.clock.now();
    fill_system_fields(server, &mut object, now);
    with_context(&call.user, now, |context| kind.prepare_for_create(&mut object, context));
    let objects = &*server.access.authenticator.objects;
    let mut errors: Vec<Error> = device_access::check_wish(objects, kind, &object).into_iter().collect();
    errors.extend(kind.check_create(&object));
    if !errors.is_empty() {
        return Err(Status::invalid(kind.group_kind(), meta::name(&object), &errors));
    }
    let admission =
        Write { operation: Operation::Create, kind, body_kind: kind.kind, old: None, dry_run: options.dry_run };
    call.warnings.extend((kind.warnings)(&object, None));
    access::validate(server, call, &admission, &mut object).await?;
    quota::charge(server, call, &admission, &object).await?;
    let claim = allocate(server, kind, &mut object, None, options.dry_run).await?;
    // What a hook has added may have defaults of its own (a Job's labels come from its template's).
    codec::default(kind, &mut object);
    codec::settle(kind, &mut object);
    let stored = Objects::new(server, kind).create(object, options.dry_run).await;
    if let Some(claim) = claim {
        claim.settle(server, &stored).await;
    }
    stored
}

/// Replaces `stored` by `new`, which is decoded and defaulted, through the object itself or a subresource.
///
/// # Errors
/// 409 when the object has changed, 422 when the new one is not valid, and what admission says; [`Raced`] when
/// somebody wrote meanwhile and the caller may try again.
pub async fn update(
    server: &Server,
    call: &mut Call,
    kind: &'static Kind,
    subresource: Option<&'static Subresource>,
    stored: &Stored,
    mut new: Value,
    options: &WriteOptions,
) -> Result<Result<Written, Raced>, Status> {
    let (old, now): (&Value, _) = (&stored.object, server.clock.now());
    let admission =
        Write { operation: Operation::Update, kind, body_kind: kind.kind, old: Some(old), dry_run: options.dry_run };
    access::admit(server, call, &admission, &mut new).await?;
    owners::name_once(call, &mut new, owners::AFTER_ADMISSION);
    access::hands_on(server, call, &admission, &new).await?;
    check_version(kind, &mut new, old)?;
    let owners = new.at(OWNERS).cloned().unwrap_or_default();
    let errors = with_context(&call.user, now, |context| match subresource {
        Some(subresource) => {
            subresource.prepare_for_update(&mut new, old, context);
            // A view of a part may put back all else; who owns what is not its to say.
            keep_owners(&mut new, owners);
            let objects = &*server.access.authenticator.objects;
            let mut errors: Vec<Error> = device_access::check_grant(objects, kind, &new, old).into_iter().collect();
            errors.extend(subresource.check_update(&new, old));
            errors
        }
        None => {
            kind.prepare_for_update(&mut new, old, context);
            kind.check_update(&new, old)
        }
    });
    if !errors.is_empty() {
        return Err(Status::invalid(kind.group_kind(), meta::name(&new), &errors));
    }
    if subresource.is_none() {
        call.warnings.extend((kind.warnings)(&new, Some(old)));
    }
    access::validate(server, call, &admission, &mut new).await?;
    quota::charge(server, call, &admission, &new).await?;
    let goes = goes_now(kind, &new, old) && !options.dry_run;
    let claim = match subresource {
        None if !goes => allocate(server, kind, &mut new, Some(old), options.dry_run).await?,
        _ => None,
    };
    codec::default(kind, &mut new);
    codec::settle(kind, &mut new);
    machinery::apply::ignore_timestamps(old, &mut new);
    let objects = Objects::new(server, kind);
    if goes {
        let removed = objects.remove(stored).await?;
        if removed.is_ok() && allocation::concerns(kind) {
            allocation::gone(server, old).await;
        }
        return Ok(removed.map(|_| Written::Removed(Arc::new(new))));
    }
    let replaced = objects.replace(stored, new, options.dry_run).await;
    if let Some(claim) = claim {
        match &replaced {
            Ok(Err(Raced)) => claim.give_back(server).await,
            replaced => claim.settle(server, replaced).await,
        }
    }
    Ok(replaced?.map(Written::Stored))
}

fn keep_owners(object: &mut Value, owners: Value) {
    match owners {
        Value::Null => drop(object.remove_at(OWNERS)),
        owners => object.set_at(OWNERS, owners),
    }
}

/// Gives a service, which was `old` before, addresses and ports; other kinds get none.
async fn allocate(
    server: &Server,
    kind: &Kind,
    object: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Option<Claim>, Status> {
    if !allocation::concerns(kind) {
        return Ok(None);
    }
    allocation::allocate(server, object, old, dry_run).await.map(Some)
}

/// Whether the update takes away what kept a deleted object there.
fn goes_now(kind: &Kind, new: &Value, old: &Value) -> bool {
    let no_finalizers = meta::finalizers(new).next().is_none();
    if kind.group.is_empty() && kind.kind == "Namespace" {
        return no_finalizers && meta::is_deleting(new) && new.items_at(&["spec", "finalizers"]).is_empty();
    }
    no_finalizers && meta::is_deleting(old) && meta::deletion_grace_period_seconds(old) == Some(0)
}

/// The resourceVersion of an update: absent it overwrites, where the kind allows that; else it must be the present one.
fn check_version(kind: &Kind, new: &mut Value, old: &Value) -> Result<(), Status> {
    let (asked, present) = (meta::resource_version(new).to_owned(), meta::resource_version(old));
    if asked.is_empty() || asked == "0" {
        if kind.writes.unconditional {
            meta::set_resource_version(new, present);
            return Ok(());
        }
        let error = Error::invalid_shown(
            &Path::new("metadata").child("resourceVersion"),
            "0x0",
            "must be specified for an update",
        );
        return Err(Status::invalid(kind.group_kind(), meta::name(new), &vec![error]));
    }
    if asked.parse::<u64>().is_err() {
        let quoted = machinery::field::quote(&asked);
        return Err(Status::unknown(format!("strconv.ParseUint: parsing {quoted}: invalid syntax")));
    }
    if asked != present {
        return Err(Status::modified(kind.group_resource(), meta::name(new)));
    }
    Ok(())
}

fn fill_system_fields(server: &Server, object: &mut Value, now: Timestamp) {
    if meta::name(object).is_empty() && !meta::generate_name(object).is_empty() {
        let mut prefix = meta::generate_name(object).to_owned();
        while prefix.len() > GENERATE_PREFIX_BYTES {
            prefix.pop();
        }
        let name = format!("{prefix}{}", server.random.suffix(GENERATE_SUFFIX));
        meta::set_name(object, &name);
    }
    meta::set_uid(object, &server.random.uuid());
    meta::set_creation_timestamp(object, now);
    object.remove_at(&["metadata", "selfLink"]);
}

/// Runs `work` with what hooks may know about the request.
pub fn with_context<T>(user: &User, now: Timestamp, work: impl FnOnce(&Context<'_>) -> T) -> T {
    let extra: Vec<(String, Vec<String>)> = user.extra.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    work(&Context { user: &user.name, uid: &user.uid, groups: &user.groups, extra: &extra, now })
}

/// Makes the object's namespace that of the path; what an object without one says of it is forgotten.
///
/// # Errors
/// 400 when it has another one.
pub fn fit_namespace(call: &Call, kind: &Kind, object: &mut Value) -> Result<(), Status> {
    let wanted = if kind.namespaced { call.info.namespace.as_str() } else { "" };
    let found = meta::namespace(object);
    if wanted.is_empty() {
        object.remove_at(&["metadata", "namespace"]);
    } else if found.is_empty() {
        meta::set_namespace(object, wanted);
    } else if found != wanted {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Checks that the object is the one that the path names.
///
/// # Errors
/// 400 when it has another name or none.
pub fn fit_name(call: &Call, object: &Value) -> Result<(), Status> {
    let (wanted, found) = (call.info.name.as_str(), meta::name(object));
    if found.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        )));
    }
    if found != wanted {
        return Err(Status::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({wanted})"
        )));
    }
    Ok(())
}

/// The answer when a body's uid is not that of the stored object.
#[must_use]
pub fn other_uid(what: In<'_>, key: &str, object: &Value, asked: &str) -> Status {
    other(what, key, object, ("UID", asked, meta::uid(object)))
}

/// The answer when the stored object is another one than asked for: what differs, what was asked, what is.
#[must_use]
pub fn other(what: In<'_>, key: &str, object: &Value, (field, asked, present): (&str, &str, &str)) -> Status {
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
         failed: {field} in precondition: {asked}, {field} in object meta: {present}"
    );
    Status::conflict(what, meta::name(object), why)
}
