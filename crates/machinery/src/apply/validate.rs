//! Whether a configuration fits its shape; the words are upstream's.

use super::element::Element;
use super::set::Set;
use super::shape::{self, Atom, Shape};
use crate::patch::go_text;
use crate::schema::{Kind, Message, Relation, Type};
use crate::{Value, json};

/// What is wrong with `value`, if anything.
pub(super) fn validate(message: &Message, value: &Value) -> Result<(), String> {
    let mut errors = Vec::new();
    at(Shape::Message(message), value, "", &mut errors);
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn at(shape: Shape, value: &Value, path: &str, errors: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match container(shape) {
        Some(Container::Fields(atom)) => members(atom, value, path, errors),
        Some(Container::List(kind, relation)) => items(kind, relation, value, path, errors),
        None => {
            if let (Shape::Typed(kind), false) = (shape, path.is_empty())
                && let Some(expected) = scalar_mismatch(kind, value)
            {
                errors.push(format!("{path}: expected {expected}, got {}", unstructured(value)));
            }
        }
    }
}

enum Container<'m> {
    Fields(Atom<'m>),
    List(&'m Type, &'m Relation),
}

/// What a place holds, whether or not it is owned as a whole.
fn container(shape: Shape) -> Option<Container> {
    match shape {
        Shape::Message(message) => Some(Container::Fields(Atom::Fields(message))),
        Shape::Typed(kind) => match &kind.kind {
            Kind::Message(reference) => Some(Container::Fields(Atom::Fields(reference.message()))),
            Kind::Map(map) => Some(Container::Fields(Atom::Map(&map.value))),
            Kind::List(list) => Some(Container::List(&list.item, &list.relation)),
            _ => None,
        },
    }
}

fn members(atom: Atom, value: &Value, path: &str, errors: &mut Vec<String>) {
    let Value::Object(object) = value else {
        return errors.push(format!("{path}: expected map, got &{{{}}}", go_text(value)));
    };
    for (name, member) in object.iter() {
        let path = format!("{path}.{name}");
        match atom.member(name) {
            Some(shape) => at(shape, member, &path, errors),
            None => errors.push(format!("{path}: field not declared in schema")),
        }
    }
}

fn items(kind: &Type, relation: &Relation, value: &Value, path: &str, errors: &mut Vec<String>) {
    let Value::Array(list) = value else {
        return errors.push(format!("{path}: expected list, got &{{{}}}", go_text(value)));
    };
    let mut seen = Set::default();
    for (index, item) in list.iter().enumerate() {
        let element = match relation {
            Relation::Atomic => Element::Index(i64::try_from(index).unwrap_or(i64::MAX)),
            relation => match shape::identity(item, kind, relation) {
                Ok(element) => element,
                Err(error) => {
                    errors.push(format!("{path}: element {index}: {error}"));
                    continue;
                }
            },
        };
        if seen.get(&element).is_some() {
            errors.push(format!("{path}: duplicate entries for key {element}"));
        }
        at(Shape::Typed(kind), item, &format!("{path}{element}"), errors);
        seen.put(element, super::Node::leaf());
    }
}

/// What was expected where something else stands.
fn scalar_mismatch(kind: &Type, value: &Value) -> Option<&'static str> {
    let is_number = matches!(value, Value::Int(_) | Value::Float(_));
    let is_container = matches!(value, Value::Array(_) | Value::Object(_));
    match kind.kind {
        Kind::String | Kind::Bytes | Kind::Time | Kind::MicroTime if value.as_str().is_none() => Some("string"),
        Kind::Bool if value.as_bool().is_none() => Some("boolean"),
        Kind::Int32 | Kind::Int64 | Kind::Float if !is_number => Some("numeric (int or float)"),
        Kind::Quantity | Kind::IntOrString if is_container => Some("any scalar"),
        _ => None,
    }
}

/// A value as Go prints upstream's wrapper of it with `%#v`.
fn unstructured(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{}}}", go_syntax(value))
}

fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => crate::field::quote(text),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{}:{}", crate::field::quote(name), go_syntax(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", members.join(", "))
        }
        other => json::to_string(other),
    }
}
