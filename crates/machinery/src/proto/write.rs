//! Trees as protobuf, byte for byte as Go writes them: fields by number, map entries by key.

use super::wire::{put_bytes, put_float, put_nested, put_number};
use crate::schema::{self, Field, Kind, Map, Message, Type};
use crate::{Object, Value, json, meta};

pub(super) fn envelope(shape: &Message, value: &Value, out: &mut Vec<u8>) {
    put_nested(1, out, |out| {
        put_bytes(1, meta::api_version(value).as_bytes(), out);
        put_bytes(2, meta::kind(value).as_bytes(), out);
    });
    put_nested(2, out, |out| message(shape, value, out));
    put_bytes(3, b"", out);
    put_bytes(4, b"", out);
}

pub(super) fn message(shape: &Message, value: &Value, out: &mut Vec<u8>) {
    let nothing = Object::new();
    let object = value.as_object().unwrap_or(&nothing);
    let is_embedded = |at: usize| {
        shape.embeds.iter().any(|embed| (embed.first..embed.first + embed.message.fields.len()).contains(&at))
    };
    let own = shape.fields.iter().enumerate().filter(|(at, _)| !is_embedded(*at));
    let mut parts: Vec<(u32, Part)> = own.map(|(_, one)| (one.number, Part::Field(one))).collect();
    let embeds = shape.embeds.iter().filter(|embed| embed.number != 0);
    parts.extend(embeds.map(|embed| (embed.number, Part::Embed(embed.message))));
    parts.sort_by_key(|(number, _)| *number);
    for (number, part) in parts {
        match part {
            Part::Embed(inner) => put_nested(number, out, |out| message(inner, value, out)),
            Part::Field(one) => field(one, object.get(&one.name).filter(|value| !value.is_null()), out),
        }
    }
}

enum Part<'m> {
    Field(&'m Field),
    Embed(&'m Message),
}

fn field(field: &Field, value: Option<&Value>, out: &mut Vec<u8>) {
    match (&field.kind.kind, value) {
        (Kind::List(list), Some(Value::Array(items))) if wraps_items(&field.kind) => {
            put_nested(field.number, out, |out| items.iter().for_each(|item| one(&list.item, 1, Some(item), out)));
        }
        (Kind::List(list), Some(Value::Array(items))) => {
            items.iter().for_each(|item| one(&list.item, field.number, Some(item), out));
        }
        (Kind::Map(map), Some(Value::Object(object))) => entries(map, field.number, object, out),
        (Kind::List(_) | Kind::Map(_), _) => {}
        (_, None) if field.pointer => {}
        (_, value) => one(&field.kind, field.number, value, out),
    }
}

/// Lists that are messages of their own: Go has a named type for them (`Verbs`, `ExtraValue`).
pub(super) fn wraps_items(kind: &Type) -> bool {
    matches!(&kind.kind, Kind::List(list) if matches!(list.item.kind, Kind::String))
        && !kind.go_name().starts_with("[]")
}

fn entries(map: &Map, number: u32, object: &Object, out: &mut Vec<u8>) {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by(|a, b| a.0.cmp(b.0));
    for (name, value) in members {
        put_nested(number, out, |out| {
            put_bytes(1, name.as_bytes(), out);
            one(&map.value, 2, Some(value), out);
        });
    }
}

/// One value that is there; none is the zero value.
fn one(kind: &Type, number: u32, value: Option<&Value>, out: &mut Vec<u8>) {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    match &kind.kind {
        Kind::String => put_bytes(number, text.as_bytes(), out),
        Kind::Bool => put_number(number, i64::from(value.and_then(Value::as_bool).unwrap_or_default()), out),
        Kind::Int32 | Kind::Int64 => put_number(number, value.and_then(Value::as_i64).unwrap_or_default(), out),
        Kind::Float => put_float(number, float(value), out),
        Kind::Bytes => {
            if value.is_some() {
                put_bytes(number, &schema::decode_base64(text).unwrap_or_default(), out);
            }
        }
        Kind::Quantity => put_nested(number, out, |out| {
            put_bytes(1, if text.is_empty() { b"0" } else { text.as_bytes() }, out);
        }),
        Kind::IntOrString => put_nested(number, out, |out| int_or_string(value, out)),
        Kind::Time | Kind::MicroTime => put_nested(number, out, |out| time(&kind.kind, text, out)),
        Kind::Raw | Kind::Fields | Kind::Json => put_nested(number, out, |out| {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                put_bytes(1, &json::to_vec(value), out);
            }
        }),
        Kind::SchemaOrBool | Kind::SchemaOrArray | Kind::SchemaOrStrings => {
            put_nested(number, out, |out| schema_or(&kind.kind, value, out));
        }
        Kind::Message(reference) => {
            put_nested(number, out, |out| message(reference.message(), value.unwrap_or(&Value::Null), out));
        }
        // A list inside a map or a list is a message with items.
        Kind::List(list) => put_nested(number, out, |out| {
            let items = value.and_then(Value::as_array).unwrap_or_default();
            items.iter().for_each(|item| one(&list.item, 1, Some(item), out));
        }),
        Kind::Map(map) => {
            let object = value.and_then(Value::as_object);
            object.into_iter().for_each(|object| entries(map, number, object, out));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "Go has a float64 there too")]
fn float(value: Option<&Value>) -> f64 {
    match value {
        Some(Value::Float(number)) => *number,
        Some(Value::Int(number)) => *number as f64,
        _ => 0.0,
    }
}

fn int_or_string(value: Option<&Value>, out: &mut Vec<u8>) {
    let text = value.and_then(Value::as_str);
    put_number(1, i64::from(text.is_some()), out);
    put_number(2, value.and_then(Value::as_i64).unwrap_or_default(), out);
    put_bytes(3, text.unwrap_or_default().as_bytes(), out);
}

/// Seconds and nanoseconds; a time that is not set has neither.
fn time(kind: &Kind, text: &str, out: &mut Vec<u8>) {
    let is_micro = matches!(kind, Kind::MicroTime);
    let parsed = if is_micro { schema::parse_micro_time(text) } else { schema::parse_time(text) };
    let Ok(at) = parsed else { return };
    let (mut seconds, mut nanos) = (at.as_second(), i64::from(at.subsec_nanosecond()));
    if nanos < 0 {
        (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
    }
    put_number(1, seconds, out);
    put_number(2, if is_micro { nanos } else { 0 }, out);
}

fn schema_or(kind: &Kind, value: Option<&Value>, out: &mut Vec<u8>) {
    let props = schema::message(schema::JSON_SCHEMA).expect("the table has JSON schemas");
    let is_schema = value.is_some_and(|value| value.as_object().is_some());
    if let (Kind::SchemaOrBool, allows) = (kind, value.and_then(Value::as_bool)) {
        put_number(1, i64::from(is_schema || allows == Some(true)), out);
    }
    let of_schema = if matches!(kind, Kind::SchemaOrBool) { 2 } else { 1 };
    if let (true, Some(value)) = (is_schema, value) {
        put_nested(of_schema, out, |out| message(props, value, out));
    }
    for item in value.and_then(Value::as_array).unwrap_or_default() {
        match item {
            Value::String(text) => put_bytes(2, text.as_bytes(), out),
            item => put_nested(2, out, |out| message(props, item, out)),
        }
    }
}
