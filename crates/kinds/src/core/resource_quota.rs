//! ResourceQuota: how much of what a namespace may have.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::kind::{BASE, Kind, STATUS, Subresource};
use crate::table::{AGE, Describe, NAME, age, text};
use crate::validate::metadata::sorted;
use crate::validate::resources::{amount_of, is_huge_pages, resource_name};

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

/// Scopes that say nothing about a name.
const ONLY_EXISTS: [&str; 5] =
    ["BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "Terminating"];
const MISFIT: &str = "unsupported scope applied to resource";
const CONFLICT: &str = "conflicting scopes";

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
    let mut errors = resource_name(name, path);
    if !name.contains('/') && !is_quota_resource(name) {
        errors.push(Error::invalid(path, name, "must be a standard resource for quota"));
    }
    errors
}

/// Whether a quota limits the resource by a name of Kubernetes' own.
fn is_quota_resource(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
            | "requests.storage"
            | "cpu"
            | "memory"
            | "ephemeral-storage"
            | "requests.cpu"
            | "requests.memory"
            | "requests.ephemeral-storage"
            | "limits.cpu"
            | "limits.memory"
            | "limits.ephemeral-storage"
    ) || is_huge_pages(name)
}

fn scopes(quota: &Value, spec: &Path) -> Errors {
    let path = spec.child("scopes");
    let all: Vec<&str> = quota.items_at(&["spec", "scopes"]).iter().filter_map(Value::as_str).collect();
    let mut errors = Errors::new();
    for scope in &all {
        if !SCOPES.contains(scope) {
            errors.push(Error::invalid(&path, Value::from(all.clone()), "unsupported scope"));
        }
        for _ in 0..misfits(quota, scope) {
            errors.push(Error::invalid(&path, Value::from(all.clone()), MISFIT));
        }
    }
    for _ in 0..conflicts(&all) {
        errors.push(Error::invalid(&path, Value::from(all.clone()), CONFLICT));
    }
    errors
}

/// How many of the limited resources have nothing to do with the scope.
fn misfits(quota: &Value, scope: &str) -> usize {
    let hard = sorted(quota.at(&["spec", "hard"]).and_then(Value::as_object));
    hard.into_iter().filter(|(name, _)| is_quota_resource(name) && !scope_covers(scope, name)).count()
}

/// How many pairs of scopes exclude each other.
fn conflicts(all: &[&str]) -> usize {
    let pairs = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
    pairs.iter().filter(|pair| pair.iter().all(|scope| all.contains(scope))).count()
}

fn scope_covers(scope: &str, resource: &str) -> bool {
    let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || compute.contains(&resource)
        }
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn scope_selector(quota: &Value, path: &Path) -> Errors {
    let Some(selector) = quota.at(&["spec", "scopeSelector"]).filter(|selector| !selector.is_null()) else {
        return Errors::new();
    };
    let path = path.child("matchExpressions");
    let mut errors = Errors::new();
    let expressions = selector.items_at(&["matchExpressions"]);
    for expression in expressions {
        let scope = expression.str_at(&["scopeName"]).unwrap_or_default();
        if !SCOPES.contains(&scope) {
            errors.push(Error::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in 0..misfits(quota, scope) {
            let shown = crate::go_shape::shown("io.k8s.api.core.v1.ScopeSelector", selector);
            errors.push(Error::invalid(&path, shown, MISFIT));
        }
        errors.extend(operator(expression, scope, &path));
    }
    let all: Vec<&str> = expressions.iter().filter_map(|one| one.str_at(&["scopeName"])).collect();
    for _ in 0..conflicts(&all) {
        // The value that upstream shows is that of the other field.
        let shown = quota.at(&["spec", "scopes"]).cloned().unwrap_or_default();
        errors.push(Error::invalid(&path, shown, CONFLICT));
    }
    errors
}

fn operator(expression: &Value, scope: &str, path: &Path) -> Errors {
    let operator = expression.str_at(&["operator"]).unwrap_or_default();
    let values = expression.items_at(&["values"]);
    let mut errors = Errors::new();
    if ONLY_EXISTS.contains(&scope) && operator != "Exists" {
        let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(Error::invalid(&path.child("operator"), operator, detail));
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
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = validate(new);
    let scopes = |quota: &Value| {
        let all = quota.items_at(&["spec", "scopes"]).iter().filter_map(Value::as_str).map(str::to_owned);
        all.collect::<std::collections::BTreeSet<String>>()
    };
    if scopes(new) != scopes(old) {
        let shown = new.at(&["spec", "scopes"]).cloned().unwrap_or_default();
        errors.push(Error::invalid(&Path::new("spec.scopes"), shown, "field is immutable"));
    }
    errors
}

fn validate_status(new: &Value, _: &Value) -> Errors {
    let mut errors = Errors::new();
    for field in ["hard", "used"] {
        errors.extend(amounts(new, &["status", field], &Path::new("status").child(field)));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn names_and_scopes() {
        let table = [
            value!({"hard": {"whoops": "1", "storage": "1", "requests.hugepages-2Mi": "4Mi", "count/jobs.batch": "2"}}),
            value!({"hard": {"requests.storage": "1", "count/pods": "1"}, "scopes": ["Terminating", "Odd"]}),
            value!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
                {"scopeName": "BestEffort", "operator": "In"}, {"scopeName": "NotBestEffort", "operator": "Exists", "values": ["x"]}]}}),
            value!({"hard": {"requests.cpu": "1"}, "scopeSelector": {"matchExpressions": [
                {"scopeName": "BestEffort", "operator": "Exists"}, {"scopeName": "Odd", "operator": "Is"}]}}),
        ];
        let shown = table.map(|spec| field::aggregate(&validate(&value!({"spec": spec})))).join("\n");
        expect_test::expect![[r#"
            [spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota, spec.hard[whoops]: Invalid value: "whoops": must be a standard resource type or fully qualified, spec.hard[whoops]: Invalid value: "whoops": must be a standard resource for quota]
            [spec.scopes: Invalid value: ["Terminating","Odd"]: unsupported scope applied to resource, spec.scopes: Invalid value: ["Terminating","Odd"]: unsupported scope]
            [spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity, spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector, spec.scopeSelector.matchExpressions.values: Invalid value: ["x"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector, spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes]
            [spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists","Values":null},{"ScopeName":"Odd","Operator":"Is","Values":null}]}: unsupported scope applied to resource, spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Odd": unsupported scope, spec.scopeSelector.matchExpressions.operator: Invalid value: "Is": not a valid selector operator]"#]].assert_eq(&shown);
    }
}
