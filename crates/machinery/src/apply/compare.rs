//! What is different between two objects: fields that came, went, and changed.

use super::element::Element;
use super::set::{Node, Set};
use super::shape::{self, Atom, Shape};
use crate::Value;
use crate::schema::{Message, Relation, Type};

/// The fields in which two objects differ.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) added: Set,
    pub(super) removed: Set,
    pub(super) modified: Set,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.modified.is_empty()
    }

    /// Without the fields below `ignored`.
    pub(super) fn without(self, ignored: Option<&Set>) -> Self {
        let Some(ignored) = ignored.filter(|ignored| !ignored.is_empty()) else { return self };
        Self {
            added: self.added.recursive_difference(ignored),
            removed: self.removed.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
        }
    }

    /// What came or changed.
    pub(super) fn changed(&self) -> Set {
        self.modified.clone().union(&self.added)
    }

    /// The same, when all else is no longer needed.
    pub(super) fn into_changed(self) -> Set {
        if self.modified.is_empty() { self.added } else { self.modified.union(&self.added) }
    }
}

/// Compares two objects of one shape.
pub(super) fn compare(message: &Message, old: &Value, new: &Value) -> Difference {
    let place = at(Shape::Message(message), Some(old), Some(new));
    Difference { added: place.added.children, removed: place.removed.children, modified: place.modified.children }
}

/// The three sets below one place.
#[derive(Default)]
struct Place {
    added: Node,
    removed: Node,
    modified: Node,
}

impl Place {
    fn mark(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.added.member = true,
            (Some(_), None) => self.removed.member = true,
            (Some(old), Some(new)) if old != new => self.modified.member = true,
            _ => {}
        }
    }

    /// Adds what differs below a place; [`Self::settle`] follows.
    fn push(&mut self, element: impl Fn() -> Element, below: Self) {
        // Most places differ in nothing or in one way, so the element is rarely made.
        let sides =
            [(&mut self.added, below.added), (&mut self.removed, below.removed), (&mut self.modified, below.modified)];
        for (side, below) in sides.into_iter().filter(|(_, below)| !below.is_empty()) {
            side.children.push(element(), below);
        }
    }

    fn settle(&mut self) {
        [&mut self.added, &mut self.removed, &mut self.modified].into_iter().for_each(|side| side.children.settle());
    }
}

fn at(shape: Shape, old: Option<&Value>, new: Option<&Value>) -> Place {
    let mut place = Place::default();
    match (old, new) {
        (None, Some(new)) => return Place { added: all_of(shape, new), ..place },
        (Some(old), None) => return Place { removed: all_of(shape, old), ..place },
        (Some(old), Some(new)) if old == new => return place,
        _ => {}
    }
    match shape.atom() {
        Atom::List(item, relation) if !(shape::list(old).is_empty() && shape::list(new).is_empty()) => {
            items(&mut place, item, relation, shape::list(old), shape::list(new));
        }
        atom @ (Atom::Fields(_) | Atom::Map(_)) if has_members(old) || has_members(new) => {
            members(&mut place, atom, old, new);
        }
        _ => {
            place.mark(old, new);
            return place;
        }
    }
    place
}

/// A place with everything below it, which came or went as a whole.
fn all_of(shape: Shape, value: &Value) -> Node {
    let mut node = Node::leaf();
    match shape.atom() {
        Atom::Leaf => {}
        Atom::List(kind, relation) => {
            let groups = grouped(kind, relation, shape::list(Some(value)));
            node.children = Set::with_capacity(groups.len());
            for (element, same) in groups {
                let below = if let [one] = same[..] { all_of(Shape::Typed(kind), one) } else { Node::leaf() };
                node.children.push(element, below);
            }
        }
        Atom::Fields(message) => return fields(node, message, value),
        Atom::Map(kind) => {
            let members = shape::object(Some(value));
            node.children = Set::with_capacity(members.map_or(0, crate::Object::len));
            for (name, member) in members.into_iter().flat_map(crate::Object::iter) {
                node.children.push(Element::Field(name.clone()), all_of(Shape::Typed(kind), member));
            }
        }
    }
    node.children.settle();
    node
}

/// The fields of an object that came or went as a whole. Their order is known beforehand.
fn fields(mut node: Node, message: &Message, value: &Value) -> Node {
    let Some(object) = value.as_object() else { return node };
    let mut members: Vec<(usize, usize, &Value)> = Vec::with_capacity(object.len());
    for (name, member) in object.iter() {
        members.extend(message.position(name).map(|at| (message.rank(at), at, member)));
    }
    members.sort_unstable_by_key(|(rank, ..)| *rank);
    members.dedup_by_key(|(rank, ..)| *rank);
    node.children = Set::with_capacity(members.len());
    for (_, at, member) in members {
        let field = &message.fields[at];
        node.children.push(Element::Field(field.name.clone()), all_of(Shape::Typed(&field.kind), member));
    }
    node
}

fn has_members(value: Option<&Value>) -> bool {
    shape::object(value).is_some_and(|object| !object.is_empty())
}

fn members(place: &mut Place, atom: Atom, old: Option<&Value>, new: Option<&Value>) {
    let (old, new) = (shape::object(old), shape::object(new));
    let old_names = old.into_iter().flat_map(|object| object.keys());
    let new_names = new.into_iter().flat_map(|object| object.keys());
    let only_new = new_names.filter(|name| !old.is_some_and(|object| object.contains_key(name)));
    for name in old_names.chain(only_new) {
        let Some(shape) = atom.member(name) else { continue };
        let (old, new) = (old.and_then(|object| object.get(name)), new.and_then(|object| object.get(name)));
        place.push(|| Element::Field(name.clone()), at(shape, old, new));
    }
    place.settle();
}

fn items(place: &mut Place, kind: &Type, relation: &Relation, old: &[Value], new: &[Value]) {
    let old = grouped(kind, relation, old);
    let new = grouped(kind, relation, new);
    let only_new: Vec<_> = new.iter().filter(|(element, _)| find(&old, element).is_empty()).collect();
    for (element, before) in old.iter() {
        place.push(|| element.clone(), item(kind, before, find(&new, element)));
    }
    for (element, after) in only_new {
        place.push(|| element.clone(), item(kind, &[], after));
    }
    place.settle();
}

type Groups<'v> = Vec<(Element, Vec<&'v Value>)>;

/// The items by identity, in their order; what has none is left out.
fn grouped<'v>(kind: &Type, relation: &Relation, items: &'v [Value]) -> Groups<'v> {
    let mut groups: Groups = Vec::with_capacity(items.len());
    for item in items {
        let Ok(element) = shape::identity(item, kind, relation) else { continue };
        match groups.iter_mut().find(|(other, _)| *other == element) {
            Some((_, same)) => same.push(item),
            None => groups.push((element, vec![item])),
        }
    }
    groups
}

fn find<'g, 'v>(groups: &'g Groups<'v>, element: &Element) -> &'g [&'v Value] {
    groups.iter().find(|(other, _)| other == element).map_or(&[], |(_, same)| same.as_slice())
}

/// Items of one identity; several of them count as one value.
fn item(kind: &Type, old: &[&Value], new: &[&Value]) -> Place {
    let one = |old, new| at(Shape::Typed(kind), old, new);
    match (old, new) {
        ([] | [_], [] | [_]) => one(old.first().copied(), new.first().copied()),
        ([_, _, ..], [_, _, ..]) => {
            let mut place = Place::default();
            place.modified.member = old != new;
            place
        }
        ([_, _, ..], new) => {
            let mut place = new.first().map_or_else(Place::default, |new| one(None, Some(new)));
            place.removed.member = true;
            place
        }
        (old, _) => {
            let mut place = old.first().map_or_else(Place::default, |old| one(Some(old), None));
            place.added.member = true;
            place
        }
    }
}
