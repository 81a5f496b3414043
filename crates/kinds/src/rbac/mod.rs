//! The group rbac.authorization.k8s.io, v1.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::kind::{BASE, Kind, NameRule, Writes};
use crate::table::{AGE, Column, Describe, NAME, text};

pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;
mod rule;

/// The name of the group, which role references and subjects carry.
const GROUP: &str = "rbac.authorization.k8s.io";

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&cluster_role_binding::KIND, &cluster_role::KIND, &role_binding::KIND, &role::KIND];

/// What the group's kinds share.
const RBAC: Kind = Kind {
    group: GROUP,
    writes: Writes { create_on_update: true, unconditional: true },
    name: NameRule::PathSegment,
    ..BASE
};

/// The columns of the two bindings. What they say of the role is worded as in an older version of the API, which has no
/// schema here.
const fn binding_columns(
    role: &'static str,
    users: &'static str,
    groups: &'static str,
    accounts: &'static str,
) -> [Column; 6] {
    [
        NAME,
        text("Role", Describe::Text(role)),
        AGE,
        text("Users", Describe::Text(users)).wide(),
        text("Groups", Describe::Text(groups)).wide(),
        text("ServiceAccounts", Describe::Text(accounts)).wide(),
    ]
}

fn binding_row(binding: &Value, now: jiff::Timestamp) -> Vec<Value> {
    let of = |kind: &str| {
        let subjects = binding.items_at(&["subjects"]).iter().filter(|s| s.str_at(&["kind"]) == Some(kind));
        let names = subjects.map(|subject| match (kind, subject.str_at(&["namespace"])) {
            ("ServiceAccount", Some(namespace)) => format!("{namespace}/{}", name(subject)),
            _ => name(subject).to_owned(),
        });
        Value::from(names.collect::<Vec<_>>().join(", "))
    };
    let reference = |field: &str| binding.str_at(&["roleRef", field]).unwrap_or_default();
    let role = format!("{}/{}", reference("kind"), reference("name"));
    let age = crate::table::age(binding, now);
    vec![meta::name(binding).into(), role.into(), age, of("User"), of("Group"), of("ServiceAccount")]
}

fn name(subject: &Value) -> &str {
    subject.str_at(&["name"]).unwrap_or_default()
}

/// What an absent group of a reference or subject means.
fn default_binding(binding: &mut Value) {
    let absent = |value: &Value| value.str_at(&["apiGroup"]).is_none_or(str::is_empty);
    let reference = binding.get("roleRef").is_none_or(absent);
    if reference {
        binding.set_at(&["roleRef", "apiGroup"], GROUP);
    }
    let subjects = binding.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten();
    for subject in subjects.filter(|subject| absent(subject)) {
        if matches!(subject.str_at(&["kind"]), Some("User" | "Group")) {
            subject.set_at(&["apiGroup"], GROUP);
        }
    }
}

/// What is wrong with a binding whose reference may be to one of `kinds`.
fn check_binding(binding: &Value, kinds: &[&str], namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("roleRef");
    let reference = |field: &str| binding.str_at(&["roleRef", field]).unwrap_or_default();
    if reference("apiGroup") != GROUP {
        errors.push(Error::not_supported(&path.child("apiGroup"), reference("apiGroup"), &[GROUP]));
    }
    if !kinds.contains(&reference("kind")) {
        errors.push(Error::not_supported(&path.child("kind"), reference("kind"), kinds));
    }
    if reference("name").is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else {
        errors.extend(segment(reference("name"), &path.child("name")));
    }
    let subjects = Path::new("subjects");
    for (i, subject) in binding.items_at(&["subjects"]).iter().enumerate() {
        errors.extend(check_subject(subject, namespaced, &subjects.index(i)));
    }
    errors
}

fn segment(name: &str, path: &Path) -> Errors {
    let messages = machinery::names::is_path_segment_name(name);
    messages.into_iter().map(|message| Error::invalid(path, name, message)).collect()
}

fn check_subject(subject: &Value, namespaced: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let text = |field: &str| subject.str_at(&[field]).unwrap_or_default();
    if text("name").is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    match text("kind") {
        "ServiceAccount" => {
            if !text("name").is_empty() {
                let messages = machinery::names::is_dns1123_subdomain(text("name"));
                errors.extend(messages.into_iter().map(|m| Error::invalid(&path.child("name"), text("name"), m)));
            }
            if !text("apiGroup").is_empty() {
                errors.push(Error::not_supported(&path.child("apiGroup"), text("apiGroup"), &[""]));
            }
            if !namespaced && text("namespace").is_empty() {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" if text("apiGroup") != GROUP => {
            errors.push(Error::not_supported(&path.child("apiGroup"), text("apiGroup"), &[GROUP]));
        }
        "User" | "Group" => {}
        other => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(Error::not_supported(&path.child("kind"), other, &kinds));
        }
    }
    errors
}

/// A binding's role stays what it was.
fn check_same_role(new: &Value, old: &Value) -> Option<Error> {
    let role = |binding: &Value| {
        let role = binding.get("roleRef").unwrap_or(&Value::Null);
        crate::go_shape::shown("io.k8s.api.rbac.v1.RoleRef", role)
    };
    (role(new) != role(old)).then(|| Error::invalid(&Path::new("roleRef"), role(new), "cannot change roleRef"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn bindings() {
        let mut binding = value!({"roleRef": {"kind": "Role", "name": "view"}, "subjects": [
            {"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "a"}, {"kind": "Robot"}]});
        default_binding(&mut binding);
        expect_test::expect![[r#"[roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole", subjects[1].namespace: Required value, subjects[2].name: Required value, subjects[2].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"]"#]]
        .assert_eq(&field::aggregate(&check_binding(&binding, &["ClusterRole"], false)));
    }

    #[test]
    fn a_row_lists_subjects_by_kind() {
        let binding = value!({"metadata": {"name": "a"}, "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [
            {"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]});
        let row = binding_row(&binding, jiff::Timestamp::UNIX_EPOCH);
        let shown: Vec<&str> = row.iter().filter_map(Value::as_str).collect();
        assert_eq!(shown, ["a", "ClusterRole/view", "<unknown>", "u, v", "", "n/s"]);
    }
}
