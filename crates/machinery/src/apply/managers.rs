//! `metadata.managedFields` as data: who owns what, and since when.

use std::collections::BTreeMap;

use super::set::Set;
use crate::{Object, Text, Value, json};

/// How many entries that come from updates an object may have; the oldest are put together.
const MAX_UPDATERS: usize = 10;

/// The owner's name of updates that were put together.
const OLD_UPDATES: &str = "ancient-changes";

/// Owners of fields, by identity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managers(pub(super) BTreeMap<Identity, Owned>);

/// What makes two entries the same; ordered as its JSON text is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) manager: Text,
    /// `Apply` or `Update`.
    pub(super) operation: Text,
    /// Empty for `Apply`: an applier is the same in all versions.
    pub(super) api_version: Text,
    pub(super) subresource: Text,
}

/// What one owner has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Owned {
    pub(super) api_version: Text,
    pub(super) fields: Set,
    pub(super) time: Option<Text>,
}

impl Identity {
    pub(super) fn applier(manager: &str, subresource: &str) -> Self {
        let (operation, api_version) = ("Apply".into(), Text::default());
        Self { manager: manager.into(), operation, api_version, subresource: subresource.into() }
    }

    pub(super) fn updater(manager: &str, subresource: &str, api_version: &str) -> Self {
        let operation = "Update".into();
        Self { manager: manager.into(), operation, api_version: api_version.into(), subresource: subresource.into() }
    }

    fn is_updater(&self) -> bool {
        self.operation == "Update"
    }
}

/// As conflicts name an owner.
impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::field::quote(&self.manager))?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {}", crate::field::quote(&self.subresource))?;
        }
        if self.is_updater() {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

impl Managers {
    /// Reads the list of an object.
    ///
    /// # Errors
    /// If an entry lacks what identifies it, or its fields are no set.
    pub fn read(object: &Value) -> Result<Self, String> {
        let entries = object.items_at(&["metadata", "managedFields"]);
        entries.iter().enumerate().map(|(index, entry)| read_entry(index, entry)).collect::<Result<_, _>>().map(Self)
    }

    /// Puts the list into an object; an empty one is left out.
    pub fn write(&self, object: &mut Value) {
        if self.0.is_empty() {
            object.remove_at(&["metadata", "managedFields"]);
            return;
        }
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            let key = |identity: &Identity, owned: &Owned| {
                (identity.operation.clone(), owned.time.clone(), identity.manager.clone(), owned.api_version.clone())
            };
            key(a, x).cmp(&key(b, y)).then_with(|| a.subresource.cmp(&b.subresource))
        });
        let entries: Vec<Value> = entries.into_iter().map(|(identity, owned)| entry(identity, owned)).collect();
        object.set_at(&["metadata", "managedFields"], Value::Array(entries));
    }

    pub(super) fn drop_empty(&mut self) {
        self.0.retain(|_, owned| !owned.fields.is_empty());
    }

    /// Puts the oldest updaters of one version together until there are few enough.
    pub(super) fn cap_updaters(&mut self) {
        let mut updaters: Vec<_> = self.0.iter().filter(|(identity, _)| identity.is_updater()).collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATERS {
            return;
        }
        updaters.sort_by(|(a, x), (b, y)| x.time.cmp(&y.time).then_with(|| a.cmp(b)));
        let oldest: Vec<Identity> = updaters.into_iter().map(|(identity, _)| identity.clone()).collect();
        let mut first_of: BTreeMap<Text, Identity> = BTreeMap::new();
        for identity in oldest {
            if count <= MAX_UPDATERS {
                return;
            }
            let Some(owned) = self.0.get(&identity).cloned() else { continue };
            let Some(first) = first_of.get(&owned.api_version) else {
                first_of.insert(owned.api_version.clone(), identity);
                continue;
            };
            let bucket = Identity::updater(OLD_UPDATES, "", &owned.api_version);
            if !self.0.contains_key(&bucket)
                && let Some(start) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), start);
            }
            if let Some(joined) = self.0.get_mut(&bucket) {
                joined.fields = std::mem::take(&mut joined.fields).union(&owned.fields);
                joined.time = owned.time;
            }
            self.0.remove(&identity);
            count -= 1;
        }
    }
}

fn read_entry(index: usize, value: &Value) -> Result<(Identity, Owned), String> {
    let text = |name: &str| value.str_at(&[name]).unwrap_or_default();
    let (operation, api_version) = (text("operation"), text("apiVersion"));
    if operation != "Apply" && operation != "Update" {
        return Err("operation must be `Apply` or `Update`".to_owned());
    }
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType") {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
        other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
    }
    let fields = value.get("fieldsV1").map_or(Some(Set::default()), Set::from_value);
    let fields = fields.ok_or_else(|| format!("error decoding set from managed fields entry {index}"))?;
    let identity = if operation == "Apply" {
        Identity::applier(text("manager"), text("subresource"))
    } else {
        Identity::updater(text("manager"), text("subresource"), api_version)
    };
    let time = value.str_at(&["time"]).map(Text::from);
    Ok((identity, Owned { api_version: api_version.into(), fields, time }))
}

fn entry(identity: &Identity, owned: &Owned) -> Value {
    let mut entry = Object::with_capacity(7);
    let mut put = |name: &'static str, text: &Text| {
        if !text.is_empty() {
            entry.push(Text::const_new(name), Value::String(text.clone()));
        }
    };
    put("manager", &identity.manager);
    put("operation", &identity.operation);
    put("apiVersion", &owned.api_version);
    if let Some(time) = &owned.time {
        put("time", time);
    }
    entry.push("fieldsType", "FieldsV1".into());
    entry.push("fieldsV1", owned.fields.to_value());
    if !identity.subresource.is_empty() {
        entry.push("subresource", Value::String(identity.subresource.clone()));
    }
    Value::Object(entry)
}

/// Whether a request asks to forget all owners: one entry with nothing in it.
pub(super) fn is_reset(object: &Value) -> bool {
    match object.items_at(&["metadata", "managedFields"]) {
        [one] => json::to_vec(one) == b"{}",
        _ => false,
    }
}

/// `object` without its owners.
pub(super) fn without(object: &Value) -> Value {
    let mut object = object.clone();
    object.remove_at(&["metadata", "managedFields"]);
    object
}
