//! Ownership after a create, an update or a patch: who writes a field owns it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::compare::{self, Difference};
use super::conflict::{self, Conflict};
use super::managers::{self, Identity, Managers, Owned};
use super::set::Set;
use super::{Convert, Write};
use crate::{Value, meta};

/// Fields that the server sets and nobody owns.
const UNOWNED: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Sets `metadata.managedFields` of `new`, which is about to replace `live` (an empty object when `new` is created).
///
/// Never fails: where owners cannot be told, the object has none, as upstream does.
pub fn update(live: &Value, new: &mut Value, write: &Write) {
    let Some(mut managers) = live_or_new(live, new, write) else { return };
    new.remove_at(&["metadata", "managedFields"]);
    let is_untracked = managers.0.is_empty() && !meta::uid(live).is_empty();
    if !is_untracked {
        let is_new = live.as_object().is_none_or(crate::Object::is_empty);
        // Before the first write there was Go's zero object, in which structs are there and empty.
        let live = if is_new { write.message.zero() } else { live };
        take(live, new, write, write.manager, &mut managers);
    }
    managers.write(new);
}

/// The owners so far: those that the request sets by hand, if it does, else those of the live object.
fn live_or_new(live: &Value, new: &Value, write: &Write) -> Option<Managers> {
    let of_live = || Some(Managers::read(live).unwrap_or_default());
    if !write.subresource.is_empty() {
        return of_live();
    }
    if managers::is_reset(new) {
        return Some(Managers::default());
    }
    match Managers::read(new) {
        Ok(managers) if !managers.0.is_empty() => Some(managers),
        _ => of_live(),
    }
}

/// Gives the fields that differ between `live` and `new` to `manager`.
pub(super) fn take(live: &Value, new: &Value, write: &Write, manager: &str, managers: &mut Managers) {
    // Nothing conflicts with an update: it takes what it changes.
    let Ok(difference) = disown(live, new, write, managers, None, true) else { return };
    let mut fields = difference.into_changed();
    if let Some(reset) = write.reset {
        fields = fields.recursive_difference(reset);
    }
    let fields = strip(fields);
    if !fields.is_empty() {
        let identity = Identity::updater(manager, write.subresource, write.api_version);
        let owned = managers.0.entry(identity).or_insert_with(|| Owned {
            api_version: write.api_version.into(),
            fields: Set::default(),
            time: None,
        });
        owned.fields = fields.union(&owned.fields);
        owned.time = Some(write.time.into());
    }
    managers.cap_updaters();
}

/// Without what nobody owns.
pub(super) fn strip(fields: Set) -> Set {
    static NOBODYS: LazyLock<Set> = LazyLock::new(|| {
        let mut unowned = Set::default();
        UNOWNED.iter().for_each(|path| unowned.insert(path));
        unowned
    });
    fields.difference(&NOBODYS)
}

/// The list of owners itself, which `live` has and `new` does not have yet.
static OWNERS: LazyLock<Set> = LazyLock::new(|| {
    let mut owners = Set::default();
    owners.insert(&["metadata", "managedFields"]);
    owners
});

/// Takes from everyone but `writer` what differs between `live` and `new`; gives the difference in the write's version.
pub(super) fn disown(
    live: &Value,
    new: &Value,
    write: &Write,
    managers: &mut Managers,
    writer: Option<&Identity>,
    force: bool,
) -> Result<Difference, Vec<Conflict>> {
    let mut differences = Differences { live, new, write, others: BTreeMap::new() };
    let here = compare::compare(write.message, live, new).without(write.reset).without(Some(&OWNERS));
    let mut conflicts: BTreeMap<Identity, Set> = BTreeMap::new();
    let mut losses: BTreeMap<Identity, Set> = BTreeMap::new();
    let mut unserved: Vec<Identity> = Vec::new();
    for (identity, owned) in managers.0.iter().filter(|(identity, _)| Some(*identity) != writer) {
        let Some(difference) = differences.in_version(&owned.api_version, &here) else {
            unserved.push(identity.clone());
            continue;
        };
        if difference.is_empty() {
            continue;
        }
        let conflict = owned.fields.intersection(&difference.changed());
        losses.insert(identity.clone(), conflict.clone().union(&difference.removed));
        if !conflict.is_empty() {
            conflicts.insert(identity.clone(), conflict);
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(conflict::list(&conflicts));
    }
    unserved.iter().for_each(|identity| drop(managers.0.remove(identity)));
    for (identity, lost) in losses {
        if let Some(owned) = managers.0.get_mut(&identity).filter(|_| !lost.is_empty()) {
            owned.fields = std::mem::take(&mut owned.fields).difference(&lost);
        }
    }
    managers.drop_empty();
    Ok(here)
}

/// Differences by version, each found once.
struct Differences<'w, 'c> {
    live: &'w Value,
    new: &'w Value,
    write: &'w Write<'c>,
    others: BTreeMap<String, Option<Difference>>,
}

impl Differences<'_, '_> {
    fn in_version<'d>(&'d mut self, version: &str, here: &'d Difference) -> Option<&'d Difference> {
        if version == self.write.api_version {
            return Some(here);
        }
        if !self.others.contains_key(version) {
            let found = converted(self.live, self.new, self.write.convert, version);
            self.others.insert(version.to_owned(), found);
        }
        self.others.get(version)?.as_ref()
    }
}

fn converted(live: &Value, new: &Value, convert: &Convert, version: &str) -> Option<Difference> {
    let (live, message) = convert(live, version)?;
    let (new, _) = convert(new, version)?;
    Some(compare::compare(message, &live, &new))
}
