//! Objects of any built-in kind, made up from the field table and a seed: small, valid in shape, each time the same.

use crate::schema::{self, Field, FieldValidation, Kind, List, Message, Relation, Type};
use crate::{Object, Text, Value, meta};

/// How deep objects nest.
const DEPTH: usize = 7;

/// A sequence of numbers that looks like chance (xorshift).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Every kind of the table that stands for itself, as API version and kind.
pub fn kinds() -> Vec<(&'static str, &'static str, &'static Message)> {
    let lines = include_str!("../proto/sample.txt").lines().filter(|line| !line.starts_with('#'));
    let named = lines.filter_map(|line| {
        let mut words = line.split(' ');
        let (api_version, kind) = (words.next()?, words.next()?);
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some((api_version, kind, schema::of_kind(group, version, kind)?))
    });
    let is_object = |kind: &str, message: &Message| {
        !kind.ends_with("List") && kind != "Status" && message.field("metadata").is_some()
    };
    named.filter(|(_, kind, message)| is_object(kind, message)).collect()
}

/// An object with nothing but its type and name.
pub fn bare(api_version: &str, kind: &str) -> Value {
    let mut object = crate::value!({"metadata": {"name": "a"}});
    meta::set_type(&mut object, api_version, kind);
    object
}

/// A configuration of this kind.
pub fn object(api_version: &str, kind: &str, message: &Message, chance: &mut Chance) -> Value {
    let mut object = bare(api_version, kind);
    for name in ["labels", "annotations"] {
        if chance.once_in(2) {
            object.set_at(&["metadata", name, chance_text(chance)], chance_text(chance));
        }
    }
    for field in &message.fields {
        if !["kind", "apiVersion", "metadata"].contains(&field.name.as_str()) && !chance.once_in(4) {
            object.set_at(&[&field.name], value_of(field, chance, DEPTH));
        }
    }
    // As a client with types writes it: with the zeros and nulls that are always written.
    schema::decode(message, &mut object, FieldValidation::Strict).expect("it follows the table");
    object
}

fn chance_text(chance: &mut Chance) -> &'static str {
    ["a", "b", "c"][chance.below(3)]
}

fn value_of(field: &Field, chance: &mut Chance, depth: usize) -> Value {
    let known = &field.enumeration;
    match (&field.kind.kind, known.as_slice()) {
        (Kind::String, [_, ..]) => known[chance.below(known.len())].into(),
        // The texts of a list are the known ones.
        (Kind::List(_), [one, ..]) => vec![Value::from(*one)].into(),
        _ => of_type(&field.kind, chance, depth),
    }
}

fn of_type(kind: &Type, chance: &mut Chance, depth: usize) -> Value {
    match &kind.kind {
        Kind::String => chance_text(chance).into(),
        Kind::IntOrString if chance.once_in(2) => "50%".into(),
        Kind::Bool => chance.once_in(2).into(),
        Kind::Int32 | Kind::Int64 | Kind::IntOrString => i64::try_from(chance.below(9)).unwrap().into(),
        Kind::Float => Value::Float(0.5),
        Kind::Bytes => "YQ==".into(),
        Kind::Quantity => ["1", "100m", "1Gi"][chance.below(3)].into(),
        Kind::Time => "2026-01-01T00:00:00Z".into(),
        Kind::MicroTime => "2026-01-01T00:00:00.000001Z".into(),
        Kind::Fields | Kind::Raw | Kind::Json => crate::value!({"x": 1}),
        Kind::SchemaOrBool | Kind::SchemaOrArray | Kind::SchemaOrStrings => Value::Bool(true),
        Kind::Message(reference) => Value::Object(members(reference.message(), chance, depth)),
        Kind::List(list) => Value::Array(items(list, chance, depth)),
        Kind::Map(map) => {
            let names = 0..chance.below(3);
            let mut object = Object::default();
            for _ in names {
                object.insert(Text::from(chance_text(chance)), of_type(&map.value, chance, depth.saturating_sub(1)));
            }
            Value::Object(object)
        }
    }
}

/// Some fields of a message; deep down only those that cannot nest further.
fn members(message: &Message, chance: &mut Chance, depth: usize) -> Object {
    let mut object = Object::default();
    for field in &message.fields {
        let nests = matches!(field.kind.kind, Kind::Message(_) | Kind::List(_) | Kind::Map(_));
        if chance.once_in(3) && (depth > 0 || !nests) {
            object.insert(field.name.clone(), value_of(field, chance, depth.saturating_sub(1)));
        }
    }
    object
}

fn items(list: &List, chance: &mut Chance, depth: usize) -> Vec<Value> {
    let count = 1 + chance.below(2);
    let mut items: Vec<Value> = (0..count).map(|_| of_type(&list.item, chance, depth.saturating_sub(1))).collect();
    match (&list.relation, &list.item.kind) {
        (Relation::Map(keys), Kind::Message(reference)) => {
            for (at, item) in items.iter_mut().enumerate() {
                for key in keys {
                    let field = reference.message().field(key);
                    let number = field.is_some_and(|field| matches!(field.kind.kind, Kind::Int32 | Kind::Int64));
                    let value: Value = if number { i64::try_from(at).unwrap().into() } else { format!("k{at}").into() };
                    item.set_at(&[key], value);
                }
            }
        }
        (Relation::Set, _) => {
            let all = std::mem::take(&mut items);
            all.into_iter().for_each(|item| {
                if !items.contains(&item) {
                    items.push(item)
                }
            });
        }
        _ => {}
    }
    items
}

/// `object` in two parts that have no field in common but what names it and the items of its lists.
pub fn split(message: &Message, object: &Value, chance: &mut Chance) -> (Value, Value) {
    let whole = object.as_object().expect("a message is an object");
    let (mut left, mut right) = (Object::default(), Object::default());
    for (name, value) in whole.iter() {
        if message.is_root() && ["kind", "apiVersion"].contains(&name.as_str()) {
            left.insert(name.clone(), value.clone());
            right.insert(name.clone(), value.clone());
            continue;
        }
        if message.is_root() && name == "metadata" {
            left.insert(name.clone(), value.clone());
            right.insert(name.clone(), crate::value!({"name": "a"}));
            continue;
        }
        let (ours, theirs) = split_value(message.field(name).map(|field| &field.kind), value, chance);
        for (part, value) in [(&mut left, ours), (&mut right, theirs)] {
            if let Some(value) = value {
                part.insert(name.clone(), value);
            }
        }
    }
    (Value::Object(left), Value::Object(right))
}

fn split_value(kind: Option<&Type>, value: &Value, chance: &mut Chance) -> (Option<Value>, Option<Value>) {
    match (kind.map(|kind| &kind.kind), value) {
        (Some(Kind::Message(reference)), Value::Object(_)) if !reference.is_atomic() => {
            let (left, right) = split(reference.message(), value, chance);
            let some = |part: Value| part.as_object().is_some_and(|object| !object.is_empty()).then_some(part);
            (some(left), some(right))
        }
        (Some(Kind::Map(map)), Value::Object(object)) if !map.atomic => {
            let (left, right): (Vec<_>, Vec<_>) =
                object.iter().map(|(k, v)| (k.clone(), v.clone())).partition(|_| chance.once_in(2));
            let some = |part: Vec<(Text, Value)>| (!part.is_empty()).then(|| Value::Object(part.into_iter().collect()));
            (some(left), some(right))
        }
        (Some(Kind::List(list)), Value::Array(items)) if list.relation != Relation::Atomic => {
            let (left, right): (Vec<_>, Vec<_>) = items.iter().cloned().partition(|_| chance.once_in(2));
            let some = |part: Vec<Value>| (!part.is_empty()).then_some(Value::Array(part));
            (some(left), some(right))
        }
        _ if chance.once_in(2) => (Some(value.clone()), None),
        _ => (None, Some(value.clone())),
    }
}
