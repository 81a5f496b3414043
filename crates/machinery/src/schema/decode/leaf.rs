//! Values without fields of their own: numbers, texts, and the types that read themselves.

use super::Decoder;
use crate::schema::{self, Kind, Message, Type, zero};
use crate::{Quantity, Text, Value, json, meta};

/// What Go's JSON reader calls a value of the wrong type.
pub(in crate::schema) fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl<'m> Decoder<'m> {
    /// Nearly always the value is as it is written, and stays.
    pub(super) fn leaf(&mut self, kind: &'m Type, value: &mut Value) {
        let is_written = match (&kind.kind, &mut *value) {
            (Kind::String, Value::String(_))
            | (Kind::Bool, Value::Bool(_))
            | (Kind::Int64, Value::Int(_))
            | (Kind::Float, Value::Int(_) | Value::Float(_))
            | (Kind::IntOrString, Value::String(_)) => true,
            (Kind::Int32 | Kind::IntOrString, Value::Int(number)) => i32::try_from(*number).is_ok(),
            (Kind::Quantity, Value::String(text)) => Quantity::is_written(text),
            (Kind::Time, Value::String(text)) => schema::time::is_written(text, false),
            (Kind::MicroTime, Value::String(text)) => schema::time::is_written(text, true),
            (Kind::Raw | Kind::Fields | Kind::Json, value) => {
                if self.has_doubles {
                    json::keep_last(value);
                }
                true
            }
            _ => false,
        };
        if !is_written {
            *value = self.rewritten(kind, std::mem::take(value));
        }
    }

    fn rewritten(&mut self, kind: &'m Type, value: Value) -> Value {
        match (&kind.kind, value) {
            (Kind::Quantity, value) => self.quantity(&value),
            (Kind::Bytes, Value::String(text)) => self.bytes(text),
            (Kind::Time | Kind::MicroTime, value) => self.time(kind, value),
            (Kind::SchemaOrBool | Kind::SchemaOrArray | Kind::SchemaOrStrings, value) => self.schema_or(kind, value),
            (_, value) => self.wrong(kind, &value),
        }
    }

    fn wrong(&mut self, kind: &'m Type, value: &Value) -> Value {
        let whole = matches!(kind.kind, Kind::Int32 | Kind::Int64 | Kind::IntOrString);
        let what = match value {
            Value::Int(_) | Value::Float(_) if whole => format!("number {}", json::to_string(value)),
            other => described(other).to_owned(),
        };
        if matches!(kind.kind, Kind::IntOrString) {
            let error = self.type_error(what, "int32");
            self.fail(error);
        } else {
            self.mismatch(what, kind);
        }
        zero::of_type(kind)
    }

    fn quantity(&mut self, value: &Value) -> Value {
        let text = match value {
            Value::String(text) => text.to_string(),
            other => json::to_string(other),
        };
        match Quantity::parse(text.trim()) {
            Ok(quantity) => quantity.to_string().into(),
            Err(error) => {
                self.fail(error.to_string());
                Value::Null
            }
        }
    }

    fn bytes(&mut self, text: Text) -> Value {
        if schema::base64::is_written(&text) {
            return Value::String(text);
        }
        match schema::decode_base64(&text) {
            Ok(bytes) => schema::encode_base64(&bytes).into(),
            Err(at) => {
                self.saved.get_or_insert(format!("illegal base64 data at input byte {at}"));
                Value::Null
            }
        }
    }

    fn time(&mut self, kind: &'m Type, value: Value) -> Value {
        let Value::String(text) = value else {
            let error = self.type_error(described(&value), "string");
            self.fail(error);
            return Value::Null;
        };
        let (parsed, write): (_, fn(_) -> String) = match kind.kind {
            Kind::Time => (schema::parse_time(&text), meta::seconds),
            _ => (schema::parse_micro_time(&text), meta::micros),
        };
        match parsed.map(write) {
            // The zero time is written as null.
            Ok(written) if written.starts_with("0001-01-01T00:00:00") => Value::Null,
            Ok(written) => written.into(),
            Err(error) => {
                self.fail(error.to_string());
                Value::Null
            }
        }
    }

    /// The types of JSON schemas that have two forms; they read themselves, so unknown names in them are not told.
    fn schema_or(&mut self, kind: &'m Type, value: Value) -> Value {
        let props = schema::message(schema::JSON_SCHEMA);
        let props = props.expect("the table has JSON schemas");
        let tells = std::mem::replace(&mut self.tells, false);
        let result = match (&kind.kind, value) {
            (_, mut value @ Value::Object(_)) => {
                self.schema(props, &mut value);
                value
            }
            (Kind::SchemaOrBool, value @ Value::Bool(_)) => value,
            (Kind::SchemaOrArray, Value::Array(mut items)) => {
                items.iter_mut().for_each(|item| self.schema(props, item));
                Value::Array(items)
            }
            (Kind::SchemaOrStrings, value @ Value::Array(_)) => value,
            (Kind::SchemaOrBool, _) => {
                self.fail("boolean or JSON schema expected".to_owned());
                Value::Null
            }
            _ => Value::Null,
        };
        self.tells = tells;
        result
    }

    fn schema(&mut self, props: &'m Message, value: &mut Value) {
        if let Value::Object(object) = value {
            self.message(props, object);
        }
    }
}
