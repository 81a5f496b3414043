//! Reads `rbac.txt`: the roles and bindings of a fresh cluster in a form that people can read and compare.
//!
//! A line `KIND NAME` or `KIND NAMESPACE/NAME` begins an object; indented lines below say what it holds:
//! `VERBS on RESOURCES in GROUPS [named NAMES]` and `VERBS at PATHS` are rules, `labelled` and `gathers` speak of
//! aggregation, `grants KIND/NAME` and `to KIND/[NAMESPACE/]NAME` are a binding's role and subjects. The core group is
//! written `core`.

use machinery::{Object, Text, Value, value};

use crate::authorization::Rule;

const TEXT: &str = include_str!("rbac.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
/// What begins the labels of aggregation.
const AGGREGATE: &str = "rbac.authorization.k8s.io/";

/// Every role and binding, in the order of the text.
pub fn objects() -> Vec<Value> {
    blocks(TEXT).map(|(kind, name, lines)| object(kind, name, &lines)).collect()
}

/// The rules of the cluster role `name`; none when the text has no such role.
pub fn rules_of(name: &str) -> Vec<Rule> {
    let role = blocks(TEXT).find(|(kind, role, _)| *kind == "ClusterRole" && *role == name);
    role.map(|(_, _, lines)| lines.iter().filter_map(|line| rule(line)).collect()).unwrap_or_default()
}

/// Kind, name and the lines that follow, of each object.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
    text.split("\n\n").filter_map(|block| {
        let mut lines = block.lines().filter(|line| !line.starts_with('#'));
        let (kind, name) = lines.next()?.split_once(' ')?;
        Some((kind, name, lines.map(str::trim).collect()))
    })
}

fn object(kind: &str, name: &str, lines: &[&str]) -> Value {
    let (namespace, name) = name.split_once('/').map_or((None, name), |(namespace, name)| (Some(namespace), name));
    let mut object = value!({
        "kind": kind,
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}
        }
    });
    if let Some(namespace) = namespace {
        object.set_at(&["metadata", "namespace"], namespace);
    }
    if kind.ends_with("Binding") {
        bind(&mut object, lines)
    } else {
        fill_role(&mut object, lines)
    }
    object
}

fn fill_role(role: &mut Value, lines: &[&str]) {
    let mut selectors = Vec::new();
    for line in lines {
        if let Some(to) = line.strip_prefix("labelled ") {
            role.set_at(&["metadata", "labels", &format!("{AGGREGATE}{to}")], "true");
        } else if let Some(from) = line.strip_prefix("gathers ") {
            let labels: Object = [(format!("{AGGREGATE}{from}"), Value::from("true"))].into_iter().collect();
            selectors.push(value!({"matchLabels": labels}));
        }
    }
    if !selectors.is_empty() {
        role.set_at(&["aggregationRule", "clusterRoleSelectors"], Value::Array(selectors));
    }
    let rules: Vec<Value> = lines.iter().filter_map(|line| rule(line)).map(|rule| rule.to_value()).collect();
    role.set_at(&["rules"], if rules.is_empty() { Value::Null } else { Value::Array(rules) });
}

fn rule(line: &str) -> Option<Rule> {
    let mut rule = Rule::default();
    if let Some((verbs, paths)) = line.split_once(" at ") {
        (rule.verbs, rule.paths) = (words(verbs), words(paths));
        return Some(rule);
    }
    let (verbs, rest) = line.split_once(" on ")?;
    let (resources, rest) = rest.split_once(" in ")?;
    let (groups, names) = rest.split_once(" named ").unwrap_or((rest, ""));
    (rule.verbs, rule.resources, rule.names) = (words(verbs), words(resources), words(names));
    rule.groups =
        words(groups).into_iter().map(|group| if group == "core" { Text::default() } else { group }).collect();
    Some(rule)
}

fn words(text: &str) -> Vec<Text> {
    text.split_whitespace().map(Text::from).collect()
}

fn bind(binding: &mut Value, lines: &[&str]) {
    let mut subjects = Vec::new();
    for line in lines {
        if let Some((kind, name)) = line.strip_prefix("grants ").and_then(|role| role.split_once('/')) {
            binding.set_at(&["roleRef"], value!({"apiGroup": GROUP, "kind": kind, "name": name}));
        } else if let Some((kind, name)) = line.strip_prefix("to ").and_then(|subject| subject.split_once('/')) {
            subjects.push(subject(kind, name));
        }
    }
    if !subjects.is_empty() {
        binding.set_at(&["subjects"], Value::Array(subjects));
    }
}

fn subject(kind: &str, name: &str) -> Value {
    match name.split_once('/').filter(|_| kind == "ServiceAccount") {
        Some((namespace, name)) => value!({"kind": kind, "name": name, "namespace": namespace}),
        None => value!({"kind": kind, "apiGroup": GROUP, "name": name}),
    }
}

#[cfg(test)]
mod tests {
    use machinery::{json, meta};

    use super::*;

    fn shown(kind: &str, name: &str) -> String {
        let objects = objects();
        let found = objects.iter().find(|o| meta::kind(o) == kind && meta::name(o) == name).expect("it is in the text");
        json::to_string(found)
    }

    #[test]
    fn the_text_reads_as_objects() {
        let counted = |kind: &str| objects().iter().filter(|object| meta::kind(object) == kind).count();
        let counts = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"].map(counted);
        assert_eq!(counts, [69, 50, 7, 7]);
        let shown = [
            shown("ClusterRole", "edit"),
            shown("ClusterRole", "system:public-info-viewer"),
            shown("ClusterRoleBinding", "system:basic-user"),
            shown("RoleBinding", "system:controller:token-cleaner"),
            shown("Role", "extension-apiserver-authentication-reader"),
        ];
        expect_test::expect![[r#"
            {"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"edit","labels":{"kubernetes.io/bootstrapping":"rbac-defaults","rbac.authorization.k8s.io/aggregate-to-admin":"true"},"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"}},"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"rbac.authorization.k8s.io/aggregate-to-edit":"true"}}]},"rules":null}
            {"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"system:public-info-viewer","labels":{"kubernetes.io/bootstrapping":"rbac-defaults"},"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"}},"rules":[{"verbs":["get"],"nonResourceURLs":["/healthz","/livez","/readyz","/version","/version/"]}]}
            {"kind":"ClusterRoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"system:basic-user","labels":{"kubernetes.io/bootstrapping":"rbac-defaults"},"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"}},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"system:basic-user"},"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"system:authenticated"}]}
            {"kind":"RoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"system:controller:token-cleaner","labels":{"kubernetes.io/bootstrapping":"rbac-defaults"},"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"},"namespace":"kube-system"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"system:controller:token-cleaner"},"subjects":[{"kind":"ServiceAccount","name":"token-cleaner","namespace":"kube-system"}]}
            {"kind":"Role","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"extension-apiserver-authentication-reader","labels":{"kubernetes.io/bootstrapping":"rbac-defaults"},"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"true"},"namespace":"kube-system"},"rules":[{"verbs":["get","list","watch"],"apiGroups":[""],"resources":["configmaps"],"resourceNames":["extension-apiserver-authentication"]}]}"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn kubelets_have_their_rules() {
        assert!(rules_of("system:node").len() > 10);
        assert!(rules_of("system:nope").is_empty());
    }
}
