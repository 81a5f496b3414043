//! What must hold of every kind, whatever is applied to it.

use super::generated::{Chance, bare, kinds, object, split};
use super::{Managers, Set, Write, apply, update};
use crate::schema::{FieldValidation, Message, decode};
use crate::{Value, json};

/// So many objects of each kind.
const SEEDS: u64 = 12;

/// One kind.
struct Kind {
    api_version: &'static str,
    name: &'static str,
    message: &'static Message,
}

impl Kind {
    fn write<T>(&self, manager: &str, act: impl FnOnce(&Write) -> T) -> T {
        let time = "2026-01-01T00:00:00Z";
        let (api_version, message) = (self.api_version, self.message);
        act(&Write { manager, subresource: "", api_version, time, message, reset: None, convert: &|_, _| None })
    }

    /// The object after `manager` has applied `config`, as it would be stored.
    fn apply(&self, live: &Value, manager: &str, config: &Value) -> Value {
        let applied = self.write(manager, |write| apply(live, config, false, write));
        let mut new = applied.unwrap_or_else(|error| panic!("{manager} applies {}: {error}", json::to_string(config)));
        self.settle(&mut new);
        new
    }

    fn settle(&self, object: &mut Value) {
        decode(self.message, object, FieldValidation::Strict).unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    fn bare(&self) -> Value {
        bare(self.api_version, self.name)
    }
}

fn each(mut check: impl FnMut(&Kind, &mut Chance)) {
    for (api_version, name, message) in kinds() {
        for seed in 0..SEEDS {
            check(&Kind { api_version, name, message }, &mut Chance::new(seed));
        }
    }
}

fn of(kind: &Kind, chance: &mut Chance) -> Value {
    object(kind.api_version, kind.name, kind.message, chance)
}

/// The object without its owners, lists in an order that does not depend on who came first.
fn content(object: &Value) -> String {
    let mut object = super::managers::without(object);
    order(&mut object);
    json::to_string(&object)
}

fn order(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.sort();
            object.iter_mut().for_each(|(_, member)| order(member));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(order);
            items.sort_by_key(json::to_string);
        }
        _ => {}
    }
}

#[test]
fn applying_again_changes_nothing() {
    each(|kind, chance| {
        let config = of(kind, chance);
        let once = kind.apply(&Value::object(), "m1", &config);
        assert_eq!(kind.apply(&once, "m1", &config), once, "{}", kind.name);
    });
}

#[test]
fn who_owns_what_is_written_and_read() {
    each(|kind, chance| {
        let live = kind.apply(&Value::object(), "m1", &of(kind, chance));
        for manager in Managers::read(&live).unwrap().0.values() {
            assert_eq!(Set::from_value(&manager.fields.to_value()).as_ref(), Some(&manager.fields), "{}", kind.name);
        }
    });
}

#[test]
fn who_agrees_shares() {
    each(|kind, chance| {
        let (config, bare) = (of(kind, chance), kind.bare());
        let one = kind.apply(&Value::object(), "m1", &config);
        let two = kind.apply(&one, "m2", &config);
        assert_eq!(content(&two), content(&one), "{}", kind.name);
        // The first to leave takes nothing along, the last one all.
        let left = kind.apply(&two, "m1", &bare);
        assert_eq!(content(&left), content(&one), "{}", kind.name);
        let gone = kind.apply(&left, "m2", &bare);
        let nothing = kind.apply(&Value::object(), "m1", &bare);
        assert_eq!(content(&gone), content(&nothing), "{}", kind.name);
    });
}

#[test]
fn what_has_nothing_in_common_commutes() {
    each(|kind, chance| {
        let config = of(kind, chance);
        let (left, right) = split(kind.message, &config, chance);
        let nothing = Value::object();
        let one_way = kind.apply(&kind.apply(&nothing, "m1", &left), "m2", &right);
        let other_way = kind.apply(&kind.apply(&nothing, "m2", &right), "m1", &left);
        assert_eq!(content(&one_way), content(&other_way), "{} {}", kind.name, json::to_string(&config));
    });
}

#[test]
fn who_leaves_does_not_touch_what_others_own() {
    each(|kind, chance| {
        let (left, right) = split(kind.message, &of(kind, chance), chance);
        let both = kind.apply(&kind.apply(&Value::object(), "m1", &left), "m2", &right);
        let after = kind.apply(&both, "m2", &kind.bare());
        assert_eq!(kind.apply(&after, "m1", &left), after, "{} {}", kind.name, json::to_string(&left));
    });
}

#[test]
fn an_update_leaves_appliers_what_it_does_not_change() {
    each(|kind, chance| {
        let config = of(kind, chance);
        let live = kind.apply(&Value::object(), "m1", &config);
        let before = Managers::read(&live).unwrap();
        let mut new = live.clone();
        new.set_at(&["metadata", "labels", "new"], "x");
        kind.settle(&mut new);
        kind.write("editor", |write| update(&live, &mut new, write));
        let after = Managers::read(&new).unwrap();
        for (identity, owned) in &before.0 {
            assert_eq!(after.0.get(identity).map(|owned| &owned.fields), Some(&owned.fields), "{}", kind.name);
        }
        assert_eq!(after.0.len(), before.0.len() + 1, "{}", kind.name);
    });
}
