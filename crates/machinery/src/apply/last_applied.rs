//! The way from client-side to server-side apply: the annotation that `kubectl apply` keeps.

use super::Write;
use super::compare::compare;
use super::conflict::Conflict;
use super::fields_of::fields_of;
use super::set::Set;
use crate::{Value, json, meta};

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The one manager whose annotation counts.
const KUBECTL: &str = "kubectl";

/// How large all annotations together may be; a larger annotation is dropped.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The conflicts that are not over fields that the same user last applied on the client side.
pub(super) fn remaining(live: &Value, write: &Write, conflicts: Vec<Conflict>) -> Vec<Conflict> {
    let Some(allowed) = allowed(live, write) else { return conflicts };
    let allowed = allowed.paths();
    conflicts.into_iter().filter(|conflict| !allowed.contains(&conflict.path)).collect()
}

/// The fields of the annotation that are still as it says.
fn allowed(live: &Value, write: &Write) -> Option<Set> {
    if write.manager != KUBECTL {
        return None;
    }
    let last = json::parse(meta::annotation(live, ANNOTATION)?.as_bytes()).ok()?;
    let difference = compare(write.message, &last, live);
    let fields = fields_of(write.message, &last);
    Some(fields.difference(&difference.modified).difference(&difference.added).difference(&difference.removed))
}

/// Keeps the annotation up to date where there is one, so that the way back stays open.
pub(super) fn refresh(object: &mut Value, config: &Value, manager: &str) {
    if manager != KUBECTL || meta::annotation(object, ANNOTATION).is_none_or(str::is_empty) {
        return;
    }
    let mut config = config.clone();
    config.remove_at(&["metadata", "managedFields"]);
    config.remove_at(&["metadata", "annotations", ANNOTATION]);
    sort(&mut config);
    meta::set_annotation(object, ANNOTATION, &(json::to_string(&config) + "\n"));
    let size = |all: &crate::Object| -> usize {
        all.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
    };
    if meta::annotations(object).is_some_and(|all| size(all) > MAX_ANNOTATIONS) {
        object.remove_at(&["metadata", "annotations", ANNOTATION]);
    }
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.sort();
            object.iter_mut().for_each(|(_, member)| sort(member));
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}
