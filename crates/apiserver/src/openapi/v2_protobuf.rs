//! OpenAPI v2 as protobuf, in the messages of gnostic's `OpenAPIv2.proto`: what client-go asks for.

use machinery::{Object, Value, json};

/// The media type of the answer.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// How a member of the JSON document is written.
enum Form {
    Text,
    Flag,
    /// Any value, as YAML (of which JSON is a part) in a message of its own.
    Any,
    /// A message with named fields.
    Message(&'static Shape),
    /// A list: the field repeats.
    Each(&'static Form),
    /// A list of texts, or one text, in a message of its own.
    Texts,
    /// An object with free names: a message whose field of this number repeats, each with a name and a value.
    Named(u32, &'static Form),
    /// A message whose field of this number is the value.
    Within(u32, &'static Form),
    /// A schema, or whether anything is allowed.
    SchemaOrFlag,
    /// A parameter: each place it can stand in has a message of its own.
    Parameter,
}

struct Shape {
    /// JSON name, number, form; in the order of the numbers.
    fields: &'static [(&'static str, u32, Form)],
    /// The number of the field with the members whose names begin `x-`; 0: none.
    extensions: u32,
}

static DOCUMENT: Shape = Shape {
    fields: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::Message(&INFO)),
        ("paths", 8, Form::Named(2, &Form::Message(&PATH))),
        ("definitions", 9, Form::Named(1, &Form::Message(&SCHEMA))),
    ],
    extensions: 16,
};

static INFO: Shape = Shape { fields: &[("title", 1, Form::Text), ("version", 2, Form::Text)], extensions: 7 };

static PATH: Shape = Shape {
    fields: &[
        ("get", 2, Form::Message(&OPERATION)),
        ("put", 3, Form::Message(&OPERATION)),
        ("post", 4, Form::Message(&OPERATION)),
        ("delete", 5, Form::Message(&OPERATION)),
        ("options", 6, Form::Message(&OPERATION)),
        ("head", 7, Form::Message(&OPERATION)),
        ("patch", 8, Form::Message(&OPERATION)),
        ("parameters", 9, Form::Each(&Form::Parameter)),
    ],
    extensions: 10,
};

static OPERATION: Shape = Shape {
    fields: &[
        ("tags", 1, Form::Each(&Form::Text)),
        ("summary", 2, Form::Text),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Each(&Form::Text)),
        ("consumes", 7, Form::Each(&Form::Text)),
        ("parameters", 8, Form::Each(&Form::Parameter)),
        ("responses", 9, Form::Named(1, &Form::Within(1, &Form::Message(&RESPONSE)))),
        ("schemes", 10, Form::Each(&Form::Text)),
        ("deprecated", 11, Form::Flag),
    ],
    extensions: 13,
};

static RESPONSE: Shape = Shape {
    fields: &[("description", 1, Form::Text), ("schema", 2, Form::Within(1, &Form::Message(&SCHEMA)))],
    extensions: 5,
};

static BODY_PARAMETER: Shape = Shape {
    fields: &[
        ("description", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 5, Form::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY_PARAMETER: Shape = Shape {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 6, Form::Text),
        ("format", 7, Form::Text),
        ("uniqueItems", 20, Form::Flag),
    ],
    extensions: 23,
};

static PATH_PARAMETER: Shape = Shape {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("format", 6, Form::Text),
        ("uniqueItems", 19, Form::Flag),
    ],
    extensions: 22,
};

static SCHEMA: Shape = Shape {
    fields: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("title", 3, Form::Text),
        ("description", 4, Form::Text),
        ("default", 5, Form::Any),
        ("pattern", 13, Form::Text),
        ("uniqueItems", 16, Form::Flag),
        ("required", 19, Form::Each(&Form::Text)),
        ("enum", 20, Form::Each(&Form::Any)),
        ("additionalProperties", 21, Form::SchemaOrFlag),
        ("type", 22, Form::Texts),
        ("items", 23, Form::Within(1, &Form::Message(&SCHEMA))),
        ("allOf", 24, Form::Each(&Form::Message(&SCHEMA))),
        ("properties", 25, Form::Named(1, &Form::Message(&SCHEMA))),
        ("readOnly", 27, Form::Flag),
    ],
    extensions: 31,
};

/// The document as bytes.
#[must_use]
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    message(&DOCUMENT, document, &mut out);
    out
}

fn message(shape: &Shape, value: &Value, out: &mut Vec<u8>) {
    let Some(object) = value.as_object() else { return };
    for (name, number, form) in shape.fields {
        if let Some(value) = object.get(name) {
            field(form, *number, value, out);
        }
    }
    let extensions = object.iter().filter(|(name, _)| shape.extensions != 0 && name.starts_with("x-"));
    for (name, value) in extensions {
        named(shape.extensions, name, &Form::Any, value, out);
    }
}

fn field(form: &Form, number: u32, value: &Value, out: &mut Vec<u8>) {
    match form {
        Form::Text => text(number, value.as_str().unwrap_or_default(), out),
        Form::Flag if value.as_bool() == Some(true) => flag(number, out),
        Form::Flag => {}
        Form::Any => nested(number, out, |out| text(2, &json::to_string(value), out)),
        Form::Message(shape) => nested(number, out, |out| message(shape, value, out)),
        Form::Each(form) => value.as_array().unwrap_or_default().iter().for_each(|one| field(form, number, one, out)),
        Form::Texts => nested(number, out, |out| match value {
            Value::Array(all) => all.iter().for_each(|one| field(&Form::Text, 1, one, out)),
            one => field(&Form::Text, 1, one, out),
        }),
        Form::Named(inner, form) => nested(number, out, |out| {
            let members = value.as_object().into_iter().flat_map(Object::iter);
            members.for_each(|(name, value)| named(*inner, name, form, value, out));
        }),
        Form::Within(inner, form) => nested(number, out, |out| field(form, *inner, value, out)),
        Form::SchemaOrFlag => nested(number, out, |out| match value {
            Value::Bool(_) => field(&Form::Flag, 2, value, out),
            schema => field(&Form::Message(&SCHEMA), 1, schema, out),
        }),
        Form::Parameter => nested(number, out, |out| nested(1, out, |out| parameter(value, out))),
    }
}

fn parameter(value: &Value, out: &mut Vec<u8>) {
    match value.str_at(&["in"]) {
        Some("body") => field(&Form::Message(&BODY_PARAMETER), 1, value, out),
        Some("path") => nested(2, out, |out| field(&Form::Message(&PATH_PARAMETER), 4, value, out)),
        _ => nested(2, out, |out| field(&Form::Message(&QUERY_PARAMETER), 3, value, out)),
    }
}

fn named(number: u32, name: &str, form: &Form, value: &Value, out: &mut Vec<u8>) {
    nested(number, out, |out| {
        text(1, name, out);
        field(form, 2, value, out);
    });
}

fn text(number: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        nested(number, out, |out| out.extend_from_slice(text.as_bytes()));
    }
}

fn flag(number: u32, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    out.push(1);
}

fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    varint(u64::from(number) << 3 | 2, out);
    varint(inner.len() as u64, out);
    out.append(&mut inner);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    #[test]
    fn a_document() {
        let document = value!({
            "swagger": "2.0",
            "paths": {"/a": {"get": {"responses": {"200": {"description": "OK", "schema": {"$ref": "#/d"}}},
                "parameters": [{"in": "query", "name": "q", "type": "string", "uniqueItems": true}], "x-k": {"a": 1}}}},
            "definitions": {"D": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}},
        });
        let bytes = encode(&document);
        let shown: String = bytes.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
        expect_test::expect![[r#"\n\x032.0BS\x12Q\n\x02/a\x12K\x12IB\x1b\n\x19\x12\x17\x1a\x15\x12\x05query\"\x01q2\x06string\xa0\x01\x01J\x18\n\x16\n\x03200\x12\x0f\n\r\n\x02OK\x12\x07\n\x05\n\x03#/dj\x10\n\x03x-k\x12\t\x12\x07{\"a\":1}J+\n)\n\x01D\x12$\x9a\x01\x01a\xb2\x01\x08\n\x06object\xca\x01\x12\n\x10\n\x01a\x12\x0b\xb2\x01\x08\n\x06string"#]].assert_eq(&shown);
    }
}
