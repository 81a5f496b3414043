//! Strategic merge patch: lists whose items have a merge key are merged item by item, and directives (`$patch`,
//! `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) say what plain JSON can't.
//!
//! See the API conventions, "Strategic Merge Patch", and the proposals on order and on retained keys.

mod list;

use super::go_text;
use crate::schema::{Field, Kind, Message, Patch, Type};
use crate::{Object, Value};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList/";

/// Why a patch is none, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A directive has the wrong form; HTTP 400.
    #[error("invalid patch format of {0}")]
    Format(&'static str),
    /// A list holds lists; HTTP 422.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// Anything else; HTTP 500, as upstream answers it.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The HTTP status of the answer.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Format(_) => 400,
            Self::ListOfLists => 422,
            Self::Other(_) => 500,
        }
    }
}

/// Changes `object`, of the shape `message`, as `patch` says.
///
/// # Errors
/// If the patch is no object, or a directive or an item without its merge key stands in it. `object` then is in no
/// useful state.
pub fn apply(message: &Message, object: &mut Value, patch: Value) -> Result<(), Error> {
    let Value::Object(patch) = patch else {
        return Err(Error::Other("Invalid JSON Patch".to_owned()));
    };
    let original = match std::mem::take(object) {
        Value::Object(object) => object,
        _ => Object::new(),
    };
    *object = Value::Object(merge(Shape::Message(message), original, patch)?);
    Ok(())
}

/// What is known about an object's members.
#[derive(Clone, Copy)]
enum Shape<'m> {
    Message(&'m Message),
    Map(&'m Type),
    Unknown,
}

impl<'m> Shape<'m> {
    fn of(kind: &'m Type) -> Self {
        match &kind.kind {
            Kind::Message(reference) => Self::Message(reference.message()),
            Kind::Map(map) => Self::Map(&map.value),
            _ => Self::Unknown,
        }
    }

    fn member(self, name: &str) -> Result<(Option<&'m Type>, Option<&'m Patch>), Error> {
        match self {
            Self::Message(message) => {
                let field: &Field = message.field(name).ok_or_else(|| {
                    let go = message.short_name();
                    Error::Other(format!("unable to find api field in struct {go} for the json field {name:?}"))
                })?;
                Ok((Some(&field.kind), Some(&field.patch)))
            }
            Self::Map(kind) => Ok((Some(kind), None)),
            Self::Unknown => Ok((None, None)),
        }
    }
}

fn merge(shape: Shape, mut original: Object, mut patch: Object) -> Result<Object, Error> {
    if let Some(directive) = patch.remove(PATCH) {
        return whole_map(&directive, patch);
    }
    retain_keys(&mut original, &mut patch)?;
    list::set_orders(shape, &mut original, &mut patch)?;
    for (name, value) in patch {
        match name.strip_prefix(DELETE_FROM_PRIMITIVE_LIST) {
            Some("") => return Err(Error::Format("primitive list")),
            Some(name) => delete_items(shape, &mut original, name, value)?,
            None => member(shape, &mut original, &name, value)?,
        }
    }
    Ok(original)
}

/// `$patch` in an object says what happens to all of it.
fn whole_map(directive: &Value, patch: Object) -> Result<Object, Error> {
    match directive.as_str() {
        Some("replace") => Ok(patch),
        Some("delete") => Ok(Object::new()),
        _ => {
            let mut whole = patch;
            whole.insert(PATCH, directive.clone());
            Err(bad_directive(directive, &Value::Object(whole)))
        }
    }
}

fn bad_directive(directive: &Value, map: &Value) -> Error {
    Error::Other(format!("unknown patch type: {} in map: {}", go_text(directive), go_text(map)))
}

/// `$retainKeys` names the members that stay; all others go.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Error> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let names = directive.as_array().ok_or(Error::Format("retainKeys"))?;
    let is_retained = |name: &str| names.iter().any(|retained| retained.as_str() == Some(name));
    let is_directive = |name: &str| name.starts_with(DELETE_FROM_PRIMITIVE_LIST) || name.starts_with(SET_ELEMENT_ORDER);
    if !patch.iter().all(|(name, value)| value.is_null() || is_directive(name) || is_retained(name)) {
        return Err(Error::Format("retainKeys"));
    }
    original.retain(|name, _| is_retained(name));
    Ok(())
}

/// A list without a strategy knows no deletion: the directive's list takes its place, as any other would.
fn delete_items(shape: Shape, original: &mut Object, name: &str, items: Value) -> Result<(), Error> {
    let (Some(Value::Array(list)), Value::Array(gone)) = (original.get_mut(name), items) else { return Ok(()) };
    let (_, strategy) = shape.member(name)?;
    if strategy.is_some_and(|strategy| strategy.merge) {
        list.retain(|item| !gone.contains(item));
    } else {
        *list = gone;
    }
    Ok(())
}

fn member(shape: Shape, original: &mut Object, name: &str, value: Value) -> Result<(), Error> {
    if value.is_null() {
        original.remove(name);
        return Ok(());
    }
    let merged = match (original.remove_in_place(name), value) {
        (Some(Value::Object(there)), Value::Object(patch)) => {
            let (kind, strategy) = shape.member(name)?;
            if strategy.is_some_and(|strategy| strategy.replace) {
                Value::Object(patch)
            } else {
                Value::Object(merge(kind.map_or(Shape::Unknown, Shape::of), there, patch)?)
            }
        }
        (Some(Value::Array(there)), Value::Array(patch)) => {
            let (kind, strategy) = shape.member(name)?;
            Value::Array(list::merge(kind, strategy, there, patch)?)
        }
        (_, value) => settled(value),
    };
    original.insert(name, merged);
    Ok(())
}

/// What a patch puts where nothing was: without nulls and without directives, which have nothing to act on.
fn settled(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let is_directive = |name: &str| {
                name == PATCH
                    || name == RETAIN_KEYS
                    || name.starts_with(SET_ELEMENT_ORDER)
                    || name.starts_with(DELETE_FROM_PRIMITIVE_LIST)
            };
            let stays = |(name, value): &(crate::Text, Value)| !value.is_null() && !is_directive(name);
            Value::Object(object.into_iter().filter(stays).map(|(name, value)| (name, settled(value))).collect())
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().filter(|item| item.get(PATCH).is_none()).map(settled).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json, schema};

    fn patched(kind: &str, object: &str, patch: &str) -> String {
        let message = schema::message(&format!("io.k8s.api.{kind}")).unwrap();
        let mut value = json::parse(object.as_bytes()).unwrap();
        match apply(message, &mut value, json::parse(patch.as_bytes()).unwrap()) {
            Ok(()) => json::to_string(&value),
            Err(error) => format!("{} {error}", error.code()),
        }
    }

    #[test]
    fn patches() {
        for (kind, object, patch, expected) in [
            // Items are merged by key; new ones come first.
            (
                "core.v1.PodSpec",
                r#"{"containers":[{"name":"a","image":"1"},{"name":"b"}]}"#,
                r#"{"containers":[{"name":"c"},{"name":"a","image":"2"}]}"#,
                r#"{"containers":[{"name":"c"},{"name":"a","image":"2"},{"name":"b"}]}"#,
            ),
            (
                "core.v1.ServiceSpec",
                r#"{"ports":[{"port":80},{"port":81}]}"#,
                r#"{"ports":[{"port":80,"targetPort":8080}]}"#,
                r#"{"ports":[{"port":80,"targetPort":8080},{"port":81}]}"#,
            ),
            (
                "core.v1.ServiceSpec",
                r#"{"ports":[{"port":80},{"port":81}]}"#,
                r#"{"ports":[{"port":81,"$patch":"delete"}]}"#,
                r#"{"ports":[{"port":80}]}"#,
            ),
            (
                "core.v1.ServiceSpec",
                r#"{"ports":[{"port":80}]}"#,
                r#"{"ports":[{"$patch":"replace"},{"port":1}]}"#,
                r#"{"ports":[{"port":1}]}"#,
            ),
            (
                "core.v1.ServiceSpec",
                r#"{"selector":{"x":"y"}}"#,
                r#"{"selector":{"x":null,"z":"w"}}"#,
                r#"{"selector":{"z":"w"}}"#,
            ),
            // Lists without a strategy are replaced.
            ("core.v1.Container", r#"{"args":["x","y"]}"#, r#"{"args":["z"]}"#, r#"{"args":["z"]}"#),
            // Lists of texts.
            (
                "core.v1.Pod",
                r#"{"metadata":{"finalizers":["a","b"]}}"#,
                r#"{"metadata":{"finalizers":["c"]}}"#,
                r#"{"metadata":{"finalizers":["c","a","b"]}}"#,
            ),
            (
                "core.v1.Pod",
                r#"{"metadata":{"finalizers":["c","a","b"]}}"#,
                r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}}"#,
                r#"{"metadata":{"finalizers":["c","b"]}}"#,
            ),
            (
                "core.v1.Pod",
                r#"{"metadata":{"finalizers":["b","c","s"]}}"#,
                r#"{"metadata":{"$setElementOrder/finalizers":["c","b"]}}"#,
                r#"{"metadata":{"finalizers":["c","b","s"]}}"#,
            ),
            // Order.
            (
                "core.v1.PodSpec",
                r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
                r#"{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"a","image":"9"}]}"#,
                r#"{"containers":[{"name":"b"},{"name":"a","image":"9"}]}"#,
            ),
            (
                "core.v1.PodSpec",
                r#"{"containers":[{"name":"a"}]}"#,
                r#"{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"a","image":"a:8"}]}"#,
                "500 The order in patch list:\n[map[image:a:8 name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
            ),
            (
                "core.v1.PodSpec",
                r#"{"containers":[{"name":"a"}]}"#,
                r#"{"$setElementOrder/containers":["a"]}"#,
                "500 value for key 0 is not a map.",
            ),
            (
                "core.v1.PodSpec",
                r#"{"containers":[{"name":"a"}]}"#,
                r#"{"$setElementOrder/containers":["a"],"containers":[{"name":"a"}]}"#,
                "500 expected a map[string]interface {}, but received a string",
            ),
            (
                "core.v1.PodSpec",
                r#"{"containers":[{"name":"a"}]}"#,
                r#"{"$setElementOrder/containers":[{"name":"a"},{"image":"b"}]}"#,
                "500 map: map[image:b] does not contain declared merge key: name",
            ),
            (
                "core.v1.PodSpec",
                "{}",
                r#"{"$setElementOrder/containers":null}"#,
                "500 expected a []interface {}, but received a %!s(<nil>)",
            ),
            (
                "core.v1.Container",
                r#"{"args":["a","b"]}"#,
                r#"{"$deleteFromPrimitiveList/args":["b"]}"#,
                r#"{"args":["b"]}"#,
            ),
            // Retained keys.
            (
                "apps.v1.DeploymentSpec",
                r#"{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}"#,
                r#"{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}"#,
                r#"{"strategy":{"type":"Recreate"}}"#,
            ),
            (
                "apps.v1.DeploymentSpec",
                r#"{"strategy":{}}"#,
                r#"{"strategy":{"$retainKeys":["type"],"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}"#,
                "400 invalid patch format of retainKeys",
            ),
            (
                "core.v1.PodSpec",
                r#"{"volumes":[{"name":"v","emptyDir":{}}]}"#,
                r#"{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}]}"#,
                r#"{"volumes":[{"name":"v","hostPath":{"path":"/x"}}]}"#,
            ),
            // What is new takes no directives and no nulls along.
            (
                "core.v1.PodSpec",
                "{}",
                r#"{"volumes":[{"name":"v","$retainKeys":["name"],"emptyDir":null}]}"#,
                r#"{"volumes":[{"name":"v"}]}"#,
            ),
            // Whole objects.
            (
                "core.v1.Pod",
                r#"{"metadata":{"labels":{"a":"b"}}}"#,
                r#"{"metadata":{"labels":{"$patch":"replace","c":"d"}}}"#,
                r#"{"metadata":{"labels":{"c":"d"}}}"#,
            ),
            (
                "core.v1.Pod",
                r#"{"metadata":{"labels":{"a":"b"}}}"#,
                r#"{"metadata":{"labels":{"$patch":"delete"}}}"#,
                r#"{"metadata":{"labels":{}}}"#,
            ),
            (
                "core.v1.Pod",
                r#"{"metadata":{"labels":{"a":"b"}}}"#,
                r#"{"metadata":{"labels":{"$patch":"frob"}}}"#,
                "500 unknown patch type: frob in map: map[$patch:frob]",
            ),
            (
                "core.v1.PodSpec",
                r#"{"containers":[{"name":"a"}]}"#,
                r#"{"containers":[{"image":"x"}]}"#,
                "500 map: map[image:x] does not contain declared merge key: name",
            ),
        ] {
            assert_eq!(patched(kind, object, patch), expected, "{patch}");
        }
    }
}
