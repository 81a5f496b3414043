//! An applied configuration laid over the live object.

use std::collections::BTreeMap;

use super::element::Element;
use super::shape::{self, Atom, Shape};
use crate::schema::{Message, Relation, Type};
use crate::{Object, Value};

/// The live object with what the configuration says.
pub(super) fn merge(message: &Message, live: &Value, config: &Value) -> Value {
    at(Shape::Message(message), Some(live), Some(config)).unwrap_or_default()
}

fn at(shape: Shape, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let (Some(old), Some(new)) = (live, config) else { return config.or(live).cloned() };
    match shape.atom() {
        Atom::List(kind, relation) if !(shape::list(live).is_empty() && shape::list(config).is_empty()) => {
            Some(Value::Array(Items::new(kind, relation, shape::list(live), shape::list(config)).merged()))
        }
        atom @ (Atom::Fields(_) | Atom::Map(_)) => match (old, new) {
            (Value::Object(old), Value::Object(new)) => Some(Value::Object(members(atom, old, new))),
            (Value::Object(old), Value::Null) if !old.is_empty() => Some(Value::Object(old.clone())),
            _ => Some(new.clone()),
        },
        _ => Some(new.clone()),
    }
}

fn members(atom: Atom, live: &Object, config: &Object) -> Object {
    let mut merged = live.clone();
    for (name, value) in config.iter() {
        let shape = atom.member(name);
        let result = match (shape, live.get(name)) {
            (Some(shape), Some(old)) => at(shape, Some(old), Some(value)).unwrap_or_default(),
            _ => value.clone(),
        };
        merged.insert(name.clone(), result);
    }
    merged
}

/// Two lists of items with identities.
struct Items<'v> {
    kind: &'v Type,
    live: Vec<(Element, &'v Value)>,
    config: Vec<(Element, &'v Value)>,
    /// Items of the live list by identity; several with one identity are none.
    in_live: BTreeMap<Element, Option<&'v Value>>,
    in_config: BTreeMap<Element, &'v Value>,
}

impl<'v> Items<'v> {
    fn new(kind: &'v Type, relation: &Relation, live: &'v [Value], config: &'v [Value]) -> Self {
        let known = |items: &'v [Value]| -> Vec<(Element, &'v Value)> {
            items.iter().filter_map(|item| Some((shape::identity(item, kind, relation).ok()?, item))).collect()
        };
        let (live, config) = (known(live), known(config));
        let mut in_live = BTreeMap::new();
        for (element, item) in &live {
            in_live.entry(element.clone()).and_modify(|found| *found = None).or_insert(Some(*item));
        }
        let in_config = config.iter().cloned().collect();
        Self { kind, live, config, in_live, in_config }
    }

    fn one(&self, element: &Element) -> Option<Value> {
        let live = self.in_live.get(element).copied().flatten();
        at(Shape::Typed(self.kind), live, self.in_config.get(element).copied())
    }

    /// The items in an order that keeps the configuration's, and the live one's where the configuration is silent.
    fn merged(&self) -> Vec<Value> {
        let mut out = Vec::with_capacity(self.live.len() + self.config.len());
        let mut shared =
            self.config.iter().map(|(element, _)| element).filter(|element| self.in_live.contains_key(element));
        let mut next_shared = shared.next();
        let mut done: Vec<&Element> = Vec::new();
        let (mut l, mut r) = (0, 0);
        while l < self.live.len() || r < self.config.len() {
            if let (Some((left, _)), Some((right, _))) = (self.live.get(l), self.config.get(r)) {
                if left == right {
                    done.push(right);
                    out.extend(self.one(left));
                    (l, r) = (l + 1, r + 1);
                    next_shared = shared.next();
                    continue;
                }
                if self.in_config.contains_key(left) && next_shared.is_some_and(|next| next != left) {
                    // Shared, but not the one whose turn it is.
                    l += 1;
                    continue;
                }
            }
            if let Some((left, item)) = self.live.get(l) {
                if !self.in_config.contains_key(left) {
                    out.push((*item).clone());
                    l += 1;
                    continue;
                }
                if done.contains(&left) {
                    l += 1;
                }
            }
            if let Some((right, _)) = self.config.get(r) {
                done.push(right);
                out.extend(self.one(right));
                r += 1;
                if next_shared == Some(right) {
                    next_shared = shared.next();
                }
            }
        }
        out
    }
}
