//! A device of a slice: attributes, capacities, counters, taints, and where it is.

use std::sync::LazyLock;

use machinery::Value;
use machinery::field::{Error, Errors, Path};
use regex::Regex;

use super::{allocation, capacity, check_list, check_set, name, toleration};
use crate::validate::metadata::sorted;
use crate::validate::selector::node_selector;
use crate::validate::text;

const MAX_ATTRIBUTES_AND_CAPACITIES: usize = 32;
const MAX_VALUE_BYTES: usize = 64;
const MAX_TAINTS: usize = 16;
const MAX_CONSUMPTIONS: usize = 2;
/// A counter set has so many counters, and a device consumes so many of one.
const MAX_COUNTERS: usize = 32;

/// What is wrong with a device; taints and capacities that did not change are left alone.
pub(super) fn check(device: &Value, before: Option<&Value>, choosing: bool, path: &Path) -> Errors {
    let mut errors = name::label(device.str_at(&["name"]).unwrap_or_default(), &path.child("name"));
    let [attributes, capacities] =
        ["attributes", "capacity"].map(|field| sorted(device.get(field).and_then(Value::as_object)));
    let count = attributes.len() + capacities.len();
    if count > MAX_ATTRIBUTES_AND_CAPACITIES {
        let detail =
            format!("the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES_AND_CAPACITIES}");
        errors.push(Error::invalid(path, i64::try_from(count).unwrap_or(i64::MAX), detail));
    }
    let changed = |field: &str| before.is_none_or(|before| before.get(field) != device.get(field));
    let field = path.child("attributes");
    for (key, attribute) in attributes {
        errors.extend(name::qualified(key, &field));
        errors.extend(check_attribute(attribute, &field.key(key)));
    }
    let field = path.child("capacity");
    let shared = device.bool_at(&["allowMultipleAllocations"]) == Some(true);
    for (key, value) in capacities.into_iter().filter(|_| changed("capacity")) {
        errors.extend(name::qualified(key, &field));
        errors.extend(capacity::check(value, shared, &field.key(key)));
    }
    if changed("taints") {
        let taints = device.items_at(&["taints"]);
        errors.extend(check_list(taints, MAX_TAINTS, &path.child("taints"), toleration::taint));
    }
    let set_of = |one: &Value| one.str_at(&["counterSet"]).unwrap_or_default().into();
    let consumed = device.items_at(&["consumesCounters"]);
    errors.extend(check_set(consumed, MAX_CONSUMPTIONS, &path.child("consumesCounters"), set_of, |one, path| {
        counters(one, "counterSet", path)
    }));
    errors.extend(place(device, choosing, path));
    errors.extend(allocation::binding_conditions(device, path));
    errors
}

/// What is wrong with named counters.
pub(super) fn counters(object: &Value, name_field: &str, path: &Path) -> Errors {
    let mut errors = match object.str_at(&[name_field]).unwrap_or_default() {
        "" => vec![Error::required(&path.child(name_field), "")],
        name => name::label(name, &path.child(name_field)),
    };
    let all = sorted(object.get("counters").and_then(Value::as_object));
    let field = path.child("counters");
    if all.is_empty() {
        errors.push(Error::required(&field, ""));
    } else if all.len() > MAX_COUNTERS {
        errors.push(Error::too_many(&field, all.len(), MAX_COUNTERS));
    } else {
        errors.extend(all.into_iter().flat_map(|(key, _)| name::label(key, &field)));
    }
    errors
}

fn check_attribute(attribute: &Value, path: &Path) -> Errors {
    let is_set = |field: &&str| attribute.get(field).is_some_and(|value| !value.is_null());
    let set = ["bool", "int", "string", "version"].iter().filter(|field| is_set(field)).count();
    let mut errors = Errors::new();
    if attribute.str_at(&["string"]).is_some_and(|value| value.len() > MAX_VALUE_BYTES) {
        errors.push(Error::too_long(&path.child("string"), MAX_VALUE_BYTES));
    }
    if let Some(version) = attribute.str_at(&["version"]) {
        let field = path.child("version");
        if !is_version(version) {
            let detail = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(Error::invalid(&field, version, detail));
        }
        if version.len() > MAX_VALUE_BYTES {
            errors.push(Error::too_long(&field, MAX_VALUE_BYTES));
        }
    }
    let detail = "exactly one value must be specified";
    match set {
        0 => errors.push(Error::invalid(path, "", detail)),
        1 => {}
        _ => {
            let shown = crate::go_shape::shown("io.k8s.api.resource.v1.DeviceAttribute", attribute);
            errors.push(Error::invalid(path, shown, detail));
        }
    }
    errors
}

/// Whether a text is a version as semver.org has it.
fn is_version(version: &str) -> bool {
    static FORM: LazyLock<Regex> = LazyLock::new(|| {
        let number = "(0|[1-9][0-9]*)";
        let before = "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";
        let build = "[0-9a-zA-Z-]+";
        let form = format!(r"^{number}\.{number}\.{number}(-{before}(\.{before})*)?(\+{build}(\.{build})*)?$");
        Regex::new(&form).expect("the pattern is fixed and right")
    });
    FORM.is_match(version)
}

/// Where the device is, if the slice leaves that to its devices.
fn place(device: &Value, choosing: bool, path: &Path) -> Errors {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                       `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    let node_name = device.str_at(&["nodeName"]);
    let selector = device.get("nodeSelector").filter(|value| !value.is_null());
    let everywhere = device.bool_at(&["allNodes"]);
    let mut errors = Errors::new();
    if !choosing {
        let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to \
                      true in the ResourceSlice spec";
        if node_name.is_some() || selector.is_some() || everywhere.is_some() {
            errors.push(Error::invalid(path, Value::Null, detail));
        }
        return errors;
    }
    let mut set = Vec::new();
    match node_name {
        Some("") => errors.push(Error::invalid(&path.child("nodeName"), "", "must not be empty")),
        Some(name) => {
            set.push("`nodeName`");
            errors.extend(text(machinery::names::is_dns1123_subdomain, name, &path.child("nodeName")));
        }
        None => {}
    }
    if let Some(selector) = selector {
        set.push("`nodeSelector`");
        errors.extend(node_selector(selector, &path.child("nodeSelector")));
    }
    match everywhere {
        Some(true) => set.push("`allNodes`"),
        Some(false) => {
            errors.push(Error::invalid(&path.child("allNodes"), false, "must be either unset or set to true"));
        }
        None => {}
    }
    match set.len() {
        0 => errors.push(Error::required(path, ONE)),
        1 => {}
        _ => errors.push(Error::invalid(path, format!("{{{}}}", set.join(", ")), ONE)),
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn devices() {
        let table = [
            value!({"name": "a", "attributes": {"x": {"version": "1.2"}, "y": {}, "z": {"int": 1, "bool": true}}}),
            value!({"name": "a", "nodeName": "n", "consumesCounters": [{"counterSet": "s"}]}),
            value!({"name": "a", "capacity": {"d.example.com/mem": {"value": "1", "requestPolicy": {}}}}),
        ];
        let shown = table.map(|device| field::aggregate(&check(&device, None, false, &Path::new("d")))).join("\n");
        expect_test::expect![[r#"
            [d.attributes[x].version: Invalid value: "1.2": must be a string compatible with semver.org spec 2.0.0, d.attributes[y]: Invalid value: "": exactly one value must be specified, d.attributes[z]: Invalid value: {"IntValue":1,"BoolValue":true,"StringValue":null,"VersionValue":null,"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}: exactly one value must be specified]
            [d.consumesCounters[0].counters: Required value, d: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec]
            d.capacity[d.example.com/mem].requestPolicy: Forbidden: allowMultipleAllocations must be true"#]]
        .assert_eq(&shown);
    }
}
