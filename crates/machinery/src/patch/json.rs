//! JSON patch (RFC 6902) as Kubernetes has it: negative indices count from the end, `replace` and `test` of a name that
//! is not there see null, at most [`MAX_OPERATIONS`] operations. A few of them could double an object again and again, or
//! bury it: copies have a limit, and so has nesting.

use crate::{Text, Value, json};

/// More operations than this are refused.
pub const MAX_OPERATIONS: usize = 10_000;

/// So many bytes of JSON are copied within an object by one patch; then it does not fit.
const COPY_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// Why a patch is none, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no JSON patch; HTTP 400.
    #[error("error decoding patch: {0}")]
    Decode(String),
    /// There are too many operations; HTTP 413.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooMany(usize),
    /// An operation does not fit the object; HTTP 422. Clients see a general sentence, not this one.
    #[error("{0}")]
    Apply(String),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Operation {
    /// `add`, `remove`, `replace`, `move`, `copy` or `test`.
    pub op: Text,
    /// Where.
    pub path: Option<Text>,
    /// From where, for `move` and `copy`.
    pub from: Option<Text>,
    /// What, for `add`, `replace` and `test`.
    pub value: Value,
}

/// Reads a patch; also gives a sentence for every member that no operation has or that stands twice.
///
/// # Errors
/// If it is no list of operations, or too long a one.
pub fn parse(text: &[u8]) -> Result<(Vec<Operation>, Vec<String>), Error> {
    let tree = json::parse_with_duplicates(text).map_err(|error| Error::Decode(error.message))?;
    let items = match tree {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => return Err(mismatch(&other, "Go value of type []handlers.jsonPatchOp")),
    };
    if items.len() > MAX_OPERATIONS {
        return Err(Error::TooMany(items.len()));
    }
    let mut found = Vec::new();
    let operations: Result<_, _> =
        items.into_iter().enumerate().map(|(index, item)| operation(index, item, &mut found)).collect();
    Ok((operations?, found))
}

fn mismatch(value: &Value, target: &str) -> Error {
    let what = match value {
        Value::Bool(_) => "bool",
        other => other.type_name(),
    };
    Error::Decode(format!("json: cannot unmarshal {what} into {target}"))
}

fn operation(index: usize, item: Value, found: &mut Vec<String>) -> Result<Operation, Error> {
    let mut operation = Operation::default();
    let Value::Object(members) = item else {
        return if item.is_null() {
            Ok(operation)
        } else {
            Err(mismatch(&item, "Go value of type handlers.jsonPatchOp"))
        };
    };
    let mut seen: Vec<Text> = Vec::new();
    for (name, mut value) in members {
        if !["op", "path", "from", "value"].contains(&name.as_str()) {
            found.push(format!("json patch unknown field \"[{index}].{name}\""));
            continue;
        }
        if seen.contains(&name) {
            found.push(format!("json patch duplicate field \"[{index}].{name}\""));
        }
        if name == "value" {
            json::keep_last(&mut value);
            operation.value = value;
        } else {
            let text = match value {
                Value::String(text) => Some(text),
                Value::Null => None,
                other => {
                    return Err(mismatch(&other, &format!("Go struct field jsonPatchOp.{name} of type string")));
                }
            };
            match name.as_str() {
                "op" => operation.op = text.unwrap_or_default(),
                "path" => operation.path = text,
                _ => operation.from = text,
            }
        }
        seen.push(name);
    }
    Ok(operation)
}

/// The object after all operations, one after another.
///
/// # Errors
/// The first operation that does not fit.
pub fn apply(operations: &[Operation], mut object: Value) -> Result<Value, Error> {
    let mut copied = 0;
    operations.iter().try_for_each(|operation| apply_one(operation, &mut object, &mut copied))?;
    Ok(object)
}

/// Checks that the object does not nest deeper than JSON may with `value` in this place.
fn fits(op: &str, path: &str, value: &Value) -> Result<(), Error> {
    let above = path.bytes().filter(|byte| *byte == b'/').count();
    let room = json::MAX_DEPTH.saturating_sub(above);
    if is_deeper(value, room) { Err(fail(op, path, "exceeded max depth")) } else { Ok(()) }
}

fn is_deeper(value: &Value, limit: usize) -> bool {
    let Some(limit) = limit.checked_sub(1) else { return true };
    match value {
        Value::Object(members) => members.iter().any(|(_, member)| is_deeper(member, limit)),
        Value::Array(items) => items.iter().any(|item| is_deeper(item, limit)),
        _ => false,
    }
}

fn apply_one(operation: &Operation, object: &mut Value, copied: &mut usize) -> Result<(), Error> {
    let Operation { op, path, from, value } = operation;
    let path = path.as_deref().ok_or_else(|| fail(op, "", "operation missing path field"))?;
    let from = || from.as_deref().ok_or_else(|| fail(op, "", "operation, missing from field"));
    match op.as_str() {
        "add" => {
            fits(op, path, value)?;
            add(op, object, path, value.clone())
        }
        "remove" => remove(op, object, path),
        "replace" if path.is_empty() => replace_whole(object, value),
        "replace" => {
            fits(op, path, value)?;
            get(op, object, path)?;
            set(op, object, path, value.clone())
        }
        "move" => {
            let value = get(op, object, from()?)?;
            fits(op, path, &value)?;
            remove(op, object, from()?)?;
            add(op, object, path, value)
        }
        "copy" => {
            let value = get(op, object, from()?)?;
            fits(op, path, &value)?;
            *copied += json::to_vec(&value).len();
            if *copied > COPY_LIMIT_BYTES {
                return Err(Error::Apply(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPY_LIMIT_BYTES}"
                )));
            }
            add(op, object, path, value)
        }
        "test" if path.is_empty() && object == value => Ok(()),
        "test" if !path.is_empty() && get(op, object, path)? == *value => Ok(()),
        "test" => Err(fail(op, path, "test failed")),
        _ => Err(Error::Apply(format!("Unexpected kind: {op}"))),
    }
}

/// Puts another object, or a list, into the place of all.
fn replace_whole(object: &mut Value, value: &Value) -> Result<(), Error> {
    match value {
        Value::Object(_) | Value::Array(_) => object.clone_from(value),
        _ => return Err(Error::Apply("replace operation value must be object or array".to_owned())),
    }
    fits("replace", "", value)
}

fn fail(op: &str, path: &str, why: &str) -> Error {
    Error::Apply(format!("{op} operation does not apply: {why}: {}", crate::field::quote(path)))
}

/// The parent that a path leads to, and the last part of the path.
fn find<'v>(op: &str, object: &'v mut Value, path: &str) -> Result<(&'v mut Value, String), Error> {
    let missing = || fail(op, path, "doc is missing path");
    let mut parts: Vec<String> = path.split('/').skip(1).map(unescaped).collect();
    let last = parts.pop().ok_or_else(missing)?;
    let mut place = object;
    for part in parts {
        place = match place {
            Value::Object(members) => members.get_mut(&part),
            Value::Array(items) => index(&part, items.len()).and_then(|at| items.get_mut(at)),
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    match place {
        Value::Object(_) | Value::Array(_) => Ok((place, last)),
        _ => Err(missing()),
    }
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// A place in a list of `length`; a negative one counts from the end.
fn index(part: &str, length: usize) -> Option<usize> {
    let at: i64 = part.parse().ok()?;
    let length = i64::try_from(length).ok()?;
    let at = if at < 0 { at + length } else { at };
    usize::try_from(at).ok().filter(|_| at < length)
}

fn get(op: &str, object: &mut Value, path: &str) -> Result<Value, Error> {
    let (parent, last) = find(op, object, path)?;
    match parent {
        Value::Array(items) => {
            let at = index(&last, items.len()).ok_or_else(|| fail(op, path, "invalid index referenced"))?;
            Ok(items[at].clone())
        }
        parent => Ok(parent.get(&last).cloned().unwrap_or_default()),
    }
}

fn set(op: &str, object: &mut Value, path: &str, value: Value) -> Result<(), Error> {
    let (parent, last) = find(op, object, path)?;
    match parent {
        Value::Object(members) => {
            members.insert(last, value);
        }
        Value::Array(items) => {
            let at = index(&last, items.len()).ok_or_else(|| fail(op, path, "invalid index referenced"))?;
            items[at] = value;
        }
        _ => {}
    }
    Ok(())
}

fn add(op: &str, object: &mut Value, path: &str, value: Value) -> Result<(), Error> {
    let (parent, last) = find(op, object, path)?;
    match parent {
        Value::Object(members) => {
            members.insert(last, value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(&last, items.len() + 1).ok_or_else(|| fail(op, path, "invalid index referenced"))?;
            items.insert(at, value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(op: &str, object: &mut Value, path: &str) -> Result<(), Error> {
    let (parent, last) = find(op, object, path)?;
    let removed = match parent {
        Value::Object(members) => members.remove(&last),
        Value::Array(items) => index(&last, items.len()).map(|at| items.remove(at)),
        _ => None,
    };
    removed.map(|_| ()).ok_or_else(|| fail(op, path, "unable to remove nonexistent key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(object: &str, patch: &str) -> String {
        let result = parse(patch.as_bytes())
            .and_then(|(operations, _)| apply(&operations, json::parse(object.as_bytes()).expect("the test's own")));
        result.map_or_else(|error| error.to_string(), |value| json::to_string(&value))
    }

    #[test]
    fn operations() {
        for (object, patch, expected) in [
            (r#"{"a":{}}"#, r#"[{"op":"add","path":"/a/b~1c","value":1}]"#, r#"{"a":{"b/c":1}}"#),
            (
                r#"{"a":[1,2]}"#,
                r#"[{"op":"add","path":"/a/-","value":3},{"op":"add","path":"/a/0","value":0}]"#,
                r#"{"a":[0,1,2,3]}"#,
            ),
            (
                r#"{"a":[1,2]}"#,
                r#"[{"op":"remove","path":"/a/-1"},{"op":"add","path":"/a/-1","value":9}]"#,
                r#"{"a":[1,9]}"#,
            ),
            (
                r#"{"a":1}"#,
                r#"[{"op":"move","from":"/a","path":"/b"},{"op":"copy","from":"/b","path":"/c"}]"#,
                r#"{"b":1,"c":1}"#,
            ),
            (r#"{"a":{}}"#, r#"[{"op":"replace","path":"/a/x","value":1}]"#, r#"{"a":{"x":1}}"#),
            (
                r#"{"a":{}}"#,
                r#"[{"op":"test","path":"/a/x","value":null},{"op":"test","path":"/a","value":{}}]"#,
                r#"{"a":{}}"#,
            ),
            ("{}", r#"[{"op":"test","path":"/a","value":1}]"#, r#"test operation does not apply: test failed: "/a""#),
            (
                "{}",
                r#"[{"op":"remove","path":"/a"}]"#,
                r#"remove operation does not apply: unable to remove nonexistent key: "/a""#,
            ),
            (
                "{}",
                r#"[{"op":"add","path":"/a/b","value":1}]"#,
                r#"add operation does not apply: doc is missing path: "/a/b""#,
            ),
            (
                r#"{"a":[1]}"#,
                r#"[{"op":"add","path":"/a/99","value":1}]"#,
                r#"add operation does not apply: invalid index referenced: "/a/99""#,
            ),
            (
                r#"{"a":[1]}"#,
                r#"[{"op":"add","path":"/a/x","value":1}]"#,
                r#"add operation does not apply: invalid index referenced: "/a/x""#,
            ),
            (
                r#"{"a":1}"#,
                r#"[{"op":"replace","path":"","value":{"b":2}},{"op":"test","path":"","value":{"b":2}}]"#,
                r#"{"b":2}"#,
            ),
            ("{}", r#"[{"op":"replace","path":"","value":5}]"#, "replace operation value must be object or array"),
            ("{}", r#"[{"op":"test","path":"","value":[]}]"#, r#"test operation does not apply: test failed: """#),
            (r#"{"a":1}"#, "null", r#"{"a":1}"#),
            ("{}", r#"[{"op":"frob","path":"/a"}]"#, "Unexpected kind: frob"),
            ("{}", r#"[{"op":"add","value":1}]"#, r#"add operation does not apply: operation missing path field: """#),
            (
                "{}",
                r#"{"op":"add"}"#,
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
            (
                "{}",
                r#"[1]"#,
                "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
            ),
        ] {
            assert_eq!(patched(object, patch), expected, "{patch}");
        }
    }

    #[test]
    fn unknown_members_and_the_limit() {
        let (_, found) = parse(br#"[{"op":"add","path":"/a","value":1},{"op":"add","path":"/b","odd":2}]"#).unwrap();
        assert_eq!(found, [r#"json patch unknown field "[1].odd""#]);
        let many = format!("[{}]", vec!["{}"; MAX_OPERATIONS + 1].join(","));
        assert_eq!(
            parse(many.as_bytes()).unwrap_err().to_string(),
            "The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
    }

    #[test]
    fn few_operations_make_no_giant() {
        let copy = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
        let doubling = patched(r#"{"a":[1,2,3,4]}"#, &format!("[{}]", [copy; 60].join(",")));
        expect_test::expect![
            "Unable to complete the copy, the accumulated size increase of copy is 5242851, exceeding the limit 3145728"
        ]
        .assert_eq(&doubling);
        let bury = |n: usize| {
            let (from, to) = if usize::is_multiple_of(n, 2) { ("a", "b") } else { ("b", "a") };
            format!(r#"{{"op":"add","path":"/{to}","value":{{}}}},{{"op":"move","from":"/{from}","path":"/{to}/x"}}"#)
        };
        let buried = patched(r#"{"a":{}}"#, &format!("[{}]", (0..3000).map(bury).collect::<Vec<_>>().join(",")));
        expect_test::expect![[r#"move operation does not apply: exceeded max depth: "/b/x""#]].assert_eq(&buried);
    }
}
