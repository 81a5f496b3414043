//! Lists in a strategic merge patch: items merged by their key, and brought into order.

use super::{Error, PATCH, SET_ELEMENT_ORDER, Shape, bad_directive, go_text, settled};
use crate::schema::{Kind, Patch, Type};
use crate::{Object, Value};

/// What makes two items the same: the value of their key, or they themselves.
#[derive(Clone, Copy)]
struct Identity<'m>(Option<&'m str>);

impl Identity<'_> {
    fn of<'v>(&self, item: &'v Value) -> Option<&'v Value> {
        self.0.map_or(Some(item), |key| item.get(key))
    }

    fn position(&self, list: &[Value], item: &Value) -> Option<usize> {
        let wanted = self.of(item)?;
        list.iter().position(|other| self.of(other) == Some(wanted))
    }
}

/// The list after the patch's list.
pub(super) fn merge(
    kind: Option<&Type>,
    strategy: Option<&Patch>,
    original: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Vec<Value>, Error> {
    let Some(strategy) = strategy.filter(|strategy| strategy.merge) else { return Ok(patch) };
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let identity = Identity(strategy.key.as_deref());
    if !items_are_objects(&original, &patch)? {
        return Ok(merge_scalars(original, patch));
    }
    let Some(key) = identity.0 else {
        return Err(Error::Other("cannot merge lists without merge key for type struct".to_owned()));
    };
    let (original, patch) = specials(key, original, patch)?;
    let order = original.clone();
    let merged = merge_objects(key, item_shape(kind), original, &patch)?;
    require_key(key, merged.iter().chain(&order))?;
    Ok(in_order(identity, merged, &patch, &order))
}

fn item_shape(kind: Option<&Type>) -> Shape<'_> {
    match kind.map(|kind| &kind.kind) {
        Some(Kind::List(list)) => Shape::of(&list.item),
        _ => Shape::Unknown,
    }
}

/// Whether the items are objects; all of both lists must be of one type.
fn items_are_objects(original: &[Value], patch: &[Value]) -> Result<bool, Error> {
    let mut items = original.iter().chain(patch);
    let Some(first) = items.next() else { return Ok(false) };
    if let Value::Array(_) = first {
        return Err(Error::ListOfLists);
    }
    if items.any(|item| std::mem::discriminant(item) != std::mem::discriminant(first)) {
        let both = Value::Array(vec![Value::Array(original.to_vec()), Value::Array(patch.to_vec())]);
        return Err(Error::Other(format!("list element types are not identical: {}", go_text(&both))));
    }
    Ok(matches!(first, Value::Object(_)))
}

fn merge_scalars(original: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
    for item in original.iter().chain(&patch) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    in_order(Identity(None), merged, &patch, &original)
}

/// Acts on the items that are directives; gives what is left of both lists.
fn specials(key: &str, mut original: Vec<Value>, patch: Vec<Value>) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replaces = false;
    for item in patch {
        let Some(directive) = item.get(PATCH) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let gone = item.get(key).ok_or_else(|| no_key(&item, key))?;
                original.retain(|item| item.get(key) != Some(gone));
            }
            Some("replace") => replaces = true,
            Some("merge") => return Err(Error::Other("merging lists cannot yet be specified in the patch".to_owned())),
            _ => return Err(bad_directive(directive, &item)),
        }
    }
    Ok(if replaces { (plain, Vec::new()) } else { (original, plain) })
}

fn no_key(item: &Value, key: &str) -> Error {
    Error::Other(format!("map: {} does not contain declared merge key: {key}", go_text(item)))
}

fn require_key<'v>(key: &str, mut items: impl Iterator<Item = &'v Value>) -> Result<(), Error> {
    items.find(|item| item.get(key).is_none()).map_or(Ok(()), |item| Err(no_key(item, key)))
}

fn merge_objects(key: &str, shape: Shape, mut original: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, Error> {
    for item in patch {
        let wanted = item.get(key).ok_or_else(|| no_key(item, key))?;
        let Value::Object(members) = item.clone() else { continue };
        match original.iter_mut().find(|other| other.get(key) == Some(wanted)) {
            Some(Value::Object(there)) => *there = super::merge(shape, std::mem::take(there), members)?,
            _ => original.push(settled(item.clone())),
        }
    }
    Ok(original)
}

/// Items that the patch names in its order, those of the server in theirs, the two woven by the server's order.
fn in_order(identity: Identity, merged: Vec<Value>, patch: &[Value], server: &[Value]) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| identity.position(list, item).unwrap_or(usize::MAX);
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| identity.position(patch, item).is_some());
    named.sort_by_key(|item| place(patch, item));
    others.sort_by_key(|item| place(server, item));
    let mut woven = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(left), Some(right)) = (others.peek(), named.peek()) {
        let places = (identity.position(server, left), identity.position(server, right));
        let left_first = matches!(places, (Some(left), Some(right)) if left < right);
        woven.extend(if left_first { others.next() } else { named.next() });
    }
    woven.extend(others);
    woven.extend(named);
    woven
}

/// Merges the lists that have a `$setElementOrder`, and takes both out of the patch.
pub(super) fn set_orders(shape: Shape, original: &mut Object, patch: &mut Object) -> Result<(), Error> {
    let directives: Vec<_> = patch.keys().filter(|name| name.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let order = patch.remove(&directive).unwrap_or_default();
        let name = &directive[SET_ELEMENT_ORDER.len()..];
        if name.is_empty() {
            return Err(Error::Format("setElementOrder list"));
        }
        let order = into_list(order)?;
        set_order(shape, original, patch, name, &order)?;
    }
    Ok(())
}

fn into_list(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(bad_argument("[]interface {}", &other)),
    }
}

fn bad_argument(expected: &str, value: &Value) -> Error {
    let go = match value {
        Value::Array(_) => "[]interface {}",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => "%!s(<nil>)",
    };
    Error::Other(format!("expected a {expected}, but received a {go}"))
}

fn set_order(
    shape: Shape,
    original: &mut Object,
    patch: &mut Object,
    name: &str,
    order: &[Value],
) -> Result<(), Error> {
    let there = original.get(name).cloned().map(into_list).transpose()?;
    let change = patch.remove(name).map(into_list).transpose()?;
    let (kind, strategy) = shape.member(name)?;
    let identity = Identity(strategy.and_then(|strategy| strategy.key.as_deref()));
    check_order(identity, change.as_deref().unwrap_or_default(), order)?;
    let server = there.clone().unwrap_or_default();
    let merged = match (there, change) {
        (None, None) => return Ok(()),
        (Some(there), None) => there,
        (None, Some(change)) => match settled(Value::Array(change)) {
            Value::Array(items) => items,
            _ => Vec::new(),
        },
        (Some(there), Some(change)) => merge(kind, strategy, there, change)?,
    };
    if let Some(key) = identity.0 {
        require_key(key, merged.iter())?;
        require_maps(key, order, &merged)?;
        require_key(key, order.iter())?;
    }
    original.insert(name, Value::Array(in_order(identity, merged, order, &server)));
    Ok(())
}

/// Whoever looks for an item in the order list must not come across what is no object.
fn require_maps(key: &str, order: &[Value], items: &[Value]) -> Result<(), Error> {
    let Some(at) = order.iter().position(|item| item.as_object().is_none()) else { return Ok(()) };
    let is_before = |item: &Value| order[..at].iter().any(|other| other.get(key) == item.get(key));
    if items.iter().all(is_before) {
        return Ok(());
    }
    Err(Error::Other(format!("value for key {at} is not a map.")))
}

/// The patch's items must stand in the order list, in the same order.
fn check_order(identity: Identity, patch: &[Value], order: &[Value]) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    let plain = patch.iter().filter(|item| item.get(PATCH).is_none());
    for item in plain {
        let wanted = identity.of(item);
        if let Some(other) = rest.clone().next().filter(|other| identity.0.is_some() && other.as_object().is_none()) {
            return Err(bad_argument("map[string]interface {}", other));
        }
        if !rest.any(|other| identity.of(other) == wanted) {
            let (patch, order) = (Value::Array(patch.to_vec()), Value::Array(order.to_vec()));
            return Err(Error::Other(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                go_text(&patch),
                go_text(&order)
            )));
        }
    }
    Ok(())
}
