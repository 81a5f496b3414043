//! What ownership needs to know about a place: one value, a list with its kind of identity, or an object.

use super::element::Element;
use crate::schema::{Field, Kind, Message, Omit, Relation, Type};
use crate::{Object, Text, Value};

/// A place's type.
#[derive(Clone, Copy)]
pub(super) enum Shape<'m> {
    /// An object with fields.
    Message(&'m Message),
    /// A typed place.
    Typed(&'m Type),
}

/// What a place is for ownership.
#[derive(Clone, Copy)]
pub(super) enum Atom<'m> {
    /// One value.
    Leaf,
    /// A list whose items have owners.
    List(&'m Type, &'m Relation),
    /// An object whose fields have owners.
    Fields(&'m Message),
    /// An object whose entries have owners.
    Map(&'m Type),
}

impl<'m> Shape<'m> {
    pub(super) fn atom(self) -> Atom<'m> {
        let kind = match self {
            Self::Message(message) => return if message.atomic { Atom::Leaf } else { Atom::Fields(message) },
            Self::Typed(kind) => &kind.kind,
        };
        match kind {
            Kind::Message(reference) if !reference.is_atomic() => Atom::Fields(reference.message()),
            Kind::List(list) if list.relation != Relation::Atomic => Atom::List(&list.item, &list.relation),
            Kind::Map(map) if !map.atomic => Atom::Map(&map.value),
            _ => Atom::Leaf,
        }
    }
}

impl<'m> Atom<'m> {
    /// The shape of an object's member.
    pub(super) fn member(self, name: &str) -> Option<Shape<'m>> {
        match self {
            Self::Fields(message) => message.field(name).map(|field| Shape::Typed(&field.kind)),
            Self::Map(kind) => Some(Shape::Typed(kind)),
            _ => None,
        }
    }

    /// Whether the member is declared by name: then its being there needs no member of its own.
    pub(super) fn declares(self, name: &str) -> bool {
        matches!(self, Self::Fields(message) if message.field(name).is_some())
    }
}

/// How an item of a list is told from the others; the error's words are upstream's.
pub(super) fn identity(item: &Value, kind: &Type, relation: &Relation) -> Result<Element, String> {
    let Relation::Map(keys) = relation else {
        return match item {
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            scalar => Ok(Element::Value(scalar.clone())),
        };
    };
    let object = match item {
        Value::Object(object) => object,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut values: Vec<(Text, Value)> = Vec::with_capacity(keys.len());
    for key in keys {
        let value = key_value(object, key, kind).ok_or_else(|| {
            format!("associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
        })?;
        values.push((key.clone(), value));
    }
    values.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Element::Key(values))
}

/// The value of a key field, or what it is by default.
fn key_value(object: &Object, key: &str, kind: &Type) -> Option<Value> {
    if let Some(value) = object.get(key) {
        return Some(value.clone());
    }
    let Kind::Message(reference) = &kind.kind else { return None };
    let field: &Field = reference.message().field(key)?;
    if let Some(default) = &field.default {
        return Some(default.clone());
    }
    let has_zero = !field.pointer && field.omit == Omit::Never;
    match field.kind.kind {
        _ if !has_zero => None,
        Kind::String => Some(Value::from("")),
        Kind::Int32 | Kind::Int64 => Some(Value::Int(0)),
        Kind::Bool => Some(Value::Bool(false)),
        _ => None,
    }
}

/// The list inside; null is none.
pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).unwrap_or_default()
}

/// The object inside; null is none.
pub(super) fn object(value: Option<&Value>) -> Option<&Object> {
    value.and_then(Value::as_object)
}
