//! ResourceQuota: how much of what a namespace may have.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::kind::{BASE, Kind, STATUS, Subresource};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, text};
use crate::validate::metadata::sorted;
use crate::validate::resources::{amount_of, resource_name};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ResourceQuota",
    plural: "resourcequotas",
    short_names: &["quota"],
    storage: "resourcequotas",
    schema: "io.k8s.api.core.v1.ResourceQuota",
    subresources: &[Subresource { validate: validate_status, ..STATUS }],
    columns: &[
        NAME,
        text(
            "Request",
            Describe::Text("Request represents a minimum amount of cpu/memory that a container may consume."),
        ),
        text(
            "Limit",
            Describe::Text(
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
            ),
        ),
        AGE,
    ],
    row,
    validate,
    validate_update,
    ..BASE
};

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

fn row(quota: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (name, hard) in sorted(quota.at(&["status", "hard"]).and_then(Value::as_object)) {
        let used = quota.str_at(&["status", "used", name]).unwrap_or("0");
        let text = format!("{name}: {used}/{}", hard.as_str().unwrap_or_default());
        if name.starts_with("limits.") { limits.push(text) } else { requests.push(text) }
    }
    vec![meta::name(quota).into(), requests.join(", ").into(), limits.join(", ").into(), age(quota, now)]
}

fn validate(quota: &Value) -> Errors {
    let spec = Path::new("spec");
    let mut errors = amounts(quota, &["spec", "hard"], &spec.child("hard"));
    errors.extend(scopes(quota, &spec));
    errors.extend(scope_selector(quota, &spec.child("scopeSelector")));
    errors
}

fn amounts(quota: &Value, at: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (name, amount) in sorted(quota.at(at).and_then(Value::as_object)) {
        let path = path.key(name);
        errors.extend(quota_resource(name, &path));
        errors.extend(amount_of(name, amount, &path));
    }
    errors
}

fn quota_resource(name: &str, path: &Path) -> Errors {
    if name.starts_with("count/") || name.contains("/requests.") || name.contains('/') {
        return crate::validate::text(machinery::names::is_qualified_name, name, path).collect();
    }
    let mut errors = resource_name(name, path);
    for error in &mut errors {
        if error.detail == "must be a standard resource type or fully qualified" {
            "must be a standard resource for quota".clone_into(&mut error.detail);
            errors.push(Error::invalid(path, name, "must be a standard resource type or fully qualified"));
            break;
        }
    }
    errors
}

fn scopes(quota: &Value, spec: &Path) -> Errors {
    let path = spec.child("scopes");
    let all: Vec<&str> = quota.items_at(&["spec", "scopes"]).iter().filter_map(Value::as_str).collect();
    let mut errors = Errors::new();
    for scope in &all {
        if !SCOPES.contains(scope) {
            errors.push(Error::invalid(&path, Value::from(all.clone()), "unsupported scope"));
        }
        for (name, _) in sorted(quota.at(&["spec", "hard"]).and_then(Value::as_object)) {
            if !scope_covers(scope, name) {
                let detail = "unsupported scope applied to resource";
                errors.push(Error::invalid(&path, Value::from(all.clone()), detail));
            }
        }
    }
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| all.contains(scope)) {
            errors.push(Error::invalid(&path, Value::from(all.clone()), "conflicting scopes"));
        }
    }
    errors
}

fn scope_covers(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            matches!(resource, "pods" | "cpu" | "memory" | "ephemeral-storage")
                || resource.starts_with("requests.")
                || resource.starts_with("limits.")
        }
        _ => true,
    }
}

fn scope_selector(quota: &Value, path: &Path) -> Errors {
    let path = path.child("matchExpressions");
    let mut errors = Errors::new();
    for expression in quota.items_at(&["spec", "scopeSelector", "matchExpressions"]) {
        let scope = expression.str_at(&["scopeName"]).unwrap_or_default();
        let operator = expression.str_at(&["operator"]).unwrap_or_default();
        let values = expression.items_at(&["values"]);
        if !SCOPES.contains(&scope) {
            errors.push(Error::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(Error::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(Error::invalid(&path.child("values"), Value::Array(values.to_vec()), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(Error::invalid(&path.child("operator"), operator, "not a valid selector operator")),
        }
        if operator != "Exists" && !matches!(scope, "PriorityClass" | "VolumeAttributesClass") {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(Error::invalid(&path.child("operator"), operator, detail));
        }
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let mut sorted_scopes = [new, old].map(|quota| quota.items_at(&["spec", "scopes"]).to_vec());
    for scopes in &mut sorted_scopes {
        scopes.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    let [new_scopes, old_scopes] = sorted_scopes.map(Value::Array);
    errors.extend(immutable(Some(&new_scopes), Some(&old_scopes), &Path::new("spec.scopes")));
    errors
}

fn validate_status(new: &Value, _: &Value) -> Errors {
    let mut errors = Errors::new();
    for field in ["hard", "used"] {
        errors.extend(amounts(new, &["status", field], &Path::new("status").child(field)));
    }
    errors
}
