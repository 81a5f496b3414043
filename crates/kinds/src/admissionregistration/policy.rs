//! What policies and their bindings share: what they match, their parameters and variables (KEP-3488).

use std::sync::LazyLock;

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};
use regex::Regex;

use super::{MATCH_POLICIES, rule};
use crate::pod_spec::default::{each, set_absent};
use crate::validate::selector::label_selector;
use crate::validate::{one_of, text};

/// Words that CEL keeps for itself.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Fills in what nobody set in the resources at `path`, if they are there.
pub(super) fn default_match(object: &mut Value, path: &[&str]) {
    let Some(resources) = object.at_mut(path).filter(|value| !value.is_null()) else { return };
    for field in ["resourceRules", "excludeResourceRules"] {
        each(resources, &[field], rule::default);
    }
    set_absent(resources, &[], "matchPolicy", || "Equivalent".into());
    set_absent(resources, &[], "namespaceSelector", Value::object);
    set_absent(resources, &[], "objectSelector", Value::object);
}

/// What is wrong with the resources that somebody matches.
pub(super) fn check_match(resources: Option<&Value>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(resources) = resources.filter(|value| !value.is_null()) else { return errors };
    match resources.str_at(&["matchPolicy"]) {
        None => errors.push(Error::required(&path.child("matchPolicy"), "")),
        Some(policy) => errors.extend(one_of(policy, &MATCH_POLICIES, &path.child("matchPolicy"))),
    }
    for field in ["namespaceSelector", "objectSelector"] {
        match resources.get(field).filter(|value| !value.is_null()) {
            None => errors.push(Error::required(&path.child(field), "")),
            selector => errors.extend(label_selector(selector, &path.child(field))),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (i, rule) in resources.items_at(&[field]).iter().enumerate() {
            errors.extend(named_rule(rule, &path.child(field).index(i)));
        }
    }
    errors
}

fn named_rule(rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let all = rule.items_at(&["resourceNames"]);
    for (i, name) in all.iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("resourceNames").index(i);
        errors.extend(text(names::is_path_segment_name, name, &path));
        if all[..i].iter().any(|other| other.as_str() == Some(name)) {
            errors.push(Error::duplicate(&path, name));
        }
    }
    errors.extend(rule::check(rule, path));
    errors
}

/// What is wrong with the constraints of a policy, which must be there.
pub(super) fn check_constraints(spec: &Value, path: &Path) -> Errors {
    let Some(constraints) = spec.get("matchConstraints").filter(|value| !value.is_null()) else {
        return vec![Error::required(path, "")];
    };
    let mut errors = check_match(Some(constraints), path);
    if constraints.items_at(&["resourceRules"]).is_empty() {
        errors.push(Error::required(&path.child("resourceRules"), ""));
    }
    errors
}

/// What is wrong with the kind of a policy's parameters.
pub(super) fn check_param_kind(kind: Option<&Value>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(kind) = kind.filter(|value| !value.is_null()) else { return errors };
    let version = path.child("apiVersion");
    match kind.str_at(&["apiVersion"]).unwrap_or_default() {
        "" => errors.push(Error::required(&version, "")),
        text => errors.extend(api_version(text, &version)),
    }
    let field = path.child("kind");
    match kind.str_at(&["kind"]).unwrap_or_default() {
        "" => errors.push(Error::required(&field, "")),
        name => {
            let problems = names::is_dns1035_label(&name.to_lowercase());
            if !problems.is_empty() {
                let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
                errors.push(Error::invalid(&field, name, detail));
            }
        }
    }
    errors
}

fn api_version(text: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (group, version) = match text.split('/').collect::<Vec<_>>().as_slice() {
        [version] => ("", *version),
        [group, version] => (*group, *version),
        _ => return vec![Error::invalid(path, text, format!("unexpected GroupVersion string: {text}"))],
    };
    let problems = if group.is_empty() { Vec::new() } else { names::is_dns1123_subdomain(group) };
    if !problems.is_empty() {
        errors.push(Error::invalid(path, group, problems.join(",")));
    }
    let problems = names::is_dns1035_label(version);
    if version.is_empty() {
        errors.push(Error::invalid(path, text, "version must be specified"));
    } else if !problems.is_empty() {
        errors.push(Error::invalid(path, version, problems.join(",")));
    }
    errors
}

/// What is wrong with a binding's reference to parameters.
pub(super) fn check_param_ref(reference: Option<&Value>, path: &Path) -> Errors {
    const EXCLUSIVE: &str = "name and selector are mutually exclusive";
    let mut errors = Errors::new();
    let Some(reference) = reference.filter(|value| !value.is_null()) else { return errors };
    let name = reference.str_at(&["name"]).unwrap_or_default();
    let selector = reference.get("selector").filter(|value| !value.is_null());
    if !name.is_empty() {
        errors.extend(text(names::is_path_segment_name, name, &path.child("name")));
        if selector.is_some() {
            errors.push(Error::forbidden(&path.child("name"), EXCLUSIVE));
        }
    }
    if selector.is_some() {
        errors.extend(label_selector(selector, &path.child("selector")));
        if !name.is_empty() {
            errors.push(Error::forbidden(&path.child("selector"), EXCLUSIVE));
        }
    }
    if name.is_empty() && selector.is_none() {
        errors.push(Error::required(path, "one of name or selector must be specified"));
    }
    let action = path.child("parameterNotFoundAction");
    match reference.str_at(&["parameterNotFoundAction"]).unwrap_or_default() {
        "" => errors.push(Error::required(&action, "")),
        value => errors.extend(one_of(value, &["Deny", "Allow"], &action)),
    }
    errors
}

/// What is wrong with the variables of a policy.
pub(super) fn check_variables(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, variable) in all.iter().enumerate() {
        let path = path.index(i);
        let part = |field: &str| variable.str_at(&[field]).unwrap_or_default();
        if part("name").trim().is_empty() {
            errors.push(Error::required(&path.child("name"), "name is not specified"));
        } else if !is_identifier(part("name")) {
            errors.push(Error::invalid(&path.child("name"), part("name"), "must be a valid CEL identifier"));
        }
        if part("expression").trim().is_empty() {
            errors.push(Error::required(&path.child("expression"), "expression is not specified"));
        }
    }
    errors
}

/// What is wrong with what a binding shares with others.
pub(super) fn check_binding(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let field = path.child("policyName");
    match spec.str_at(&["policyName"]).unwrap_or_default() {
        "" => errors.push(Error::required(&field, "")),
        name => errors.extend(text(names::is_dns1123_subdomain, name, &field)),
    }
    errors.extend(check_param_ref(spec.get("paramRef"), &path.child("paramRef")));
    errors.extend(check_match(spec.get("matchResources"), &path.child("matchResources")));
    errors
}

/// The kind of a policy's parameters as its row shows it.
pub(super) fn shown_param_kind(policy: &Value) -> String {
    let part = |field: &str| policy.str_at(&["spec", "paramKind", field]).unwrap_or_default();
    match policy.at(&["spec", "paramKind"]).filter(|value| !value.is_null()) {
        None => "<unset>".to_owned(),
        Some(_) => format!("{}/{}", part("apiVersion"), part("kind")),
    }
}

/// A binding's parameters as its row shows them.
pub(super) fn shown_param_ref(binding: &Value) -> String {
    let part = |field: &str| binding.str_at(&["spec", "paramRef", field]).unwrap_or_default();
    match binding.at(&["spec", "paramRef"]).filter(|value| !value.is_null()) {
        None => "<unset>".to_owned(),
        Some(_) if !part("name").is_empty() && part("namespace").is_empty() => format!("*/{}", part("name")),
        Some(_) if !part("name").is_empty() => format!("{}/{}", part("namespace"), part("name")),
        Some(reference) => machinery::labels::format_label_selector(reference.get("selector")),
    }
}

fn is_identifier(name: &str) -> bool {
    static FORM: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("^[_a-zA-Z][_a-zA-Z0-9]*$").expect("the pattern is fixed and right"));
    FORM.is_match(name) && !RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn parameters() {
        let kinds =
            [value!({}), value!({"apiVersion": "a/b/c", "kind": "X_"}), value!({"apiVersion": "a/", "kind": "X"})];
        let shown = kinds.map(|kind| field::aggregate(&check_param_kind(Some(&kind), &Path::new("k")))).join("\n");
        expect_test::expect![[r#"
            [k.apiVersion: Required value, k.kind: Required value]
            [k.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c, k.kind: Invalid value: "X_": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')]
            k.apiVersion: Invalid value: "a/": version must be specified"#]]
        .assert_eq(&shown);
        let references = [value!({}), value!({"name": "a", "selector": {}, "parameterNotFoundAction": "Odd"})];
        let shown = references.map(|one| field::aggregate(&check_param_ref(Some(&one), &Path::new("r")))).join("\n");
        expect_test::expect![[r#"
            [r: Required value: one of name or selector must be specified, r.parameterNotFoundAction: Required value]
            [r.name: Forbidden: name and selector are mutually exclusive, r.selector: Forbidden: name and selector are mutually exclusive, r.parameterNotFoundAction: Unsupported value: "Odd": supported values: "Deny", "Allow"]"#]]
        .assert_eq(&shown);
    }
}
