//! The resource.k8s.io group, v1: devices that pods claim (dynamic resource allocation, KEP-4381).
//!
//! Selectors are checked for being there and for their length, not for what their CEL says.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use crate::Kind;
use crate::kind::BASE;

mod allocation;
mod capacity;
mod claim;
mod device;
pub mod device_class;
mod name;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_slice;
mod toleration;

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] =
    &[&device_class::KIND, &resource_claim::KIND, &resource_claim_template::KIND, &resource_slice::KIND];

/// What the group's kinds share.
const RESOURCE: Kind = Kind { group: "resource.k8s.io", ..BASE };

/// What is wrong with a list that has a limit; too long a list is not looked at any further.
fn check_list(all: &[Value], most: usize, path: &Path, check: impl Fn(&Value, &Path) -> Errors) -> Errors {
    if all.len() > most {
        return vec![Error::too_many(path, all.len(), most)];
    }
    all.iter().enumerate().flat_map(|(i, item)| check(item, &path.index(i))).collect()
}

/// What is wrong with a list that has a limit and whose items differ by their keys.
fn check_set(
    all: &[Value],
    most: usize,
    path: &Path,
    key: impl Fn(&Value) -> Value,
    check: impl Fn(&Value, &Path) -> Errors,
) -> Errors {
    let mut errors = check_list(all, most, path, check);
    if all.len() > most {
        return errors;
    }
    let keys: Vec<Value> = all.iter().map(key).collect();
    for (i, key) in keys.iter().enumerate().filter(|(i, key)| keys[..*i].contains(key)) {
        errors.push(Error::duplicate(&path.index(i), key.clone()));
    }
    errors
}

/// The name of an item, as the key of a set.
fn name_of(item: &Value) -> Value {
    item.str_at(&["name"]).unwrap_or_default().into()
}
