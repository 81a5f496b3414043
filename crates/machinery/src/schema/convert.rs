//! Go's other way from a tree to an object: a strategic merge patch leaves a map in memory, which is converted without
//! going through text. Its errors name no field, and its numbers turn into one another where JSON's do not.

use super::{Field, Kind, Message, Type, base64, time};
use crate::{Object, Quantity, Value, json};

/// Brings the numbers of a tree into the form of `message`, and checks the types of all values.
///
/// # Errors
/// What Go's converter says of the first value, in the order of the fields, that has a wrong type or form.
pub fn convert(message: &Message, value: &mut Value) -> Result<(), String> {
    match value {
        Value::Object(object) => members(message, object),
        other => Err(format!("cannot restore struct from: {}", kind_of(other))),
    }
}

fn members(message: &Message, object: &mut Object) -> Result<(), String> {
    message.fields.iter().try_for_each(|Field { name, kind, .. }| match object.get_mut(name) {
        Some(value) => element(kind, value),
        None => Ok(()),
    })
}

fn element(kind: &Type, value: &mut Value) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    match (&kind.kind, &mut *value) {
        (Kind::Message(reference), value) => convert(reference.message(), value),
        (Kind::List(list), Value::Array(items)) => items.iter_mut().try_for_each(|item| element(&list.item, item)),
        (Kind::List(_), other) => Err(format!("cannot restore slice from {}", kind_of(other))),
        (Kind::Map(map), Value::Object(object)) => {
            object.iter_mut().try_for_each(|(_, value)| element(&map.value, value))
        }
        (Kind::Map(_), other) => Err(format!("cannot restore map from {}", kind_of(other))),
        (Kind::String | Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Float, value) => simple(kind, value),
        _ => read_by_itself(kind, value),
    }
}

/// Truths, numbers and texts.
fn simple(kind: &Type, value: &mut Value) -> Result<(), String> {
    #[allow(clippy::cast_possible_truncation, reason = "as Go converts: what does not fit loses its upper bits")]
    match (&kind.kind, &*value) {
        (Kind::String, Value::String(_))
        | (Kind::Bool, Value::Bool(_))
        | (Kind::Int64, Value::Int(_))
        | (Kind::Float, Value::Int(_) | Value::Float(_)) => {}
        (Kind::Int32, Value::Int(number)) => *value = Value::Int(i64::from(*number as i32)),
        (Kind::Int32, Value::Float(number)) if number.fract() == 0.0 => {
            *value = Value::Int(i64::from(*number as i64 as i32));
        }
        (Kind::Int64, Value::Float(number)) if number.fract() == 0.0 => *value = Value::Int(*number as i64),
        (Kind::String, Value::Int(_)) | (Kind::Int32 | Kind::Int64, Value::Float(_)) => {
            return Err(format!("cannot convert {} to {}", kind_of(value), kind.go_name()));
        }
        (plain, _) => return Err(format!("unrecognized type: {}", name_of(plain))),
    }
    Ok(())
}

/// How Go calls a simple kind, whatever name a type of it has.
fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "bool",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Float => "float64",
        _ => "string",
    }
}

/// Types that read their own JSON, and bytes.
fn read_by_itself(kind: &Type, value: &Value) -> Result<(), String> {
    let other = |go: &str| {
        let what = super::decode::described(value);
        Err(format!("json: cannot unmarshal {what} into Go value of type {go}"))
    };
    match (&kind.kind, value) {
        (Kind::Bytes, Value::String(text)) => base64::decode(text)
            .map(drop)
            .map_err(|at| format!("error decoding from json: illegal base64 data at input byte {at}")),
        (Kind::Bytes, other) => Err(format!("cannot restore slice from {}", kind_of(other))),
        (Kind::Quantity, value) => {
            let text = value.as_str().map_or_else(|| json::to_string(value), ToOwned::to_owned);
            Quantity::parse(text.trim()).map(drop).map_err(|error| error.to_string())
        }
        (Kind::IntOrString, Value::String(_)) => Ok(()),
        (Kind::IntOrString, Value::Int(number)) if i32::try_from(*number).is_ok() => Ok(()),
        (Kind::IntOrString, Value::Int(_) | Value::Float(_)) => {
            Err(format!("json: cannot unmarshal number {} into Go value of type int32", json::to_string(value)))
        }
        (Kind::IntOrString, _) => other("int32"),
        (Kind::Time, Value::String(text)) => time::parse_time(text).map(drop).map_err(|error| error.to_string()),
        (Kind::MicroTime, Value::String(text)) => {
            time::parse_micro_time(text).map(drop).map_err(|error| error.to_string())
        }
        (Kind::Time | Kind::MicroTime, _) => other("string"),
        _ => Ok(()),
    }
}

/// How Go calls the kind of a value in a tree.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_other_types() {
        let pod = crate::schema::of_kind("", "v1", "Pod").unwrap();
        let told = |text: &str| {
            let mut value = json::parse(text.as_bytes()).unwrap();
            let result = convert(pod, &mut value).map(|()| json::to_string(&value));
            format!("{text}\n  {}", result.unwrap_or_else(|error| error))
        };
        let lines = [
            r#"{"spec":{"priority":"x"}}"#,
            r#"{"spec":{"priority":2.0}}"#,
            r#"{"spec":{"priority":1.5}}"#,
            r#"{"spec":{"priority":4294967297}}"#,
            r#"{"spec":{"hostNetwork":"yes"}}"#,
            r#"{"spec":{"nodeName":5}}"#,
            r#"{"spec":{"restartPolicy":5}}"#,
            r#"{"spec":{"nodeName":true}}"#,
            r#"{"spec":{"containers":{}}}"#,
            r#"{"spec":[]}"#,
            r#"{"metadata":{"labels":[]}}"#,
            r#"{"metadata":{"labels":{"a":1}}}"#,
            r#"{"metadata":{"creationTimestamp":5}}"#,
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#,
            r#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}"#,
        ]
        .map(told);
        expect_test::expect![[r#"
            {"spec":{"priority":"x"}}
              unrecognized type: int32
            {"spec":{"priority":2.0}}
              {"spec":{"priority":2}}
            {"spec":{"priority":1.5}}
              cannot convert float64 to int32
            {"spec":{"priority":4294967297}}
              {"spec":{"priority":1}}
            {"spec":{"hostNetwork":"yes"}}
              unrecognized type: bool
            {"spec":{"nodeName":5}}
              cannot convert int64 to string
            {"spec":{"restartPolicy":5}}
              cannot convert int64 to v1.RestartPolicy
            {"spec":{"nodeName":true}}
              unrecognized type: string
            {"spec":{"containers":{}}}
              cannot restore slice from map
            {"spec":[]}
              cannot restore struct from: slice
            {"metadata":{"labels":[]}}
              cannot restore map from slice
            {"metadata":{"labels":{"a":1}}}
              cannot convert int64 to string
            {"metadata":{"creationTimestamp":5}}
              json: cannot unmarshal number into Go value of type string
            {"metadata":{"creationTimestamp":"x"}}
              parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"
            {"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}
              quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
            {"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":true}}}]}}
              json: cannot unmarshal bool into Go value of type int32"#]]
        .assert_eq(&lines.join("\n"));
    }
}
