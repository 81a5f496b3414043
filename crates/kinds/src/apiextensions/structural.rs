//! Structural schemas: types stand outside of junctors, so that pruning and defaulting know what to do.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::pattern;
use crate::validate::metadata::sorted;

/// Words that only give a value's type or description, and so must stand outside of junctors.
const OUTSIDE: [(&str, &str); 5] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
];
const OUTSIDE_EXTENSIONS: [(&str, &str); 8] = [
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

/// Where in the schema a part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Whether the schema has only words that a structural one can have at all.
pub(super) fn is_supported(schema: &Value) -> bool {
    let unsupported = ["id", "$schema", "$ref", "additionalItems", "patternProperties", "definitions", "dependencies"];
    let odd =
        unsupported.iter().any(|word| present(schema, word)) || schema.get("items").and_then(Value::as_array).is_some();
    !odd && parts(schema).into_iter().all(is_supported)
}

fn parts(schema: &Value) -> Vec<&Value> {
    let mut all: Vec<&Value> = Vec::new();
    all.extend(schema.get("properties").and_then(Value::as_object).into_iter().flat_map(machinery::Object::values));
    for word in ["items", "additionalProperties", "not"] {
        all.extend(schema.get(word).filter(|value| value.as_object().is_some()));
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        all.extend(schema.items_at(&[word]));
    }
    all
}

/// What is wrong with the structure of a schema, in the order of the messages.
pub(super) fn check(schema: &Value, path: &Path) -> Errors {
    let mut errors = invariants(schema, Level::Root, path);
    if errors.is_empty() {
        errors = completeness(schema, path);
    }
    errors.sort_by_key(ToString::to_string);
    errors
}

/// Whether a word is there and says something.
fn present(schema: &Value, word: &str) -> bool {
    match schema.get(word) {
        None | Some(Value::Null | Value::Bool(false)) => word == "additionalProperties" && schema.get(word).is_some(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    }
}

fn invariants(schema: &Value, level: Level, path: &Path) -> Errors {
    let kind = schema.str_at(&["type"]).unwrap_or_default();
    let embedded = present(schema, "x-kubernetes-embedded-resource");
    let mut errors = Errors::new();
    match schema.get("items").filter(|items| items.as_object().is_some()) {
        Some(items) => errors.extend(invariants(items, Level::Item, &path.child("items"))),
        None if kind == "array" => errors.push(Error::required(&path.child("items"), "must be specified")),
        None => {}
    }
    for (name, property) in sorted(schema.get("properties").and_then(Value::as_object)) {
        errors.extend(invariants(property, Level::Field, &path.child("properties").key(name)));
    }
    let additional = path.child("additionalProperties");
    if present(schema, "additionalProperties") {
        if level == Level::Root {
            errors.push(Error::forbidden(&additional, "must not be used at the root"));
        }
        if let Some(part) = schema.get("additionalProperties").filter(|value| value.as_object().is_some()) {
            errors.extend(invariants(part, Level::Field, &additional));
        }
        if embedded {
            let detail = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(Error::forbidden(&additional, detail));
        }
    }
    errors.extend(exclusive(schema, path));
    errors.extend(junctors(schema, true, path));
    errors.extend(types(schema, kind, level, path));
    errors.extend(metadata(schema, level, path));
    let unknown = present(schema, "x-kubernetes-preserve-unknown-fields");
    let empty = schema.get("properties").and_then(Value::as_object).is_none_or(machinery::Object::is_empty);
    if embedded && !unknown && empty {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without \
                      x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(&path.child("properties"), detail));
    }
    errors
}

fn exclusive(schema: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for word in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if present(schema, "x-kubernetes-int-or-string") && present(schema, word) {
            let detail = "must be false if x-kubernetes-int-or-string is true";
            errors.push(Error::invalid(&path.child(word), true, detail));
        }
    }
    errors
}

fn types(schema: &Value, kind: &str, level: Level, path: &Path) -> Errors {
    let field = path.child("type");
    let mut errors = Errors::new();
    let has = |word: &str| present(schema, word);
    if has("x-kubernetes-embedded-resource") && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => Error::required(&field, detail),
            _ => Error::invalid(&field, kind, detail),
        });
    } else if kind.is_empty() && !has("x-kubernetes-int-or-string") && !has("x-kubernetes-preserve-unknown-fields") {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(Error::required(&field, detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(Error::invalid(&field, kind, "must be object at the root"));
    }
    errors
}

/// What a schema may say about the metadata that every object has.
fn metadata(schema: &Value, level: Level, path: &Path) -> Errors {
    let of_resource = level == Level::Root || present(schema, "x-kubernetes-embedded-resource");
    let path = path.child("properties");
    let mut errors = Errors::new();
    for name in ["kind", "apiVersion"] {
        let Some(property) = schema.at(&["properties", name]).filter(|_| of_resource) else { continue };
        let kind = property.str_at(&["type"]).unwrap_or_default();
        if kind != "string" {
            errors.push(Error::invalid(&path.key(name).child("type"), kind, "must be string"));
        }
    }
    let Some(metadata) = schema.at(&["properties", "metadata"]) else { return errors };
    let kind = metadata.str_at(&["type"]).unwrap_or_default();
    if of_resource && kind != "object" {
        errors.push(Error::invalid(&path.key("metadata").child("type"), kind, "must be object"));
    }
    if level == Level::Root && !only_names(metadata) {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(Error::forbidden(&path.key("metadata"), detail));
    }
    errors
}

fn only_names(metadata: &Value) -> bool {
    let members = metadata.as_object().into_iter().flat_map(machinery::Object::iter);
    let mut others = members.filter(|(word, _)| !matches!(word.as_str(), "type" | "default" | "properties"));
    let properties = metadata.get("properties").and_then(Value::as_object);
    let mut names = properties.into_iter().flat_map(machinery::Object::keys);
    others.next().is_none() && names.all(|name| matches!(name.as_str(), "name" | "generateName"))
}

/// What is wrong inside of junctors, and with the pattern beside them.
fn junctors(schema: &Value, outermost: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let int_or_string = |all: &[Value]| {
        let kinds: Vec<_> =
            all.iter().map(|part| part.as_object().filter(|o| o.len() == 1).and(part.str_at(&["type"]))).collect();
        kinds == [Some("integer"), Some("string")]
    };
    let of_outermost = |all: &[Value]| outermost && int_or_string(all);
    let any = schema.items_at(&["anyOf"]);
    if !of_outermost(any) {
        errors.extend(nested_all(any, &path.child("anyOf")));
    }
    for (i, part) in schema.items_at(&["allOf"]).iter().enumerate() {
        let path = path.child("allOf").index(i);
        let excepted = i == 0 && of_outermost(part.items_at(&["anyOf"]));
        errors.extend(nested(part, excepted, &path));
    }
    errors.extend(nested_all(schema.items_at(&["oneOf"]), &path.child("oneOf")));
    if let Some(not) = schema.get("not").filter(|value| value.as_object().is_some()) {
        errors.extend(nested(not, false, &path.child("not")));
    }
    let text = schema.str_at(&["pattern"]).unwrap_or_default();
    if let Some(why) = pattern::problem(text).filter(|_| !text.is_empty()) {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(Error::invalid(&path.child("pattern"), text, detail));
    }
    errors
}

fn nested_all(all: &[Value], path: &Path) -> Errors {
    all.iter().enumerate().flat_map(|(i, part)| nested(part, false, &path.index(i))).collect()
}

fn nested(part: &Value, without_any_of: bool, path: &Path) -> Errors {
    let mut errors = if without_any_of {
        let mut rest = part.clone();
        rest.remove_at(&["anyOf"]);
        junctors(&rest, false, path)
    } else {
        junctors(part, false, path)
    };
    if let Some(items) = part.get("items").filter(|value| value.as_object().is_some()) {
        errors.extend(nested(items, false, &path.child("items")));
    }
    for (name, property) in sorted(part.get("properties").and_then(Value::as_object)) {
        errors.extend(nested(property, false, &path.child("properties").key(name)));
    }
    for (word, detail) in OUTSIDE.iter().chain(&OUTSIDE_EXTENSIONS).filter(|(word, _)| present(part, word)) {
        errors.push(Error::forbidden(&path.child(word), *detail));
    }
    if part.at(&["properties", "metadata"]).is_some() {
        let detail = "must not be specified in a nested context";
        errors.push(Error::forbidden(&path.child("properties").key("metadata"), detail));
    }
    errors
}

/// What junctors speak of must also be said outside of them.
fn completeness(schema: &Value, path: &Path) -> Errors {
    let mut errors = complete_junctors(schema, schema, path, path);
    for (name, property) in sorted(schema.get("properties").and_then(Value::as_object)) {
        errors.extend(completeness(property, &path.child("properties").key(name)));
    }
    for word in ["items", "additionalProperties"] {
        if let Some(part) = schema.get(word).filter(|value| value.as_object().is_some()) {
            errors.extend(completeness(part, &path.child(word)));
        }
    }
    errors
}

fn complete_junctors(part: &Value, outside: &Value, outside_path: &Path, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(not) = part.get("not").filter(|value| value.as_object().is_some()) {
        errors.extend(complete(not, outside, outside_path, &path.child("not")));
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for (i, one) in part.items_at(&[word]).iter().enumerate() {
            errors.extend(complete(one, outside, outside_path, &path.child(word).index(i)));
        }
    }
    errors
}

fn complete(part: &Value, outside: &Value, outside_path: &Path, path: &Path) -> Errors {
    let mut errors = complete_junctors(part, outside, outside_path, path);
    let mut below = |found: Option<&Value>, part: &Value, outside_path: Path, path: Path| match found {
        Some(outside) => errors.extend(complete(part, outside, &outside_path, &path)),
        None => errors.push(Error::required(&outside_path, format!("because it is defined in {path}"))),
    };
    if let Some(items) = part.get("items").filter(|value| value.as_object().is_some()) {
        below(outside.get("items"), items, outside_path.child("items"), path.child("items"));
    }
    for (name, property) in sorted(part.get("properties").and_then(Value::as_object)) {
        let [outside_path, path] = [outside_path, path].map(|path| path.child("properties").key(name));
        below(outside.at(&["properties", name]), property, outside_path, path);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn structure() {
        let table = [
            value!({"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true}}}),
            value!({"properties": {"a": {}, "l": {"type": "array"}}, "additionalProperties": true}),
            value!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            value!({"type": "object", "properties": {"a": {"type": "object", "oneOf": [{"properties": {"q": {"type": "string"}}}]}}}),
            value!({"type": "object", "properties": {"a": {"type": "string", "allOf": [{"nullable": true, "title": "t"}]}}}),
            value!({"type": "object", "anyOf": [{"properties": {"q": {"minLength": 1}}}]}),
        ];
        let shown = table.map(|schema| field::aggregate(&check(&schema, &Path::new("s")))).join("\n");
        expect_test::expect![[r#"
            []
            [s.additionalProperties: Forbidden: must not be used at the root, s.properties[a].type: Required value: must not be empty for specified object fields, s.properties[l].items: Required value: must be specified, s.type: Required value: must not be empty at the root]
            s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified
            s.properties[a].oneOf[0].properties[q].type: Forbidden: must be empty to be structural
            [s.properties[a].allOf[0].nullable: Forbidden: must be false to be structural, s.properties[a].allOf[0].title: Forbidden: must be empty to be structural]
            s.properties[q]: Required value: because it is defined in s.anyOf[0].properties[q]"#]]
        .assert_eq(&shown);
    }
}
