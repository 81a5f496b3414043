//! Taking fields out of an object.

use super::element::Element;
use super::set::Set;
use super::shape::{self, Atom, Shape};
use crate::schema::Message;
use crate::{Object, Value};

/// `value` without the fields of `gone`.
pub(super) fn remove(message: &Message, value: Value, gone: &Set) -> Value {
    if gone.is_empty() { value } else { at(Shape::Message(message), value, gone) }
}

fn at(shape: Shape, value: Value, gone: &Set) -> Value {
    match (shape.atom(), value) {
        (Atom::List(kind, relation), Value::Array(items)) => {
            let kept = items.into_iter().filter_map(|item| {
                let Ok(element) = shape::identity(&item, kind, relation) else { return Some(item) };
                below(Shape::Typed(kind), &element, item, gone)
            });
            Value::Array(kept.collect())
        }
        (atom @ (Atom::Fields(_) | Atom::Map(_)), Value::Object(members)) => {
            let kept = members.into_iter().filter_map(|(name, member)| {
                let element = Element::Field(name.clone());
                let Some(shape) = atom.member(&name) else { return Some((name, member)) };
                below(shape, &element, member, gone).map(|member| (name, member))
            });
            let mut object = Object::new();
            kept.for_each(|(name, member)| object.push(name, member));
            Value::Object(object)
        }
        (_, value) => value,
    }
}

fn below(shape: Shape, element: &Element, value: Value, gone: &Set) -> Option<Value> {
    match gone.get(element) {
        None => Some(value),
        Some(node) if node.member => None,
        Some(node) => Some(at(shape, value, &node.children)),
    }
}

/// `set` with every declared field that something is below as a member: to take it out takes out all of it.
pub(super) fn with_named_parents(message: &Message, set: &Set) -> Set {
    parents(Shape::Message(message), set)
}

fn parents(shape: Shape, set: &Set) -> Set {
    let atom = shape.atom();
    let mut result = Set::default();
    for (element, node) in set.iter() {
        let mut node = node.clone();
        let inner = match (element, atom) {
            (Element::Field(name), atom) => {
                node.member |= !node.children.is_empty() && atom.declares(name);
                atom.member(name)
            }
            (_, Atom::List(kind, _)) => Some(Shape::Typed(kind)),
            _ => None,
        };
        if let Some(inner) = inner {
            node.children = parents(inner, &node.children);
        }
        result.put(element.clone(), node);
    }
    result
}
