//! Default values in schemas: each must fit its place.

use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value};

use super::fit;
use crate::validate::metadata::sorted;

/// What is wrong with the default values in a schema of a whole resource. Unknown fields in them are told unless they
/// may be there.
pub(super) fn check(schema: &Value, may_be_unknown: bool, path: &Path) -> Errors {
    Walk { may_be_unknown }.walk(schema, true, false, path)
}

/// Whether a default value has a field that the schema does not know.
pub(super) fn has_unknown(schema: &Value) -> bool {
    let own = default(schema).is_some_and(|default| loses(default, Some(schema)));
    own || below(schema).into_iter().any(|(_, part)| has_unknown(part))
}

struct Walk {
    may_be_unknown: bool,
}

impl Walk {
    fn walk(&self, schema: &Value, root: bool, in_metadata: bool, path: &Path) -> Errors {
        let is_resource = root || is_true(schema, "x-kubernetes-embedded-resource");
        let in_metadata = in_metadata && !is_resource;
        let mut errors = Errors::new();
        if let Some(default) = default(schema) {
            let path = path.child("default");
            if !in_metadata && !self.may_be_unknown && loses(default, Some(schema)) {
                errors.push(Error::invalid(&path, default.clone(), "must not have unknown fields"));
            }
            errors.extend(fit::check(schema, default, &path));
        }
        for (name, part) in below(schema) {
            let is_metadata = is_resource && matches!(name, Some("metadata" | "apiVersion" | "kind"));
            let place = name.map_or_else(|| path.child("items"), |name| path.child("properties").key(name));
            errors.extend(self.walk(part, false, in_metadata || is_metadata, &place));
        }
        errors
    }
}

fn default(schema: &Value) -> Option<&Value> {
    schema.get("default").filter(|default| !default.is_null())
}

fn is_true(schema: &Value, word: &str) -> bool {
    schema.bool_at(&[word]) == Some(true)
}

/// The schemas in which default values may stand: of the items, or of members by name.
fn below(schema: &Value) -> Vec<(Option<&str>, &Value)> {
    let items = schema.get("items").filter(|items| items.as_object().is_some());
    let properties = sorted(schema.get("properties").and_then(Value::as_object));
    items.map(|items| (None, items)).into_iter().chain(properties.into_iter().map(|(n, p)| (Some(n), p))).collect()
}

/// Whether the value would lose fields that its schema does not know.
fn loses(value: &Value, schema: Option<&Value>) -> bool {
    let keeps = schema.is_some_and(|schema| is_true(schema, "x-kubernetes-preserve-unknown-fields"));
    match value {
        Value::Object(members) => members.iter().any(|(name, member)| match of_member(schema, name) {
            Member::Kept => false,
            Member::Known(schema) => loses(member, Some(schema)),
            Member::Any => !keeps && loses(member, None),
            Member::Unknown => !keeps,
        }),
        Value::Array(items) => {
            let of_item = schema.and_then(|schema| schema.get("items"));
            (of_item.is_some() || !keeps) && items.iter().any(|item| loses(item, of_item))
        }
        _ => false,
    }
}

/// What a schema says of a member.
enum Member<'a> {
    /// It is of every resource.
    Kept,
    Known(&'a Value),
    /// It may have any name; nothing is said of what is in it.
    Any,
    Unknown,
}

fn of_member<'a>(schema: Option<&'a Value>, name: &str) -> Member<'a> {
    let Some(schema) = schema else { return Member::Unknown };
    let known = schema.get("properties").and_then(Value::as_object).and_then(|known: &Object| known.get(name));
    let embedded = is_true(schema, "x-kubernetes-embedded-resource");
    match (known, schema.get("additionalProperties")) {
        _ if embedded && matches!(name, "metadata" | "apiVersion" | "kind") => Member::Kept,
        (Some(known), _) => Member::Known(known),
        (None, Some(any @ Value::Object(_))) => Member::Known(any),
        (None, Some(Value::Bool(true))) => Member::Any,
        _ => Member::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn defaults() {
        let table = [
            value!({"type": "integer", "default": 3}),
            value!({"type": "integer", "default": "x"}),
            value!({"type": "object", "default": {"b": 1}, "properties": {"a": {"type": "string"}}}),
            value!({"type": "object", "default": {"b": 1}, "x-kubernetes-preserve-unknown-fields": true}),
            value!({"type": "object", "default": {"a": {"c": 1}}, "additionalProperties": {"type": "object"}}),
            value!({"type": "array", "default": [1], "items": {"type": "string"}}),
            value!({"type": "string", "default": "x", "enum": ["a"]}),
        ];
        let shown = table.map(|property| {
            let schema = value!({"type": "object", "properties": {"p": (property)}});
            field::aggregate(&check(&schema, false, &Path::new("schema")))
        });
        expect_test::expect![[r#"
            []
            schema.properties[p].default: Invalid value: "string":  in body must be of type integer: "string"
            schema.properties[p].default: Invalid value: {"b":1}: must not have unknown fields
            []
            schema.properties[p].default: Invalid value: {"a":{"c":1}}: must not have unknown fields
            schema.properties[p].default.[0]: Invalid value: "integer": [0] in body must be of type string: "integer"
            schema.properties[p].default: Unsupported value: "x": supported values: "a""#]]
        .assert_eq(&shown.join("\n"));
    }
}
