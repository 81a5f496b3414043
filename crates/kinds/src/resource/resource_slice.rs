//! ResourceSlice: devices that a driver has to offer, on a node or on many.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use super::{RESOURCE, check_set, device, name, name_of};
use crate::kind::{Context, Generation, Kind, selectable};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, text as column};
use crate::validate::selector::node_selector;
use crate::validate::text;

const SPEC: &str = "io.k8s.api.resource.v1.ResourceSliceSpec";
const MAX_DEVICES: usize = 128;
const MAX_DEVICES_WITH_MORE: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
const UNSET_OR_TRUE: &str = "must be either unset or set to true";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ResourceSlice",
    plural: "resourceslices",
    namespaced: false,
    storage: "resourceslices",
    schema: "io.k8s.api.resource.v1.ResourceSlice",
    columns: &[
        NAME,
        column("Node", Describe::Field(SPEC, "nodeName")),
        column("Driver", Describe::Field(SPEC, "driver")),
        column("Pool", Describe::Field("io.k8s.api.resource.v1.ResourcePool", "name")),
        AGE,
    ],
    row,
    selectable: selectable!["metadata.name", "spec.nodeName", "spec.driver"],
    generation: Generation::Of(&["spec"]),
    prepare_create: prepare,
    prepare_update: |new, _, context| prepare(new, context),
    validate: |slice| check(slice, None),
    validate_update: |new, old| check(new, Some(old)),
    ..RESOURCE
};

fn row(slice: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        meta::name(slice).into(),
        str(slice, &["spec", "nodeName"]),
        str(slice, &["spec", "driver"]),
        str(slice, &["spec", "pool", "name"]),
        age(slice, now),
    ]
}

/// Taints get their time; fields of features that are off by default go.
fn prepare(slice: &mut Value, context: &Context<'_>) {
    let now = meta::seconds(context.now);
    let devices = slice.at_mut(&["spec", "devices"]).and_then(Value::as_array_mut).into_iter().flatten();
    for device in devices {
        device.remove_at(&["nodeAllocatableResourceMappings"]);
        let attributes = device.get_mut("attributes").and_then(Value::as_object_mut);
        for (_, attribute) in attributes.into_iter().flat_map(machinery::Object::iter_mut) {
            for lists in ["ints", "bools", "strings", "versions"] {
                attribute.remove_at(&[lists]);
            }
        }
        for taint in device.get_mut("taints").and_then(Value::as_array_mut).into_iter().flatten() {
            if taint.get("timeAdded").is_none_or(Value::is_null) {
                taint.set_at(&["timeAdded"], now.as_str());
            }
        }
    }
}

fn check(slice: &Value, old: Option<&Value>) -> Errors {
    let path = Path::new("spec");
    let spec = slice.get("spec").unwrap_or(&Value::Null);
    let old = old.map(|old| old.get("spec").unwrap_or(&Value::Null));
    let mut errors = name::driver(spec.str_at(&["driver"]).unwrap_or_default(), &path.child("driver"));
    errors.extend(check_pool(spec, &path.child("pool")));
    for fields in [&["pool", "name"][..], &["driver"], &["nodeName"]] {
        let changed = old.and_then(|old| immutable(spec.at(fields), old.at(fields), &path.child(&fields.join("."))));
        errors.extend(changed);
    }
    errors.extend(check_place(spec, &path));
    let [devices, counters] = ["devices", "sharedCounters"].map(|field| spec.items_at(&[field]));
    if !devices.is_empty() && !counters.is_empty() {
        errors.push(Error::invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let has = |field: &str| devices.iter().any(|device| !device.items_at(&[field]).is_empty());
    let most = if has("taints") || has("consumesCounters") { MAX_DEVICES_WITH_MORE } else { MAX_DEVICES };
    let choosing = spec.bool_at(&["perDeviceNodeSelection"]) == Some(true);
    errors.extend(check_set(devices, most, &path.child("devices"), name_of, |device, path| {
        let before = old.and_then(|old| old.items_at(&["devices"]).iter().find(|d| name_of(d) == name_of(device)));
        device::check(device, before, choosing, path)
    }));
    errors.extend(check_set(counters, MAX_COUNTER_SETS, &path.child("sharedCounters"), name_of, |set, path| {
        device::counters(set, "name", path)
    }));
    errors
}

fn check_pool(spec: &Value, path: &Path) -> Errors {
    let number = |field: &str| spec.int_at(&["pool", field]).unwrap_or_default();
    let mut errors = name::pool(spec.str_at(&["pool", "name"]).unwrap_or_default(), &path.child("name"));
    if number("resourceSliceCount") <= 0 {
        let field = path.child("resourceSliceCount");
        errors.push(Error::invalid(&field, number("resourceSliceCount"), "must be greater than zero"));
    }
    if number("generation") < 0 {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("generation"), number("generation"), detail));
    }
    errors
}

fn check_place(spec: &Value, path: &Path) -> Errors {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut errors = Errors::new();
    let mut set = Vec::new();
    match spec.str_at(&["nodeName"]) {
        Some("") => {
            let detail = "must be either unset or set to a non-empty string";
            errors.push(Error::invalid(&path.child("nodeName"), "", detail));
        }
        Some(node) => {
            set.push("`nodeName`");
            errors.extend(text(machinery::names::is_dns1123_subdomain, node, &path.child("nodeName")));
        }
        None => {}
    }
    if let Some(selector) = spec.get("nodeSelector").filter(|value| !value.is_null()) {
        set.push("`nodeSelector`");
        let field = path.child("nodeSelector");
        errors.extend(node_selector(selector, &field));
        let terms = selector.items_at(&["nodeSelectorTerms"]);
        if terms.len() != 1 {
            let shown = crate::go_shape::shown("io.k8s.api.core.v1.NodeSelector", selector);
            let shown = shown.get("NodeSelectorTerms").cloned();
            errors.push(Error::invalid(
                &field.child("nodeSelectorTerms"),
                shown,
                "must have exactly one node selector term",
            ));
        }
    }
    for (field, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match spec.bool_at(&[field]) {
            Some(true) => set.push(shown),
            Some(false) => errors.push(Error::invalid(&path.child(field), false, UNSET_OR_TRUE)),
            None => {}
        }
    }
    match set.len() {
        0 => errors.push(Error::required(path, ONE)),
        1 => {}
        _ => {
            let detail = format!("{ONE}, but multiple fields are set");
            errors.push(Error::invalid(path, format!("{{{}}}", set.join(", ")), detail));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn slices() {
        let slice = |more: Value| {
            let mut slice = value!({"spec": {"driver": "d.example.com", "devices": [{"name": "a"}],
                "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}});
            for (name, value) in more.as_object().unwrap().iter() {
                slice.set_at(&["spec", name], value.clone());
            }
            slice
        };
        let table = [
            value!({"nodeName": "n"}),
            value!({"driver": "Bad_", "pool": {"name": "", "generation": (-1)}}),
            value!({"nodeName": "n", "allNodes": true, "devices": [{"name": "a"}, {"name": "a"}]}),
        ];
        let shown = table.map(|more| field::aggregate(&check(&slice(more), None))).join("\n");
        expect_test::expect![[r#"
            []
            [spec.driver: Invalid value: "Bad_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), spec.pool.name: Required value, spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero, spec.pool.generation: Invalid value: -1: must be greater than or equal to zero, spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required]
            [spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set, spec.devices[1]: Duplicate value: "a"]"#]]
        .assert_eq(&shown);
    }
}
