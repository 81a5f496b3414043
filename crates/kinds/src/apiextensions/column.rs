//! What a version has besides its schema: printer columns, subresources, selectable fields.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MAX_SELECTABLE_FIELDS: usize = 8;

/// What is wrong with printer columns.
pub(super) fn columns(all: &[Value], path: &Path) -> Errors {
    all.iter().enumerate().flat_map(|(i, column)| column_errors(column, &path.index(i))).collect()
}

fn column_errors(column: &Value, path: &Path) -> Errors {
    let part = |field: &str| column.str_at(&[field]).unwrap_or_default();
    let mut errors: Errors =
        crate::validate::required(Some(part("name")), &path.child("name"), "").into_iter().collect();
    let types = format!("must be one of {}", TYPES.join(","));
    match part("type") {
        "" => errors.push(Error::required(&path.child("type"), types)),
        name if !TYPES.contains(&name) => errors.push(Error::invalid(&path.child("type"), name, types)),
        _ => {}
    }
    if !part("format").is_empty() && !FORMATS.contains(&part("format")) {
        let detail = format!("must be one of {}", FORMATS.join(","));
        errors.push(Error::invalid(&path.child("format"), part("format"), detail));
    }
    let field = path.child("JSONPath");
    match part("jsonPath") {
        "" => errors.push(Error::required(&field, "")),
        text => errors.extend(simple_path(text, &field)),
    }
    errors
}

fn simple_path(text: &str, path: &Path) -> Option<Error> {
    let detail = "must be a simple json path starting with .";
    (!text.starts_with('.')).then(|| Error::invalid(path, text, detail))
}

/// What is wrong with subresources.
pub(super) fn subresources(all: Option<&Value>, path: &Path) -> Errors {
    let Some(scale) = all.and_then(|all| all.get("scale")).filter(|value| !value.is_null()) else {
        return Errors::new();
    };
    let part = |field: &str| scale.str_at(&[field]).unwrap_or_default();
    let mut errors = Errors::new();
    for (field, root) in [("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")] {
        let path = path.child("scale").child(field);
        match part(field) {
            "" => errors.push(Error::required(&path, "")),
            text => errors.extend(simple_path(text, &path).or_else(|| {
                let detail = format!("should be a json path under {root}");
                (!text.starts_with(&format!("{root}."))).then(|| Error::invalid(&path, text, detail))
            })),
        }
    }
    let (text, path) = (part("labelSelectorPath"), path.child("scale.labelSelectorPath"));
    if !text.is_empty() {
        errors.extend(simple_path(text, &path).or_else(|| {
            let known = text.starts_with(".spec.") || text.starts_with(".status.");
            let detail = "should be a json path under either .spec or .status";
            (!known).then(|| Error::invalid(&path, text, detail))
        }));
    }
    errors
}

/// What is wrong with the fields by which objects can be selected (KEP-4358).
pub(super) fn selectable(all: &[Value], schema: Option<&Value>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen: Vec<&str> = Vec::new();
    for (i, field) in all.iter().enumerate() {
        let (text, path) = (field.str_at(&["jsonPath"]).unwrap_or_default(), path.index(i).child("jsonPath"));
        if text.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let found = match find(text, schema) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(&path, text, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if text.split('.').nth(1) == Some("metadata") {
            errors.push(Error::invalid(&path, text, "must not point to fields in metadata"));
        }
        if !matches!(found.str_at(&["type"]), Some("string" | "boolean" | "integer")) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                          formats are allowed.";
            errors.push(Error::invalid(&path, text, detail));
        }
        if seen.contains(&text) {
            errors.push(Error::duplicate(&path, text));
        } else {
            seen.push(text);
        }
    }
    if seen.len() > MAX_SELECTABLE_FIELDS {
        errors.push(Error::too_many(path, seen.len(), MAX_SELECTABLE_FIELDS));
    }
    errors
}

/// The schema of the field at a path of names.
fn find<'a>(text: &str, schema: Option<&'a Value>) -> Result<&'a Value, String> {
    const NO_FIELD: &str = "does not refer to a valid field";
    let mut found = schema.ok_or(NO_FIELD)?;
    let mut tokens = tokens(text).into_iter();
    while let Some(token) = tokens.next() {
        match token {
            "." => {}
            "[" => return Err("array notation is not allowed".to_owned()),
            other => return Err(format!("expected [ or . but got: {other}")),
        }
        let name = tokens.next().ok_or("unexpected end of JSON path")?;
        let below = match found.get("properties").filter(|properties| !properties.is_null()) {
            Some(properties) => properties.get(name),
            None => found.get("additionalProperties").filter(|additional| additional.as_object().is_some()),
        };
        found = below.ok_or(NO_FIELD)?;
    }
    Ok(found)
}

/// The parts of a path: names, and the signs between them.
fn tokens(text: &str) -> Vec<&str> {
    let is_sign = |c: char| matches!(c, '.' | '[' | ']');
    let parts = text.split_inclusive(is_sign).flat_map(|part| match part.char_indices().last() {
        Some((at, last)) if is_sign(last) => [&part[..at], &part[at..]],
        _ => [part, ""],
    });
    parts.filter(|token| !token.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn columns_and_subresources() {
        let all = value!([{"name": "", "type": "odd", "format": "odd", "jsonPath": "spec"}, {"name": "a", "type": "string", "jsonPath": ".a"}]);
        expect_test::expect![[r#"[c[0].name: Required value, c[0].type: Invalid value: "odd": must be one of boolean,date,integer,number,string, c[0].format: Invalid value: "odd": must be one of byte,date,date-time,double,float,int32,int64,password, c[0].JSONPath: Invalid value: "spec": must be a simple json path starting with .]"#]]
        .assert_eq(&field::aggregate(&columns(all.as_array().unwrap(), &Path::new("c"))));
        let scale = value!({"scale": {"specReplicasPath": ".status.a", "labelSelectorPath": "x"}});
        expect_test::expect![[r#"[s.scale.specReplicasPath: Invalid value: ".status.a": should be a json path under .spec, s.scale.statusReplicasPath: Required value, s.scale.labelSelectorPath: Invalid value: "x": must be a simple json path starting with .]"#]]
        .assert_eq(&field::aggregate(&subresources(Some(&scale), &Path::new("s"))));
    }

    #[test]
    fn selectable_fields() {
        let schema =
            value!({"properties": {"spec": {"properties": {"a": {"type": "string"}, "o": {"type": "object"}}}}});
        let all = value!([{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.a"}, {"jsonPath": ".spec.o"}, {"jsonPath": ".spec.x"}, {},
            {"jsonPath": ".spec.a[0]"}, {"jsonPath": "spec.a"}, {"jsonPath": ".spec."}]);
        expect_test::expect![[r#"[f[1].jsonPath: Duplicate value: ".spec.a", f[2].jsonPath: Invalid value: ".spec.o": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed., f[3].jsonPath: Invalid value: ".spec.x": is an invalid path: does not refer to a valid field, f[4].jsonPath: Required value, f[5].jsonPath: Invalid value: ".spec.a[0]": is an invalid path: array notation is not allowed, f[6].jsonPath: Invalid value: "spec.a": is an invalid path: expected [ or . but got: spec, f[7].jsonPath: Invalid value: ".spec.": is an invalid path: unexpected end of JSON path]"#]]
        .assert_eq(&field::aggregate(&selectable(all.as_array().unwrap(), Some(&schema), &Path::new("f"))));
    }
}
