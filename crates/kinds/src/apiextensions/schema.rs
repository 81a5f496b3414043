//! The schema of a version: what of OpenAPI may stand in it.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::{default_value, structural};
use crate::validate::metadata::sorted;
use crate::validate::one_of;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
/// What may stand at the root beside a status that is written on its own.
const AT_ROOT: [&str; 22] = [
    "Description",
    "Type",
    "Format",
    "Title",
    "Maximum",
    "ExclusiveMaximum",
    "Minimum",
    "ExclusiveMinimum",
    "MaxLength",
    "MinLength",
    "Pattern",
    "MaxItems",
    "MinItems",
    "UniqueItems",
    "MultipleOf",
    "Required",
    "Items",
    "Properties",
    "ExternalDocs",
    "Example",
    "XPreserveUnknownFields",
    "XValidations",
];

/// What is wrong with the schema in `holder`; what the old one was not yet, the new one need not be.
pub(super) fn check(holder: &Value, old: Option<&Value>, with_status: bool, path: &Path) -> Errors {
    let Some(schema) = holder.get("openAPIV3Schema").filter(|schema| !schema.is_null()) else {
        return Errors::new();
    };
    let path = path.child("openAPIV3Schema");
    let mut errors = Errors::new();
    if with_status {
        errors.extend(check_root(schema, &path));
    }
    if schema.bool_at(&["nullable"]) == Some(true) {
        errors.push(Error::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let old = old.and_then(|old| old.get("openAPIV3Schema"));
    let was_structural = old.is_none_or(|old| structural::check(old, &Path::default()).is_empty());
    if was_structural && structural::is_supported(schema) {
        let odd = structural::check(schema, &path);
        if odd.is_empty() {
            errors.extend(default_value::check(schema, old.is_some_and(default_value::has_unknown), &path));
        }
        errors.extend(odd);
    }
    let context = Context { root: true, inside_metadata: false, no_defaults: None };
    errors.extend(walk(schema, &context, &path));
    errors
}

fn check_root(schema: &Value, path: &Path) -> Option<Error> {
    let kind = schema.str_at(&["type"]).unwrap_or_default();
    if !kind.is_empty() && kind != "object" {
        let detail =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(Error::invalid(&path.child("type"), kind, detail));
    }
    let members = schema.as_object().into_iter().flat_map(machinery::Object::keys);
    let odd = members.map(|name| go_name(name)).any(|name| !AT_ROOT.contains(&name.as_str()));
    let detail = format!(
        "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
        AT_ROOT.join(" ")
    );
    odd.then(|| Error::invalid(path, crate::go_shape::shown(SCHEMA, schema), detail))
}

fn go_name(name: &str) -> String {
    let name = name.replace("x-kubernetes-", "x-");
    name.split('-').map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..])).collect()
}

/// Where in the schema the walk is.
#[derive(Clone)]
struct Context {
    root: bool,
    inside_metadata: bool,
    no_defaults: Option<String>,
}

fn walk(schema: &Value, context: &Context, path: &Path) -> Errors {
    let mut errors = keywords(schema, context, path);
    if is_true(schema, "uniqueItems") {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(Error::forbidden(&path.child("uniqueItems"), detail));
    }
    let inner = Context { root: false, ..context.clone() };
    errors.extend(additional_properties(schema, &inner, path));
    let of_resource = context.root || is_true(schema, "x-kubernetes-embedded-resource");
    for (name, property) in sorted(schema.get("properties").and_then(Value::as_object)) {
        let mut below = inner.clone();
        if of_resource && matches!(name, "metadata" | "kind" | "apiVersion") {
            below.inside_metadata = true;
            if context.root {
                below.no_defaults = Some(format!("in top-level {name}"));
            }
        }
        errors.extend(walk(property, &below, &path.child("properties").key(name)));
    }
    if let Some(not) = schema.get("not").filter(|value| value.as_object().is_some()) {
        errors.extend(walk(not, &inner, &path.child("not")));
    }
    for junctor in ["allOf", "oneOf", "anyOf"] {
        for (i, part) in schema.items_at(&[junctor]).iter().enumerate() {
            errors.extend(walk(part, &inner, &path.child(junctor).index(i)));
        }
    }
    for (name, part) in sorted(schema.get("definitions").and_then(Value::as_object)) {
        errors.extend(walk(part, &inner, &path.child("definitions").key(name)));
    }
    match schema.get("items") {
        Some(Value::Array(all)) => {
            for (i, part) in all.iter().enumerate() {
                errors.extend(walk(part, &inner, &path.child("items").index(i)));
            }
        }
        Some(items) if items.as_object().is_some() => errors.extend(walk(items, &inner, &path.child("items"))),
        _ => {}
    }
    errors.extend(extensions(schema, path));
    errors.extend(list_map(schema, path));
    errors.extend(list_keys(schema, path));
    errors.extend(rules(schema, path));
    errors
}

fn is_true(schema: &Value, field: &str) -> bool {
    schema.bool_at(&[field]) == Some(true)
}

fn has(schema: &Value, field: &str) -> bool {
    match schema.get(field) {
        None | Some(Value::Null) => false,
        Some(Value::Object(members)) => field == "additionalItems" || !members.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::String(text)) => field == "$ref" || !text.is_empty(),
        Some(_) => true,
    }
}

/// Words that a schema here may not have, or only in some places.
fn keywords(schema: &Value, context: &Context, path: &Path) -> Errors {
    let kind = schema.str_at(&["type"]).unwrap_or_default();
    let mut errors = Errors::new();
    if !kind.is_empty() {
        errors.extend(one_of(kind, &TYPES, &path.child("type")));
    }
    if let Some(reason) = context.no_defaults.as_ref().filter(|_| schema.get("default").is_some()) {
        errors.push(Error::forbidden(&path.child("default"), format!("must not be set {reason}")));
    }
    for word in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if has(schema, word) {
            errors.push(Error::forbidden(&path.child(word), format!("{word} is not supported")));
        }
    }
    if kind == "null" {
        let detail = "type cannot be set to null, use nullable as an alternative";
        errors.push(Error::forbidden(&path.child("type"), detail));
    }
    if schema.get("items").and_then(Value::as_array).is_some_and(|all| !all.is_empty()) {
        errors.push(Error::forbidden(&path.child("items"), "items must be a schema object and not an array"));
    }
    if context.inside_metadata && is_true(schema, "x-kubernetes-embedded-resource") {
        let detail = "must not be used inside of resource meta";
        errors.push(Error::forbidden(&path.child("x-kubernetes-embedded-resource"), detail));
    }
    errors
}

fn additional_properties(schema: &Value, context: &Context, path: &Path) -> Errors {
    let Some(additional) = schema.get("additionalProperties").filter(|value| !value.is_null()) else {
        return Errors::new();
    };
    let path = path.child("additionalProperties");
    let mut errors = Errors::new();
    if has(schema, "properties") && additional.as_bool() != Some(true) {
        errors.push(Error::forbidden(&path, "additionalProperties and properties are mutual exclusive"));
    }
    if additional.as_object().is_some() {
        let mut below = context.clone();
        if context.inside_metadata {
            below.no_defaults = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        errors.extend(walk(additional, &below, &path));
    }
    errors
}

/// Kubernetes' own words: unknown fields, maps and lists.
fn extensions(schema: &Value, path: &Path) -> Errors {
    let kind = schema.str_at(&["type"]).unwrap_or_default();
    let mut errors = Errors::new();
    if schema.bool_at(&["x-kubernetes-preserve-unknown-fields"]) == Some(false) {
        let field = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(Error::invalid(&field, false, "must be true or undefined"));
    }
    let must_be = |wanted: &str, word: &str| {
        let detail = format!("must be {wanted} if {word} is specified");
        match kind {
            "" => Some(Error::required(&path.child("type"), detail)),
            _ if kind != wanted => Some(Error::invalid(&path.child("type"), kind, detail)),
            _ => None,
        }
    };
    let word = "x-kubernetes-map-type";
    if let Some(map) = schema.str_at(&[word]) {
        errors.extend(must_be("object", word));
        errors.extend(one_of(map, &["atomic", "granular"], &path.child(word)));
    }
    let word = "x-kubernetes-list-type";
    if let Some(list) = schema.str_at(&[word]) {
        match must_be("array", word) {
            Some(error) => errors.push(error),
            None if list == "set" => errors.extend(items_of_set(schema, path)),
            None => {}
        }
        errors.extend(one_of(list, &["atomic", "set", "map"], &path.child(word)));
    }
    errors
}

fn items_of_set(schema: &Value, path: &Path) -> Option<Error> {
    let items = schema.get("items")?;
    let list = items.str_at(&["x-kubernetes-list-type"]);
    let (word, wrong) = match items.str_at(&["type"]).unwrap_or_default() {
        "array" => ("x-kubernetes-list-type", list.is_some_and(|list| list != "atomic")),
        "object" => ("x-kubernetes-map-type", items.str_at(&["x-kubernetes-map-type"]) != Some("atomic")),
        _ => return None,
    };
    let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
    wrong
        .then(|| Error::invalid(&path.child("items").child(word), items.get("x-kubernetes-list-type").cloned(), detail))
}

/// Lists whose items are known by keys.
fn list_map(schema: &Value, path: &Path) -> Errors {
    let (type_word, keys_word) = ("x-kubernetes-list-type", "x-kubernetes-list-map-keys");
    let (list, keys) = (schema.str_at(&[type_word]), schema.items_at(&[keys_word]));
    let mut errors = Errors::new();
    if !keys.is_empty() {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list {
            None => errors.push(Error::required(&path.child(type_word), detail)),
            Some("map") => {}
            Some(list) => errors.push(Error::invalid(&path.child(type_word), list, detail)),
        }
    }
    if list != Some("map") {
        return errors;
    }
    if keys.is_empty() {
        let detail = "must not be empty if x-kubernetes-list-type is map";
        errors.push(Error::required(&path.child(keys_word), detail));
    }
    let field = path.child("items");
    let Some(items) = schema.get("items").filter(|value| !value.is_null()) else {
        errors.push(Error::required(&field, "must have a schema if x-kubernetes-list-type is map"));
        return errors;
    };
    let kind = items.str_at(&["type"]).unwrap_or_default();
    if kind != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(&field.child("type"), kind, detail));
        return errors;
    }
    for (i, key) in keys.iter().filter_map(Value::as_str).enumerate() {
        match items.at(&["properties", key]) {
            Some(property) if matches!(property.str_at(&["type"]), Some("array" | "object")) => {
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(Error::invalid(&field.child("properties").key(key).child("type"), kind, detail));
            }
            Some(_) => {}
            None => {
                let detail = "entries must all be names of item properties";
                errors.push(Error::invalid(&path.child(keys_word), keys.to_vec(), detail));
            }
        }
        if keys[..i].iter().any(|other| other.as_str() == Some(key)) {
            let detail = "must not contain duplicate entries";
            errors.push(Error::invalid(&path.child(keys_word), keys.to_vec(), detail));
        }
    }
    errors
}

/// Keys of lists must be there, and items of sets and maps too.
fn list_keys(schema: &Value, path: &Path) -> Errors {
    let list = schema.str_at(&["x-kubernetes-list-type"]).unwrap_or_default();
    let items = schema.get("items").filter(|items| items.as_object().is_some());
    let Some(items) = items.filter(|_| matches!(list, "set" | "map")) else { return Errors::new() };
    let path = path.child("items");
    let mut errors = Errors::new();
    if is_true(items, "nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list}");
        errors.push(Error::forbidden(&path.child("nullable"), detail));
    }
    let keys = if list == "map" { schema.items_at(&["x-kubernetes-list-map-keys"]) } else { &[] };
    for key in keys.iter().filter_map(Value::as_str) {
        let Some(property) = items.at(&["properties", key]) else { continue };
        let path = path.child("properties").key(key);
        let required = items.items_at(&["required"]).iter().any(|name| name.as_str() == Some(key));
        if !required && property.get("default").is_none() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            errors.push(Error::required(&path.child("default"), detail));
        }
        if is_true(property, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(&path.child("nullable"), detail));
        }
    }
    errors
}

/// Rules of CEL, as far as they are plain text.
fn rules(schema: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, rule) in schema.items_at(&["x-kubernetes-validations"]).iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(i);
        let part = |field: &str| rule.str_at(&[field]).unwrap_or_default();
        let broken = |text: &str| text.contains(['\n', '\r']);
        let blank = |field: &str| !part(field).is_empty() && part(field).trim().is_empty();
        let message = path.child("message");
        if part("rule").trim().is_empty() {
            errors.push(Error::required(&path.child("rule"), "rule is not specified"));
        } else if blank("message") {
            errors.push(Error::invalid(&message, part("message"), "must be non-empty if specified"));
        } else if broken(part("message").trim()) {
            errors.push(Error::invalid(&message, part("message"), "must not contain line breaks"));
        } else if broken(part("rule").trim()) && part("message").is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(Error::required(&message, detail));
        }
        if blank("messageExpression") {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(Error::required(&path.child("messageExpression"), detail));
        }
        if let Some(reason) = rule.str_at(&["reason"]) {
            errors.extend(one_of(reason, &REASONS, &path.child("reason")));
        }
        if blank("fieldPath") {
            errors.push(Error::invalid(&path.child("fieldPath"), part("fieldPath"), "must be non-empty if specified"));
        }
        if broken(part("fieldPath")) {
            errors.push(Error::invalid(&path.child("fieldPath"), part("fieldPath"), "must not contain line breaks"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    fn shown(spec: Value) -> String {
        let holder = value!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}});
        field::aggregate(&check(&holder, None, false, &Path::new("v")))
            .replace("v.openAPIV3Schema.properties[spec]", "§")
    }

    #[test]
    fn schemas() {
        let table = [
            value!({"type": "object", "properties": {"a": {"$ref": "x"}}}),
            value!({"type": "null"}),
            value!({"type": "string", "pattern": "["}),
            value!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
            value!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            value!({"type": "string", "x-kubernetes-validations": [{"rule": ""}, {"rule": "true", "message": "a\nb", "reason": "Odd"}]}),
            value!({"type": "object", "x-kubernetes-map-type": "odd", "additionalProperties": {"type": "string"}, "properties": {"a": {"type": "string"}}}),
        ];
        expect_test::expect![[r#"
            §.properties[a].$ref: Forbidden: $ref is not supported
            [§.type: Unsupported value: "null": supported values: "array", "boolean", "integer", "number", "object", "string", §.type: Forbidden: type cannot be set to null, use nullable as an alternative]
            §.pattern: Invalid value: "[": must be a valid regular expression, but isn't: error parsing regexp: missing closing ]: `[`
            §.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map
            §.items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property
            [§.x-kubernetes-validations[0].rule: Required value: rule is not specified, §.x-kubernetes-validations[1].message: Invalid value: "a\nb": must not contain line breaks, §.x-kubernetes-validations[1].reason: Unsupported value: "Odd": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"]
            [§.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive, §.x-kubernetes-map-type: Unsupported value: "odd": supported values: "atomic", "granular"]"#]]
        .assert_eq(&table.map(shown).join("\n"));
    }
}
