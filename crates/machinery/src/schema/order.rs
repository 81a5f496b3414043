//! The order in which fields are written: that of the Go structs, and the alphabet for free names.

use super::{Kind, Message, Type};
use crate::{Object, Value};

/// Brings the members of `value`, an object of the shape `message`, into their order, at every depth.
pub fn order(message: &Message, value: &mut Value) {
    let Value::Object(object) = value else { return };
    for (name, member) in object.iter_mut() {
        if let Some(field) = message.field(name) {
            inside(&field.kind, member);
        }
    }
    fields(message, object);
}

/// Brings the members of one object into their order.
pub(super) fn fields(message: &Message, object: &mut Object) {
    object.sort_by_key(|name| message.position(name).unwrap_or(usize::MAX));
}

fn inside(kind: &Type, value: &mut Value) {
    match (&kind.kind, value) {
        (Kind::Message(reference), value) => order(reference.message(), value),
        (Kind::List(list), Value::Array(items)) => items.iter_mut().for_each(|item| inside(&list.item, item)),
        (Kind::Map(map), Value::Object(object)) => {
            object.iter_mut().for_each(|(_, member)| inside(&map.value, member));
            object.sort();
        }
        _ => {}
    }
}
