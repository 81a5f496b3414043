//! What Go writes for a field that nobody set.

use super::{Field, Kind, Message, Omit, Type};
use crate::{Object, Value};

/// The zero value of a type, as it is written.
pub(super) fn of_type(kind: &Type) -> Value {
    match &kind.kind {
        Kind::String => Value::from(""),
        Kind::Bool => Value::Bool(false),
        Kind::Int32 | Kind::Int64 | Kind::Float | Kind::IntOrString => Value::Int(0),
        Kind::Quantity => Value::from("0"),
        Kind::Message(reference) => Value::Object(of_message(reference.message())),
        Kind::SchemaOrBool => Value::Bool(false),
        _ => Value::Null,
    }
}

fn of_message(message: &Message) -> Object {
    let mut object = Object::new();
    for field in &message.fields {
        if let Some(value) = of_field(field) {
            object.push(field.name.clone(), value);
        }
    }
    object
}

/// What is written for an absent field, if anything.
pub(super) fn of_field(field: &Field) -> Option<Value> {
    match field.omit {
        _ if !is_told(field) => None,
        Omit::Never if field.pointer => Some(Value::Null),
        _ => Some(of_type(&field.kind)),
    }
}

/// Whether something is written for an absent field.
pub(super) fn is_told(field: &Field) -> bool {
    match field.omit {
        Omit::Zero => false,
        Omit::Never => true,
        // `omitempty` does not leave out structs.
        Omit::Empty => !(field.pointer || can_be_empty(&field.kind.kind)),
    }
}

/// Whether a value that is there is left out all the same.
pub(super) fn is_omitted(field: &Field, value: &Value) -> bool {
    if field.pointer || field.omit == Omit::Never {
        return false;
    }
    match value {
        Value::Null => field.omit == Omit::Zero || can_be_empty(&field.kind.kind),
        Value::Bool(truth) => !truth && matches!(field.kind.kind, Kind::Bool),
        Value::Int(number) => *number == 0 && matches!(field.kind.kind, Kind::Int32 | Kind::Int64 | Kind::Float),
        Value::Float(number) => *number == 0.0,
        Value::String(text) => text.is_empty() && matches!(field.kind.kind, Kind::String | Kind::Bytes),
        Value::Array(items) => items.is_empty() && matches!(field.kind.kind, Kind::List(_)),
        Value::Object(object) => object.is_empty() && matches!(field.kind.kind, Kind::Map(_)),
    }
}

fn can_be_empty(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::String
            | Kind::Bool
            | Kind::Int32
            | Kind::Int64
            | Kind::Float
            | Kind::Bytes
            | Kind::List(_)
            | Kind::Map(_)
    )
}
