//! The notation of the field table.
//!
//! ```text
//! package io.k8s.api.core.v1
//! group -
//!
//! Probe
//!   + ProbeHandler 1                                 an inlined message and its protobuf number
//!   periodSeconds int32 4 omitempty                  JSON name, type, protobuf number, flags
//!   type string 1 required enum=Ready|Not ready       the valid texts, always last
//! ```
//!
//! A type is a word (`string`, `time`, …), a message of the package or one with its full name, `[]` and a type for
//! a list, `{Key}` and a type for a map, or `Name=` and a type where Go has a name for it.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Embed, Field, Kind, List, Map, Message, Omit, Patch, Reference, Relation, Target, Type, registry};
use crate::Text;

/// What stands at the head of a file.
pub(super) struct Header {
    pub(super) package: &'static str,
    pub(super) group: &'static str,
    pub(super) body: &'static str,
}

pub(super) fn header(text: &'static str) -> Header {
    let value = |name: &str| {
        let line = text.lines().take(4).find_map(|line| line.strip_prefix(name));
        line.expect("every file of the table names its package and group").trim()
    };
    let group = value("group ");
    let body = text.split_once("\n\n").map_or("", |(_, body)| body);
    Header { package: value("package "), group: if group == "-" { "" } else { group }, body }
}

/// The messages of a file's body.
pub(super) fn read(package: &'static str, body: &'static str) -> HashMap<&'static str, Message> {
    let paragraphs: HashMap<_, _> = body.split("\n\n").filter_map(paragraph).collect();
    let reader = Reader { package, paragraphs: &paragraphs };
    paragraphs.keys().map(|name| (*name, reader.message(name))).collect()
}

/// A message's name and the rest of its paragraph.
fn paragraph(text: &'static str) -> Option<(&'static str, (&'static str, bool))> {
    let (head, fields) = text.trim_end().split_once('\n').unwrap_or((text.trim_end(), ""));
    let (name, flag) = head.split_once(' ').unwrap_or((head, ""));
    (!name.is_empty()).then_some((name, (fields, flag == "atomic")))
}

struct Reader<'p> {
    package: &'static str,
    paragraphs: &'p HashMap<&'static str, (&'static str, bool)>,
}

impl Reader<'_> {
    fn message(&self, name: &str) -> Message {
        let (lines, atomic) = self.paragraphs[name];
        let (mut fields, mut embeds) = (Vec::new(), Vec::new());
        for line in lines.lines() {
            // The valid texts stand last, because some have spaces in them.
            let (line, enumeration) = line.split_once(" enum=").unwrap_or((line, ""));
            let mut words = line.split_ascii_whitespace();
            let first = words.next().expect("a field's line has a name");
            let kind = words.next().expect("a field's line has a type");
            let number = words.next().and_then(|word| word.parse().ok()).expect("a field's line has a number");
            if first == "+" {
                self.embed(kind, number, &mut fields, &mut embeds);
            } else {
                let mut field = self.field(first, kind, number, words);
                field.enumeration = enumeration.split('|').filter(|text| !text.is_empty()).collect();
                fields.push(field);
            }
        }
        Message::new(Text::from(format!("{}.{name}", self.package)), fields, embeds, atomic)
    }

    fn embed(&self, kind: &'static str, number: u32, fields: &mut Vec<Field>, embeds: &mut Vec<Embed>) {
        let (inner, message) = match kind.rsplit_once('.') {
            Some((package, name)) => {
                let reader_of_other = registry::in_package(package, name);
                (None, reader_of_other)
            }
            None => {
                let inner = self.message(kind);
                let kept: &'static Message = Box::leak(Box::new(self.message(kind)));
                (Some(inner), kept)
            }
        };
        embeds.push(Embed { message, number, first: fields.len() });
        match inner {
            Some(inner) => fields.extend(inner.fields),
            // Only `TypeMeta` comes from another package: two texts.
            None => fields.extend(message.fields.iter().map(|field| plain_text(field.name.clone(), field.number))),
        }
    }

    fn field(
        &self,
        name: &'static str,
        kind: &'static str,
        number: u32,
        flags: impl Iterator<Item = &'static str>,
    ) -> Field {
        let mut field = plain_text(Text::const_new(name), number);
        field.omit = Omit::Never;
        field.kind = self.kind(kind);
        for flag in flags {
            apply_flag(&mut field, flag);
        }
        field
    }

    fn kind(&self, text: &'static str) -> Type {
        if let Some((alias, inner)) = text.split_once('=')
            && !alias.contains(['[', '{'])
        {
            return Type { alias: Some(alias), ..self.kind(inner) };
        }
        Type::new(match text {
            "string" => Kind::String,
            "bool" => Kind::Bool,
            "int32" => Kind::Int32,
            "int64" => Kind::Int64,
            "float64" => Kind::Float,
            "bytes" => Kind::Bytes,
            "quantity" => Kind::Quantity,
            "int-or-string" => Kind::IntOrString,
            "time" => Kind::Time,
            "micro-time" => Kind::MicroTime,
            "raw" => Kind::Raw,
            "fields" => Kind::Fields,
            "json" => Kind::Json,
            "schema-or-bool" => Kind::SchemaOrBool,
            "schema-or-array" => Kind::SchemaOrArray,
            "schema-or-strings" => Kind::SchemaOrStrings,
            _ => self.composite(text),
        })
    }

    fn composite(&self, text: &'static str) -> Kind {
        if let Some(item) = text.strip_prefix("[]") {
            return Kind::List(Box::new(List { item: self.kind(item), relation: Relation::Atomic }));
        }
        if let Some((key, value)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            return Kind::Map(Box::new(Map { value: self.kind(value), atomic: false, key }));
        }
        let (package, name) = text.rsplit_once('.').unwrap_or((self.package, text));
        Kind::Message(Reference { target: Target::Package(package, name), found: OnceLock::new(), atomic: None })
    }
}

fn plain_text(name: Text, number: u32) -> Field {
    Field {
        name,
        kind: Type::new(Kind::String),
        number,
        pointer: false,
        omit: Omit::Empty,
        required: false,
        patch: Patch::default(),
        default: None,
        enumeration: Vec::new(),
    }
}

fn apply_flag(field: &mut Field, flag: &'static str) {
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    match (name, &mut field.kind.kind) {
        ("pointer", _) => field.pointer = true,
        ("omitempty", _) => field.omit = Omit::Empty,
        ("omitzero", _) => field.omit = Omit::Zero,
        ("required", _) => field.required = true,
        ("list", Kind::List(list)) => {
            let keys = |keys: &str| keys.split(',').map(Text::from).collect();
            list.relation = value.strip_prefix("map:").map_or(Relation::Set, |names| Relation::Map(keys(names)));
        }
        ("map", Kind::Map(map)) => map.atomic = value == "atomic",
        ("map" | "struct", Kind::Message(reference)) => reference.atomic = Some(value == "atomic"),
        ("patch", _) => field.patch = patch(value),
        ("default", _) => {
            field.default = Some(crate::json::parse(value.as_bytes()).expect("a default of the table is JSON"));
        }
        _ => unreachable!("the table has the flag {flag} on {}, which nobody reads", field.name),
    }
}

fn patch(text: &'static str) -> Patch {
    let (strategies, key) = text.split_once(':').map_or((text, None), |(strategies, key)| (strategies, Some(key)));
    let has = |name: &str| strategies.split(',').any(|strategy| strategy == name);
    Patch { merge: has("merge"), retain_keys: has("retainKeys"), replace: has("replace"), key: key.map(Text::from) }
}
