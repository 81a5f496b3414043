//! Every built-in kind with every field set, checked against Go's bytes.
//!
//! The objects follow a rule: a text is the field's name and `Value`, a number is the field's number in protobuf, a year is
//! 2000 and that number. `sample.txt` has, a kind a line, what Go's JSON and protobuf of that object hash to;
//! `cargo xtask codegen` writes it from upstream's own samples.

use sha2::{Digest as _, Sha256};

use crate::schema::{self, FieldValidation, Kind, Message, Type};
use crate::{Object, Text, Value, json, meta, proto, value, yaml};

const SUMS: &str = include_str!("sample.txt");

/// What names an object's type.
const TYPE: [&str; 2] = ["kind", "apiVersion"];

/// A message with all fields set but the type, which only an object as a whole names.
fn filled(message: &Message) -> Object {
    let named = message.fields.iter().filter(|field| !message.is_root() || !TYPE.contains(&field.name.as_str()));
    named.map(|field| (field.name.clone(), value_of(&field.kind, &field.name, field.number))).collect()
}

fn value_of(kind: &Type, name: &str, number: u32) -> Value {
    let ordinal = i64::from(number);
    match &kind.kind {
        Kind::String | Kind::IntOrString => format!("{name}Value").into(),
        Kind::Bool => true.into(),
        Kind::Int32 | Kind::Int64 => ordinal.into(),
        Kind::Float => Value::Float(0.5 + f64::from(number)),
        Kind::Bytes => schema::encode_base64(&[u8::try_from(number).unwrap()]).into(),
        Kind::Quantity => "0".into(),
        Kind::Time => format!("{}-01-01T01:01:01Z", 2000 + number).into(),
        Kind::MicroTime => format!("{}-01-01T01:01:01.{number:06}Z", 2000 + number).into(),
        Kind::Fields => value!({}),
        Kind::Raw | Kind::Json => value!({
            "apiVersion": "example.com/v1", "kind": "CustomType", "spec": {"replicas": 1}, "status": {"available": 1},
        }),
        Kind::SchemaOrBool | Kind::SchemaOrArray | Kind::SchemaOrStrings => Value::Null,
        Kind::Message(reference) => Value::Object(filled(reference.message())),
        Kind::List(list) => vec![value_of(&list.item, name, number)].into(),
        // Go's own filler leaves times in maps at zero.
        Kind::Map(map) if matches!(map.value.kind, Kind::Time) => {
            Value::Object(Object::from_iter([(Text::from(format!("{name}Key")), Value::Null)]))
        }
        Kind::Map(map) => {
            let key = Text::from(format!("{name}Key"));
            Value::Object(Object::from_iter([(key, value_of(&map.value, name, number))]))
        }
    }
}

fn sum(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..8])
}

#[test]
fn every_kind_is_read_and_written_as_go_does() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in SUMS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let (api_version, kind) = (words.next().unwrap(), words.next().unwrap());
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let Some(message) = schema::of_kind(group, version, kind) else { continue };
        let mut object = Value::Object(filled(message));
        meta::set_type(&mut object, api_version, kind);
        schema::order(message, &mut object);
        let text = json::to_vec(&object);
        let bytes = proto::encode(message, &object);
        let sums = [sum(&text), sum(&bytes)];
        if sums != [words.next().unwrap(), words.next().unwrap()] {
            wrong.push(format!("{api_version} {kind} is not as upstream's: {} {sums:?}", json::to_string(&object)));
        }
        let mut decoded = json::parse(&text).unwrap();
        schema::decode(message, &mut decoded, FieldValidation::Strict).unwrap();
        let envelope = proto::open(&bytes).unwrap();
        let back = proto::decode(message, &envelope).unwrap();
        let (from_yaml, _) = yaml::parse_strict(&yaml::to_string(&object)).unwrap();
        for (way, value) in [("JSON", decoded), ("protobuf", back), ("YAML", from_yaml)] {
            if value != object {
                wrong.push(format!("{api_version} {kind} through {way}: {}", json::to_string(&value)));
            }
        }
        count += 1;
    }
    assert_eq!(wrong.join("\n"), "");
    assert!(count > 80, "{count} kinds");
}
