//! What to do about one object that a cluster should have, given the one it has.

use machinery::{Object, Value, meta};

use super::api_services::MANAGED;
use crate::authorization::{Rule, missing_rules};

/// What to write, if anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The object is missing.
    Create(Value),
    /// The object lacks something.
    Update(Value),
    /// A binding points to another role, which an update cannot change.
    Replace(Value),
    /// All is well, or somebody said to leave it alone.
    Nothing,
}

/// Plans for `desired`, of which the cluster has `existing`.
///
/// Roles and bindings get back what they lack and keep what they have more, unless their annotation says to leave them
/// alone. Where the API server itself is reached is always written as it is. Everything else is made once.
#[must_use]
pub fn plan(desired: Value, existing: Option<&Value>) -> Action {
    let Some(existing) = existing else { return Action::Create(desired) };
    match meta::kind(&desired) {
        "ClusterRole" | "Role" => plan_rbac(&desired, existing, add_rules),
        "ClusterRoleBinding" | "RoleBinding" if desired.get("roleRef") != existing.get("roleRef") => {
            if is_protected(existing) { Action::Nothing } else { Action::Replace(desired) }
        }
        "ClusterRoleBinding" | "RoleBinding" => plan_rbac(&desired, existing, add_subjects),
        "Service" => write_fields(&desired, existing, &[&["spec", "ports"]]),
        "Endpoints" => write_fields(&desired, existing, &[&["subsets"]]),
        "EndpointSlice" => write_fields(&desired, existing, &[&["endpoints"], &["ports"]]),
        "ConfigMap" => write_fields(&desired, existing, &[&["data", "client-ca-file"]]),
        "ServiceCIDR" if becomes_dual(&desired, existing) => write_fields(&desired, existing, &[&["spec", "cidrs"]]),
        "APIService" if meta::label(existing, MANAGED.0) == Some(MANAGED.1) => {
            write_fields(&desired, existing, &[&["spec"]])
        }
        "FlowSchema" | "PriorityLevelConfiguration" if follows(existing) => {
            write_fields(&desired, existing, &[&["spec"]])
        }
        _ => Action::Nothing,
    }
}

/// Whether a second range is to come to the first.
fn becomes_dual(desired: &Value, existing: &Value) -> bool {
    let [desired, existing] = [desired, existing].map(|range| range.items_at(&["spec", "cidrs"]));
    desired.len() == 2 && existing.len() == 1 && desired[0] == existing[0]
}

fn is_protected(existing: &Value) -> bool {
    meta::annotation(existing, "rbac.authorization.kubernetes.io/autoupdate") == Some("false")
}

/// Whether a flow-control object still follows what the server suggests.
fn follows(existing: &Value) -> bool {
    meta::annotation(existing, "apf.kubernetes.io/autoupdate-spec") == Some("true")
}

fn plan_rbac(desired: &Value, existing: &Value, add: impl Fn(&mut Value, &Value)) -> Action {
    if is_protected(existing) {
        return Action::Nothing;
    }
    let mut result = existing.clone();
    for field in ["labels", "annotations"] {
        add_texts(&mut result, desired, field);
    }
    add(&mut result, desired);
    if result == *existing { Action::Nothing } else { Action::Update(result) }
}

fn add_texts(result: &mut Value, desired: &Value, field: &str) {
    let wanted = desired.at(&["metadata", field]).and_then(Value::as_object);
    for (name, value) in wanted.into_iter().flat_map(Object::iter) {
        if result.at(&["metadata", field, name]).is_none() {
            result.set_at(&["metadata", field, name], value.clone());
        }
    }
}

/// Adds rules that are missing; of a role that gathers its rules, selectors that are missing.
fn add_rules(result: &mut Value, desired: &Value) {
    if desired.get("aggregationRule").is_some() {
        add_items(result, desired, &["aggregationRule", "clusterRoleSelectors"]);
        return;
    }
    let missing = missing_rules(&Rule::of_role(result), &Rule::of_role(desired));
    if !missing.is_empty() {
        let kept = result.items_at(&["rules"]).iter().cloned();
        let rules: Vec<Value> = kept.chain(missing.iter().map(Rule::to_value)).collect();
        result.set_at(&["rules"], Value::Array(rules));
    }
}

fn add_subjects(result: &mut Value, desired: &Value) {
    add_items(result, desired, &["subjects"]);
}

fn add_items(result: &mut Value, desired: &Value, path: &[&str]) {
    let kept = result.items_at(path);
    let missing: Vec<Value> = desired.items_at(path).iter().filter(|item| !kept.contains(item)).cloned().collect();
    if !missing.is_empty() {
        let all: Vec<Value> = kept.iter().cloned().chain(missing).collect();
        result.set_at(path, Value::Array(all));
    }
}

fn write_fields(desired: &Value, existing: &Value, fields: &[&[&str]]) -> Action {
    let mut result = existing.clone();
    for field in fields {
        if let Some(value) = desired.at(field) {
            result.set_at(field, value.clone());
        }
    }
    if result == *existing { Action::Nothing } else { Action::Update(result) }
}

#[cfg(test)]
mod tests {
    use machinery::{json, value};

    use super::*;

    fn role(annotation: &str, rules: Value) -> Value {
        value!({"kind": "ClusterRole", "metadata": {
            "name": "r", "annotations": {"rbac.authorization.kubernetes.io/autoupdate": annotation}
        }, "rules": rules})
    }

    fn rule(verbs: Value) -> Value {
        value!([{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}])
    }

    fn show(action: Action) -> String {
        match action {
            Action::Create(object) => format!("create {}", json::to_string(&object)),
            Action::Update(object) => format!("update {}", json::to_string(&object)),
            Action::Replace(object) => format!("replace {}", json::to_string(&object)),
            Action::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn roles_get_back_what_they_lack() {
        let desired = || role("true", rule(value!(["get", "list"])));
        let less = role("true", rule(value!(["get", "delete"])));
        let shown = [
            plan(desired(), None),
            plan(desired(), Some(&desired())),
            plan(desired(), Some(&less)),
            plan(desired(), Some(&role("false", Value::Null))),
        ]
        .map(show)
        .join("\n");
        expect_test::expect![[r#"
            create {"kind":"ClusterRole","metadata":{"name":"r","annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"}},"rules":[{"verbs":["get","list"],"apiGroups":[""],"resources":["pods"]}]}
            nothing
            update {"kind":"ClusterRole","metadata":{"name":"r","annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"}},"rules":[{"verbs":["get","delete"],"apiGroups":[""],"resources":["pods"]},{"verbs":["list"],"apiGroups":[""],"resources":["pods"]}]}
            nothing"#]]
        .assert_eq(&shown);
    }

    #[test]
    fn bindings_and_the_rest() {
        let binding = |role: &str, subjects: Value| value!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"name": role}, "subjects": subjects});
        let desired = || binding("r", value!([{"kind": "User", "name": "a"}]));
        let service =
            |port: i64, ip: &str| value!({"kind": "Service", "spec": {"clusterIP": ip, "ports": [{"port": port}]}});
        let shown = [
            plan(desired(), Some(&binding("r", value!([{"kind": "User", "name": "b"}])))),
            plan(desired(), Some(&binding("other", Value::Null))),
            plan(service(443, "10.96.0.1"), Some(&service(444, "10.0.0.1"))),
            plan(value!({"kind": "Namespace"}), Some(&value!({"kind": "Namespace", "status": {}}))),
        ]
        .map(show)
        .join("\n");
        expect_test::expect![[r#"
            update {"kind":"ClusterRoleBinding","metadata":{"name":"b"},"roleRef":{"name":"r"},"subjects":[{"kind":"User","name":"b"},{"kind":"User","name":"a"}]}
            replace {"kind":"ClusterRoleBinding","metadata":{"name":"b"},"roleRef":{"name":"r"},"subjects":[{"kind":"User","name":"a"}]}
            update {"kind":"Service","spec":{"clusterIP":"10.0.0.1","ports":[{"port":443}]}}
            nothing"#]]
        .assert_eq(&shown);
    }
}
