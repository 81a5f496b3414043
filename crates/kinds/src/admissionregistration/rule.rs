//! Rules: which operations on which resources somebody wants to hear of.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use crate::pod_spec::default::set_absent;
use crate::validate::one_of;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];

/// A rule speaks of everything unless it says otherwise.
pub(super) fn default(rule: &mut Value) {
    set_absent(rule, &[], "scope", || "*".into());
}

/// What is wrong with a rule.
pub(super) fn check(rule: &Value, path: &Path) -> Errors {
    let mut errors = operations(rule.items_at(&["operations"]), &path.child("operations"));
    errors.extend(list(rule, "apiGroups", "API groups", path));
    errors.extend(list(rule, "apiVersions", "API versions", path));
    for (i, _) in rule.items_at(&["apiVersions"]).iter().enumerate().filter(|(_, version)| is_empty(version)) {
        errors.push(Error::required(&path.child("apiVersions").index(i), ""));
    }
    errors.extend(resources(rule.items_at(&["resources"]), &path.child("resources")));
    if let Some(scope) = rule.str_at(&["scope"]) {
        errors.extend(one_of(scope, &SCOPES, &path.child("scope")));
    }
    errors
}

fn operations(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if all.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if all.len() > 1 && has_wildcard(all) {
        errors.push(Error::invalid(path, all.to_vec(), "if '*' is present, must not specify other operations"));
    }
    for (i, operation) in all.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(one_of(operation, &OPERATIONS, &path.index(i)));
    }
    errors
}

fn list(rule: &Value, field: &str, what: &str, path: &Path) -> Option<Error> {
    let (all, path) = (rule.items_at(&[field]), path.child(field));
    if all.is_empty() {
        return Some(Error::required(&path, ""));
    }
    let mixed = all.len() > 1 && has_wildcard(all);
    let detail = format!("if '*' is present, must not specify other {what}");
    mixed.then(|| Error::invalid(&path, all.to_vec(), detail))
}

fn resources(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    if all.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let (mut with_all_below, mut of_all_resources) = (Vec::new(), Vec::new());
    let mut last_is_plain = false;
    for (i, name) in all.iter().map(|name| name.as_str().unwrap_or_default()).enumerate() {
        if name.is_empty() {
            errors.push(Error::required(&path.index(i), ""));
            continue;
        }
        let Some((resource, sub)) = name.split_once('/') else {
            last_is_plain = name != "*";
            continue;
        };
        let covered = [
            (with_all_below.contains(&resource), format!("{resource}/*")),
            (of_all_resources.contains(&sub), format!("*/{sub}")),
        ];
        for (_, by) in covered.iter().filter(|(covered, _)| *covered) {
            let detail = format!("if '{by}' is present, must not specify {name}");
            errors.push(Error::invalid(&path.index(i), name, detail));
        }
        if sub == "*" {
            with_all_below.push(resource);
        }
        if resource == "*" {
            of_all_resources.push(sub);
        }
    }
    let has = |wanted: &str| all.iter().any(|name| name.as_str() == Some(wanted));
    if all.len() > 1 && has("*/*") {
        errors.push(Error::invalid(path, all.to_vec(), "if '*/*' is present, must not specify other resources"));
    }
    if has("*") && last_is_plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(Error::invalid(path, all.to_vec(), detail));
    }
    errors
}

fn has_wildcard(all: &[Value]) -> bool {
    all.iter().any(|item| item.as_str() == Some("*"))
}

fn is_empty(item: &Value) -> bool {
    item.as_str().is_none_or(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn rules() {
        let table = [
            value!({}),
            value!({"operations": ["*", "READ"], "apiGroups": ["*", "a"], "apiVersions": ["*", ""],
                "resources": ["pods/*", "pods/log", "*", "a"], "scope": "Odd"}),
            value!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["*/*", "", "*/x", "y/x"]}),
        ];
        let shown = table.map(|rule| field::aggregate(&check(&rule, &Path::new("r")))).join("\n");
        expect_test::expect![[r#"
            [r.operations: Required value, r.apiGroups: Required value, r.apiVersions: Required value, r.resources: Required value]
            [r.operations: Invalid value: ["*","READ"]: if '*' is present, must not specify other operations, r.operations[1]: Unsupported value: "READ": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE", r.apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other API groups, r.apiVersions: Invalid value: ["*",""]: if '*' is present, must not specify other API versions, r.apiVersions[1]: Required value, r.resources[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log, r.resources: Invalid value: ["pods/*","pods/log","*","a"]: if '*' is present, must not specify other resources without subresources, r.scope: Unsupported value: "Odd": supported values: "*", "Cluster", "Namespaced"]
            [r.resources[1]: Required value, r.resources[2]: Invalid value: "*/x": if '*/*' is present, must not specify */x, r.resources[3]: Invalid value: "y/x": if '*/x' is present, must not specify y/x, r.resources: Invalid value: ["*/*","","*/x","y/x"]: if '*/*' is present, must not specify other resources]"#]]
        .assert_eq(&shown);
    }
}
