//! Server-side apply: the live object with what the configuration says, without what its manager no longer says.

use std::collections::BTreeMap;

use super::fields_of::fields_of;
use super::managers::{self, Identity, Managers, Owned};
use super::remove::{remove, with_named_parents};
use super::set::Set;
use super::{Error, Write, last_applied, merge, updated, validate};
use crate::schema::Message;
use crate::{Text, Value, meta};

/// The owner of everything that was there before the first apply to an object without owners.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Applies `config` to `live` (an empty object when there is none); gives the object to decode, default and store.
///
/// # Errors
/// Conflicts unless `force`; a configuration that is for another version or kind, or does not fit the shape.
pub fn apply(live: &Value, config: &Value, force: bool, write: &Write) -> Result<Value, Error> {
    check(config, write)?;
    let mut managers =
        Managers::read(live).map_err(|error| Error::Internal(format!("failed to decode managed fields: {error}")))?;
    let is_new = live.as_object().is_none_or(crate::Object::is_empty);
    let live = if is_new { write.message.zero().clone() } else { managers::without(live) };
    if managers.0.is_empty() {
        updated::take(write.message.zero(), &live, write, BEFORE_FIRST_APPLY, &mut managers);
    }
    let result = match apply_once(&live, config, force, write, managers.clone()) {
        Err(Error::Conflicts(conflicts)) => {
            let left = last_applied::remaining(&live, write, conflicts);
            if left.is_empty() { apply_once(&live, config, true, write, managers) } else { Err(Error::Conflicts(left)) }
        }
        result => result,
    };
    let (mut object, managers) = result?;
    last_applied::refresh(&mut object, config, write.manager);
    managers.write(&mut object);
    Ok(object)
}

fn check(config: &Value, write: &Write) -> Result<(), Error> {
    let kind = meta::kind(config);
    let (version, served) = (meta::api_version(config), write.message.short_name());
    if version != write.api_version || kind != served {
        return Err(Error::BadRequest(format!("invalid object type: {}", group_version_kind(config))));
    }
    if config.at(&["metadata", "managedFields"]).is_some_and(|fields| !fields.is_null()) {
        return Err(Error::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    validate::validate(write.message, config).map_err(|error| {
        let (namespace, name) = (meta::namespace(config), meta::name(config));
        let what = format!("{namespace}/{name}; {}", group_version_kind(config));
        Error::Internal(format!("failed to create typed patch object ({what}): {error}"))
    })
}

fn group_version_kind(object: &Value) -> String {
    let version = meta::api_version(object);
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{slash}{version}, Kind={}", meta::kind(object))
}

fn apply_once(
    live: &Value,
    config: &Value,
    force: bool,
    write: &Write,
    mut managers: Managers,
) -> Result<(Value, Managers), Error> {
    let identity = Identity::applier(write.manager, write.subresource);
    let merged = merge::merge(write.message, live, config);
    let mut fields = fields_of(write.message, config);
    if let Some(reset) = write.reset {
        fields = fields.recursive_difference(reset);
    }
    let owned = Owned { api_version: Text::from(write.api_version), fields, time: None };
    let last = managers.0.insert(identity.clone(), owned);
    let time = last.as_ref().and_then(|last| last.time.clone());
    let new = match last {
        Some(last) if !last.fields.is_empty() => prune(merged, &last, &managers, write)?,
        _ => merged,
    };
    let difference =
        updated::disown(live, &new, write, &mut managers, Some(&identity), force).map_err(Error::Conflicts)?;
    let changes = !difference.is_empty();
    if let Some(owned) = managers.0.get_mut(&identity) {
        owned.fields = updated::strip(std::mem::take(&mut owned.fields));
        owned.time = if changes { Some(write.time.into()) } else { time };
    }
    managers.drop_empty();
    Ok((if changes { new } else { live.clone() }, managers))
}

/// Removes what the manager set last time and nobody, the manager included, sets now.
fn prune(merged: Value, last: &Owned, managers: &Managers, write: &Write) -> Result<Value, Error> {
    let foreign = last.api_version != write.api_version;
    let (merged, message) = if foreign {
        match (write.convert)(&merged, &last.api_version) {
            Some(converted) => converted,
            // The version is gone, and with it what was set in it.
            None => return Ok(merged),
        }
    } else {
        (merged, write.message)
    };
    let gave_up = with_named_parents(message, &last.fields);
    let mut pruned = remove(message, merged.clone(), &gave_up);
    for (version, owned) in by_version(managers, &last.api_version) {
        pruned = add_back_owned(&merged, pruned, &version, &owned, (&last.api_version, message), write);
    }
    let pruned = add_back_dangling(merged, &pruned, &last.fields, message);
    if !foreign {
        return Ok(pruned);
    }
    let back = (write.convert)(&pruned, write.api_version);
    back.map(|(object, _)| object)
        .ok_or_else(|| Error::Internal(format!("failed to convert merged object to {}", write.api_version)))
}

/// What all managers own, by version; the version of `first` comes first.
fn by_version(managers: &Managers, first: &str) -> Vec<(Text, Set)> {
    let mut owned: BTreeMap<Text, Set> = BTreeMap::new();
    for manager in managers.0.values() {
        let set = owned.entry(manager.api_version.clone()).or_default();
        *set = std::mem::take(set).union(&manager.fields);
    }
    let mut all: Vec<_> = owned.into_iter().collect();
    all.sort_by_key(|(version, _)| version != first);
    all
}

/// Puts back what was pruned but someone owns.
fn add_back_owned(
    merged: &Value,
    pruned: Value,
    version: &str,
    owned: &Set,
    (here, message): (&str, &Message),
    write: &Write,
) -> Value {
    if version == here {
        return keep_owned(message, merged.clone(), &pruned, owned);
    }
    let there = (write.convert)(merged, version).zip((write.convert)(&pruned, version));
    let Some(((merged, message), (there, _))) = there else { return pruned };
    let kept = keep_owned(message, merged, &there, owned);
    (write.convert)(&kept, here).map_or(pruned, |(object, _)| object)
}

fn keep_owned(message: &Message, merged: Value, pruned: &Value, owned: &Set) -> Value {
    let all = with_named_parents(message, &fields_of(message, &merged));
    let left = with_named_parents(message, &fields_of(message, pruned));
    let gone = all.difference(&left.union(&with_named_parents(message, owned)));
    remove(message, merged, &gone)
}

/// Puts back what was pruned only because something around it was, and the manager never set.
fn add_back_dangling(merged: Value, pruned: &Value, last: &Set, message: &Message) -> Value {
    let all = with_named_parents(message, &fields_of(message, &merged));
    let left = with_named_parents(message, &fields_of(message, pruned));
    let gone = all.difference(&left).intersection(&with_named_parents(message, last));
    remove(message, merged, &gone)
}
