//! Defaults that the table can say: a field that nobody set gets a fixed value.

use super::{Field, Kind, Message, Type, zero};
use crate::{Object, Value};

/// Sets the table's defaults in `value`, an object of the shape `message`, at every depth.
pub fn default(message: &Message, value: &mut Value) {
    let Value::Object(object) = value else { return };
    for &at in message.defaulted() {
        let field = &message.fields[at];
        if let Some(member) = object.get_mut(&field.name) {
            inside(&field.kind, member);
        }
        let Some(default) = &field.default else { continue };
        let is_set = |value: &Value| !value.is_null() && !zero::is_omitted(field, value);
        // A default that is left out when written says only what an absent key of a list item is.
        if is_set(default) && !object.get(&field.name).is_some_and(is_set) {
            insert(message, object, field, default.clone());
        }
    }
}

fn inside(kind: &Type, value: &mut Value) {
    match (&kind.kind, value) {
        (Kind::Message(reference), value) => default(reference.message(), value),
        (Kind::List(list), Value::Array(items)) => items.iter_mut().for_each(|item| inside(&list.item, item)),
        (Kind::Map(map), Value::Object(object)) => {
            object.iter_mut().for_each(|(_, member)| inside(&map.value, member));
        }
        _ => {}
    }
}

/// The places of the fields of `message` that have defaults, or below which some field has.
pub(super) fn places(message: &Message) -> Vec<usize> {
    let has = |field: &Field| field.default.is_some() || leads_to_default(&field.kind, &mut vec![message]);
    (0..message.fields.len()).filter(|at| has(&message.fields[*at])).collect()
}

/// `seen` has the messages that were looked at: some hold themselves.
fn leads_to_default<'m>(kind: &'m Type, seen: &mut Vec<&'m Message>) -> bool {
    match &kind.kind {
        Kind::List(list) => leads_to_default(&list.item, seen),
        Kind::Map(map) => leads_to_default(&map.value, seen),
        Kind::Message(reference) => {
            let message = reference.message();
            if seen.iter().any(|one| std::ptr::eq(*one, message)) {
                return false;
            }
            seen.push(message);
            message.fields.iter().any(|field| field.default.is_some() || leads_to_default(&field.kind, seen))
        }
        _ => false,
    }
}

/// Sets a field at its place among the others, if those are in order.
fn insert(message: &Message, object: &mut Object, field: &Field, value: Value) {
    if let Some(present) = object.get_mut(&field.name) {
        *present = value;
        return;
    }
    let own = message.position(&field.name);
    let place = object.keys().position(|name| message.position(name) > own).unwrap_or(object.len());
    object.insert_at(place, field.name.clone(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn ports_get_a_protocol() {
        let mut pod = value!({"kind": "Pod", "spec": {"containers": [
            {"name": "a", "ports": [{"containerPort": 80, "hostIP": "::1"}, {"containerPort": 53, "protocol": "UDP"}]}]}});
        default(crate::schema::of_kind("", "v1", "Pod").unwrap(), &mut pod);
        assert_eq!(
            crate::json::to_string(&pod),
            r#"{"kind":"Pod","spec":{"containers":[{"name":"a","ports":[{"containerPort":80,"protocol":"TCP","hostIP":"::1"},{"containerPort":53,"protocol":"UDP"}]}]}}"#
        );
    }
}
