//! Protobuf as trees.

use jiff::Timestamp;

use super::wire::{Fields, Raw};
use super::write::wraps_items;
use super::{Envelope, Error};
use crate::json::MAX_DEPTH;
use crate::schema::{self, Field, Kind, Message, Type};
use crate::{Object, Text, Value, json, meta};

pub(super) fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    let mut envelope = Envelope::default();
    let mut fields = Fields(bytes);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Bytes(bytes)) => {
                let mut inner = Fields(bytes);
                while let Some((number, raw)) = inner.next()? {
                    match (number, raw) {
                        (1, Raw::Bytes(bytes)) => envelope.api_version = text(bytes)?.to_string(),
                        (2, Raw::Bytes(bytes)) => envelope.kind = text(bytes)?.to_string(),
                        _ => {}
                    }
                }
            }
            (2, Raw::Bytes(bytes)) => envelope.raw = bytes,
            (4, Raw::Bytes(bytes)) => envelope.content_type = text(bytes)?.to_string(),
            _ => {}
        }
    }
    Ok(envelope)
}

pub(super) fn message(shape: &Message, bytes: &[u8]) -> Result<Object, Error> {
    let mut object = Object::new();
    Reader { depth: 0 }.message(shape, bytes, &mut object)?;
    Ok(object)
}

fn text(bytes: &[u8]) -> Result<Text, Error> {
    std::str::from_utf8(bytes)
        .map(Text::from)
        .map_err(|_| Error::Invalid("string field contains invalid UTF-8".to_owned()))
}

struct Reader {
    depth: usize,
}

impl Reader {
    /// Reads a message's fields into `object`; an inlined message's fields go into the same one.
    fn message(&mut self, shape: &Message, bytes: &[u8], object: &mut Object) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error::Invalid("exceeded max depth".to_owned()));
        }
        self.depth += 1;
        let mut fields = Fields(bytes);
        while let Some((number, raw)) = fields.next()? {
            let embed = shape.embeds.iter().find(|embed| embed.number == number && number != 0);
            match (embed, own_field(shape, number), raw) {
                (Some(embed), _, Raw::Bytes(bytes)) => self.message(embed.message, bytes, object)?,
                (_, Some(field), raw) => self.field(field, raw, object)?,
                _ => {}
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn field(&mut self, field: &Field, raw: Raw, object: &mut Object) -> Result<(), Error> {
        match (&field.kind.kind, raw) {
            (Kind::List(list), raw) if !wraps_items(&field.kind) => {
                let item = self.value(&list.item, raw, &field.name)?;
                if let Value::Array(items) = object.or_insert_with(&field.name, || Value::Array(Vec::new())) {
                    items.push(item);
                }
            }
            (Kind::Map(map), Raw::Bytes(bytes)) => {
                let (name, value) = self.entry(&map.value, bytes, &field.name)?;
                if let Value::Object(members) = object.or_insert_with(&field.name, Value::object) {
                    members.push(name, value);
                }
            }
            (_, raw) => {
                let value = self.value(&field.kind, raw, &field.name)?;
                object.insert(field.name.clone(), value);
            }
        }
        Ok(())
    }

    fn entry(&mut self, kind: &Type, bytes: &[u8], name: &str) -> Result<(Text, Value), Error> {
        let (mut key, mut value) = (Text::default(), Value::Null);
        let mut fields = Fields(bytes);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(bytes)) => key = text(bytes)?,
                (2, raw) => value = self.value(kind, raw, name)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    fn value(&mut self, kind: &Type, raw: Raw, name: &str) -> Result<Value, Error> {
        Ok(match (&kind.kind, raw) {
            (Kind::Bool, Raw::Varint(number)) => Value::Bool(number != 0),
            #[allow(clippy::cast_possible_truncation, reason = "Go keeps the lower bits too")]
            (Kind::Int32, Raw::Varint(number)) => Value::Int(i64::from(number as i32)),
            (Kind::Int64, Raw::Varint(number)) => Value::Int(number.cast_signed()),
            (Kind::Float, Raw::Fixed64(bytes)) => float(f64::from_le_bytes(bytes)),
            (Kind::String, Raw::Bytes(bytes)) => Value::String(text(bytes)?),
            (Kind::Bytes, Raw::Bytes(bytes)) => schema::encode_base64(bytes).into(),
            (Kind::Message(reference), Raw::Bytes(bytes)) => {
                let mut object = Object::new();
                self.message(reference.message(), bytes, &mut object)?;
                Value::Object(object)
            }
            (Kind::Quantity, Raw::Bytes(bytes)) => quantity(bytes)?,
            (Kind::IntOrString, Raw::Bytes(bytes)) => int_or_string(bytes)?,
            (Kind::Time | Kind::MicroTime, Raw::Bytes(bytes)) => time(&kind.kind, bytes)?,
            (Kind::Raw | Kind::Fields | Kind::Json, Raw::Bytes(bytes)) => raw_json(bytes)?,
            (Kind::SchemaOrBool | Kind::SchemaOrArray | Kind::SchemaOrStrings, Raw::Bytes(bytes)) => {
                self.schema_or(&kind.kind, bytes)?
            }
            (Kind::List(list), Raw::Bytes(bytes)) => self.items(&list.item, bytes, name)?,
            (_, raw) => return Err(Error::WireType(raw.wire_type(), name.to_owned())),
        })
    }

    fn items(&mut self, kind: &Type, bytes: &[u8], name: &str) -> Result<Value, Error> {
        let (mut items, mut fields) = (Vec::new(), Fields(bytes));
        while let Some((number, raw)) = fields.next()? {
            if number == 1 {
                items.push(self.value(kind, raw, name)?);
            }
        }
        Ok(if items.is_empty() { Value::Null } else { Value::Array(items) })
    }

    fn schema_or(&mut self, kind: &Kind, bytes: &[u8]) -> Result<Value, Error> {
        let props = schema::message(schema::JSON_SCHEMA).expect("the table has JSON schemas");
        let (mut schemas, mut texts, mut allows) = (Vec::new(), Vec::new(), false);
        let mut fields = Fields(bytes);
        let mut is_list = false;
        while let Some((number, raw)) = fields.next()? {
            match (kind, number, raw) {
                (Kind::SchemaOrBool, 1, Raw::Varint(number)) => allows = number != 0,
                (Kind::SchemaOrStrings, 2, Raw::Bytes(bytes)) => texts.push(Value::String(text(bytes)?)),
                (_, number, Raw::Bytes(bytes)) => {
                    let mut object = Object::new();
                    self.message(props, bytes, &mut object)?;
                    schemas.push(Value::Object(object));
                    is_list |= matches!(kind, Kind::SchemaOrArray) && number == 2;
                }
                _ => {}
            }
        }
        Ok(match kind {
            _ if is_list => Value::Array(schemas),
            _ if !texts.is_empty() => Value::Array(texts),
            Kind::SchemaOrBool if schemas.is_empty() => Value::Bool(allows),
            _ => schemas.pop().unwrap_or_default(),
        })
    }
}

fn own_field(shape: &Message, number: u32) -> Option<&Field> {
    let is_embedded = |at: usize| {
        shape.embeds.iter().any(|embed| (embed.first..embed.first + embed.message.fields.len()).contains(&at))
    };
    shape
        .fields
        .iter()
        .enumerate()
        .find(|(at, field)| field.number == number && !is_embedded(*at))
        .map(|(_, field)| field)
}

/// A float that is whole is an integer of the tree, as it would be in JSON.
fn float(number: f64) -> Value {
    let mut text = Vec::new();
    json::write_number(number, &mut text);
    json::parse(&text).unwrap_or_default()
}

fn quantity(bytes: &[u8]) -> Result<Value, Error> {
    let mut fields = Fields(bytes);
    while let Some((number, raw)) = fields.next()? {
        if let (1, Raw::Bytes(bytes)) = (number, raw) {
            return Ok(Value::String(text(bytes)?));
        }
    }
    Ok("0".into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let (mut is_text, mut number_value, mut text_value) = (false, 0, Text::default());
    let mut fields = Fields(bytes);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Varint(kind)) => is_text = kind == 1,
            #[allow(clippy::cast_possible_truncation, reason = "Go keeps the lower bits too")]
            (2, Raw::Varint(found)) => number_value = found as i32,
            (3, Raw::Bytes(bytes)) => text_value = text(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { Value::String(text_value) } else { number_value.into() })
}

fn time(kind: &Kind, bytes: &[u8]) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Fields(bytes);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Varint(found)) => seconds = found.cast_signed(),
            #[allow(clippy::cast_possible_truncation, reason = "Go keeps the lower bits too")]
            (2, Raw::Varint(found)) => nanos = found as i32,
            _ => {}
        }
    }
    let at = Timestamp::new(seconds, nanos).map_err(|error| Error::Invalid(error.to_string()))?;
    Ok(if matches!(kind, Kind::Time) { meta::seconds(at) } else { meta::micros(at) }.into())
}

fn raw_json(bytes: &[u8]) -> Result<Value, Error> {
    let mut fields = Fields(bytes);
    while let Some((number, raw)) = fields.next()? {
        if let (1, Raw::Bytes(bytes)) = (number, raw) {
            return json::parse(bytes).map_err(|error| Error::Invalid(error.message));
        }
    }
    Ok(Value::Null)
}
