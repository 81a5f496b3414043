//! LimitRange: bounds and defaults of resources in a namespace.

use machinery::field::{Error, Errors, Path};
use machinery::{Object, Quantity, Value, names};

use crate::kind::{BASE, Kind, Writes};
use crate::pod_spec::quantity;
use crate::validate::metadata::sorted;
use crate::validate::resources::{container_resource_name, is_over_committed, resource_name};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "LimitRange",
    plural: "limitranges",
    short_names: &["limits"],
    storage: "limitranges",
    schema: "io.k8s.api.core.v1.LimitRange",
    writes: Writes { create_on_update: true, unconditional: true },
    default,
    validate,
    validate_update: |new, _| validate(new),
    ..BASE
};

const MAPS: [&str; 4] = ["max", "min", "default", "defaultRequest"];

/// A container's default limit is its maximum, its default request the default limit or the minimum.
fn default(range: &mut Value) {
    let limits = range.at_mut(&["spec", "limits"]).and_then(Value::as_array_mut);
    for limit in limits.into_iter().flatten() {
        if limit.str_at(&["type"]) == Some("Container") {
            fill(limit, "default", "max");
            fill(limit, "defaultRequest", "default");
            fill(limit, "defaultRequest", "min");
        }
    }
}

fn fill(limit: &mut Value, field: &str, from: &str) {
    let Some(source) = limit.get(from).and_then(Value::as_object).cloned() else { return };
    for (name, amount) in source {
        if limit.at(&[field, &name]).is_none() {
            limit.set_at(&[field, &name], amount);
        }
    }
}

fn validate(range: &Value) -> Errors {
    let path = Path::new("spec.limits");
    let mut errors = Errors::new();
    let mut types: Vec<&str> = Vec::new();
    for (i, limit) in range.items_at(&["spec", "limits"]).iter().enumerate() {
        let path = path.index(i);
        let kind = limit.str_at(&["type"]).unwrap_or_default();
        errors.extend(limit_type(kind, &path.child("type")));
        if types.contains(&kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
        types.push(kind);
        errors.extend(limit_item(limit, kind, &path));
    }
    errors
}

fn limit_type(kind: &str, path: &Path) -> Errors {
    let mut errors: Errors = crate::validate::text(names::is_qualified_name, kind, path).collect();
    if errors.is_empty() && !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
        errors.push(Error::invalid(path, kind, "must be a standard limit type or fully qualified"));
    }
    errors
}

fn limit_item(limit: &Value, kind: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let check = |field: &str| -> Errors {
        let names = sorted(limit.get(field).and_then(Value::as_object));
        let of_containers = matches!(kind, "Pod" | "Container");
        let name = if of_containers { container_resource_name } else { resource_name };
        names.into_iter().flat_map(|(key, _)| name(key, &path.child(field).key(key))).collect()
    };
    errors.extend(check("max"));
    errors.extend(check("min"));
    for field in ["default", "defaultRequest"] {
        if kind != "Pod" {
            errors.extend(check(field));
        } else if limit.get(field).and_then(Value::as_object).is_some_and(|map| !map.is_empty()) {
            let detail = "may not be specified when `type` is 'Pod'";
            errors.push(Error::forbidden(&path.child(field), detail));
        }
    }
    if kind == "PersistentVolumeClaim" && ["min", "max"].iter().all(|f| limit.at(&[f, "storage"]).is_none()) {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(Error::required(&path.child("limits"), detail));
    }
    errors.extend(check("maxLimitRequestRatio"));
    for name in resource_names(limit) {
        errors.extend(order(limit, kind, name, path));
    }
    errors
}

fn resource_names(limit: &Value) -> Vec<&str> {
    let maps = MAPS.iter().chain(&["maxLimitRequestRatio"]).filter_map(|field| limit.get(field)?.as_object());
    let mut all: Vec<&str> = maps.flat_map(Object::keys).map(|name| name.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Least ≤ default request ≤ default limit ≤ most.
fn order(limit: &Value, kind: &str, name: &str, path: &Path) -> Errors {
    let get = |field: &str| limit.at(&[field, name]).and_then(quantity);
    let [max, min] = ["max", "min"].map(get);
    let [default, request] = ["default", "defaultRequest"].map(|field| get(field).filter(|_| kind != "Pod"));
    let mut errors = Errors::new();
    // Low and high with their names; the field that is shown as wrong, and whether it is the low one.
    let pairs = [
        (min, "min", max, "max", "min", true),
        (min, "min", request, "default request", "defaultRequest", false),
        (request, "default request", max, "max", "defaultRequest", true),
        (request, "default request", default, "default limit", "defaultRequest", true),
        (min, "min", default, "default", "default", true),
        (default, "default", max, "max", "default", false),
    ];
    for (low, low_name, high, high_name, field, show_low) in pairs {
        let (Some(low), Some(high)) = (low, high) else { continue };
        if low > high {
            let shown = if show_low { low } else { high };
            let detail = format!("{low_name} value {low} is greater than {high_name} value {high}");
            errors.push(Error::invalid(&path.child(field).key(name), shown.to_string(), detail));
        }
    }
    errors.extend(ratio(limit, name, path, min, max));
    if !is_over_committed(name) && default.is_some() && request.is_some() && default != request {
        let detail =
            format!("default value {} must equal to defaultRequest value {} in {name}", show(default), show(request));
        errors.push(Error::invalid(&path.child("defaultRequest").key(name), show(request), detail));
    }
    errors
}

fn ratio(limit: &Value, name: &str, path: &Path, min: Option<Quantity>, max: Option<Quantity>) -> Errors {
    let mut errors = Errors::new();
    let Some(ratio) = limit.at(&["maxLimitRequestRatio", name]).and_then(quantity) else { return errors };
    let path = path.child("maxLimitRequestRatio").key(name);
    if ratio < Quantity::new(1, machinery::quantity::Format::DecimalSi) {
        errors.push(Error::invalid(&path, ratio.to_string(), format!("ratio {ratio} is less than 1")));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let bound = max.to_f64() / min.to_f64();
        if ratio.to_f64() > bound {
            let detail = format!("ratio {ratio} is greater than max/min = {bound:.6}");
            errors.push(Error::invalid(&path, ratio.to_string(), detail));
        }
    }
    errors
}

fn show(amount: Option<Quantity>) -> String {
    amount.unwrap_or_default().to_string()
}
