//! The fields that an applied configuration owns.

use super::element::Element;
use super::set::{Node, Set};
use super::shape::{self, Atom, Shape};
use crate::Value;
use crate::schema::Message;

/// The fields that `value` sets.
pub(super) fn fields_of(message: &Message, value: &Value) -> Set {
    at(Shape::Message(message), value).children
}

fn at(shape: Shape, value: &Value) -> Node {
    let mut node = Node::default();
    match shape.atom() {
        Atom::Leaf => node.member = true,
        Atom::List(kind, relation) => {
            let mut seen: Vec<Element> = Vec::new();
            for item in shape::list(Some(value)) {
                let Ok(element) = shape::identity(item, kind, relation) else { continue };
                if seen.contains(&element) {
                    // Items of one identity are owned as one.
                    node.children.put(element, Node::leaf());
                    continue;
                }
                let mut below = at(Shape::Typed(kind), item);
                below.member = true;
                node.children.put(element.clone(), below);
                seen.push(element);
            }
        }
        atom => {
            for (name, member) in shape::object(Some(value)).into_iter().flat_map(crate::Object::iter) {
                let Some(shape) = atom.member(name) else { continue };
                let mut below = at(shape, member);
                let is_empty = member.is_null() || shape::object(Some(member)).is_some_and(crate::Object::is_empty);
                below.member |= is_empty || !atom.declares(name);
                node.children.push(Element::Field(name.clone()), below);
            }
            node.children.settle();
        }
    }
    node
}
