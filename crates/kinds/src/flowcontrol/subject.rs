//! Who a rule of a flow schema is about, and what they do.

use machinery::Value;
use machinery::field::{Error, Errors, Path};
use machinery::names;

use crate::validate::{one_of, text};

const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/// The kinds of subjects, each with its field.
const KINDS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];
const NAMESPACE_INTRODUCTION: &str = "each member of this list must be '*' or a DNS-1123 label; ";

/// What is wrong with a rule.
pub(super) fn check_rule(rule: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let subjects = rule.items_at(&["subjects"]);
    if subjects.is_empty() {
        errors.push(Error::required(&path.child("subjects"), "subjects must contain at least one value"));
    }
    for (i, subject) in subjects.iter().enumerate() {
        errors.extend(check_subject(subject, &path.child("subjects").index(i)));
    }
    let (resources, others) = (rule.items_at(&["resourceRules"]), rule.items_at(&["nonResourceRules"]));
    if resources.is_empty() && others.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(Error::required(path, detail));
    }
    for (i, rule) in resources.iter().enumerate() {
        errors.extend(check_resource_rule(rule, &path.child("resourceRules").index(i)));
    }
    for (i, rule) in others.iter().enumerate() {
        errors.extend(check_other_rule(rule, &path.child("nonResourceRules").index(i)));
    }
    errors
}

fn check_subject(subject: &Value, path: &Path) -> Errors {
    let kind = subject.str_at(&["kind"]).unwrap_or_default();
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return one_of(kind, &KINDS.map(|(known, _)| known), &path.child("kind")).into_iter().collect();
    };
    let field = path.child(own);
    let mut errors = match subject.get(own).filter(|value| !value.is_null()) {
        None => vec![Error::required(&field, format!("{own} is required when subject kind is '{kind}'"))],
        Some(value) => check_named(value, kind, &field),
    };
    for other in ["serviceAccount", "user", "group"].into_iter().filter(|other| other != own) {
        if subject.get(other).is_some_and(|value| !value.is_null()) {
            let kind = KINDS.iter().find(|(_, field)| *field == other).map_or("", |(kind, _)| kind);
            let detail = format!("{other} is forbidden when subject kind is not '{kind}'");
            errors.push(Error::forbidden(&path.child(other), detail));
        }
    }
    errors
}

fn check_named(value: &Value, kind: &str, path: &Path) -> Errors {
    let part = |field: &str| value.str_at(&[field]).unwrap_or_default();
    let mut errors = Errors::new();
    let is_account = kind == "ServiceAccount";
    match part("name") {
        "" => errors.push(Error::required(&path.child("name"), "")),
        name if is_account && name != "*" => {
            errors.extend(text(names::is_dns1123_subdomain, name, &path.child("name")));
        }
        _ => {}
    }
    match part("namespace") {
        _ if !is_account => {}
        "" => errors.push(Error::required(&path.child("namespace"), "must specify namespace for service account")),
        namespace => errors.extend(text(names::is_dns1123_label, namespace, &path.child("namespace"))),
    }
    errors
}

fn check_resource_rule(rule: &Value, path: &Path) -> Errors {
    let mut errors: Errors = check_verbs(rule, path).into_iter().collect();
    for (field, one, other) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let (all, path) = (rule.items_at(&[field]), path.child(field));
        if all.is_empty() {
            errors.push(Error::required(&path, format!("resource rules must supply at least one {one}")));
        } else if all.len() > 1 && has_wildcard(all) {
            let detail = format!("if '*' is present, must not specify other {other}");
            errors.push(Error::invalid(&path, all.to_vec(), detail));
        }
    }
    errors.extend(check_namespaces(rule, &path.child("namespaces")));
    errors
}

fn check_namespaces(rule: &Value, path: &Path) -> Errors {
    let all = rule.items_at(&["namespaces"]);
    if all.is_empty() && rule.bool_at(&["clusterScope"]) != Some(true) {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        return vec![Error::required(path, detail)];
    }
    if has_wildcard(all) {
        let detail = "if '*' is present, must not specify other namespaces";
        return (all.len() > 1).then(|| Error::invalid(path, all.to_vec(), detail)).into_iter().collect();
    }
    let mut errors = Errors::new();
    for (i, name) in all.iter().filter_map(Value::as_str).enumerate() {
        for problem in names::is_dns1123_label(name) {
            errors.push(Error::invalid(&path.index(i), name, format!("{NAMESPACE_INTRODUCTION}{problem}")));
        }
    }
    errors
}

fn check_other_rule(rule: &Value, path: &Path) -> Errors {
    let mut errors: Errors = check_verbs(rule, path).into_iter().collect();
    let (all, path) = (rule.items_at(&["nonResourceURLs"]), path.child("nonResourceURLs"));
    if all.is_empty() {
        errors.push(Error::required(&path, "nonResourceURLs must contain at least one value"));
    } else if has_wildcard(all) {
        let detail = "if '*' is present, must not specify other non-resource URLs";
        errors.extend((all.len() > 1).then(|| Error::invalid(&path, all.to_vec(), detail)));
    } else {
        let urls = all.iter().filter_map(Value::as_str).enumerate();
        errors.extend(urls.filter_map(|(i, url)| check_url(url, &path.index(i))));
    }
    errors
}

fn check_url(url: &str, path: &Path) -> Option<Error> {
    let stars = url.matches('*').count();
    let detail = match url {
        "" => "must not be empty",
        "/" => return None,
        _ if !url.starts_with('/') => "must start with slash",
        _ if url.contains(' ') => "must not contain white-space",
        _ if url.contains("//") => "must not contain double slash",
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return None,
    };
    Some(Error::invalid(path, url, detail))
}

fn check_verbs(rule: &Value, path: &Path) -> Option<Error> {
    let (all, path) = (rule.items_at(&["verbs"]), path.child("verbs"));
    if all.is_empty() {
        return Some(Error::required(&path, "verbs must contain at least one value"));
    }
    if has_wildcard(all) {
        let detail = "if '*' is present, must not specify other verbs";
        return (all.len() > 1).then(|| Error::invalid(&path, all.to_vec(), detail));
    }
    let known = all.iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb)));
    (!known).then(|| Error::not_supported(&path, all.to_vec(), &VERBS))
}

fn has_wildcard(all: &[Value]) -> bool {
    all.iter().any(|item| item.as_str() == Some("*"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn rules() {
        let table = [
            value!({"subjects": [{"kind": "Odd"}, {"kind": "User", "group": {"name": "g"}},
                {"kind": "ServiceAccount", "serviceAccount": {"name": "*"}}]}),
            value!({"subjects": [{"kind": "Group", "group": {"name": ""}}], "resourceRules": [
                {"verbs": ["get", "odd"], "apiGroups": ["*", "a"], "resources": [], "namespaces": ["A"]}],
                "nonResourceRules": [{"verbs": ["*", "get"], "nonResourceURLs": ["x", "/a b", "/a//b", "/*/a", "/ok/*"]}]}),
        ];
        let shown = table.map(|rule| field::aggregate(&check_rule(&rule, &Path::new("r")))).join("\n");
        expect_test::expect![[r#"
            [r.subjects[0].kind: Unsupported value: "Odd": supported values: "Group", "ServiceAccount", "User", r.subjects[1].user: Required value: user is required when subject kind is 'User', r.subjects[1].group: Forbidden: group is forbidden when subject kind is not 'Group', r.subjects[2].serviceAccount.namespace: Required value: must specify namespace for service account, r: Required value: at least one of resourceRules and nonResourceRules has to be non-empty]
            [r.subjects[0].group.name: Required value, r.resourceRules[0].verbs: Unsupported value: ["get","odd"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch", r.resourceRules[0].apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other api groups, r.resourceRules[0].resources: Required value: resource rules must supply at least one resource, r.resourceRules[0].namespaces[0]: Invalid value: "A": each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?'), r.nonResourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs, r.nonResourceRules[0].nonResourceURLs[0]: Invalid value: "x": must start with slash, r.nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a b": must not contain white-space, r.nonResourceRules[0].nonResourceURLs[2]: Invalid value: "/a//b": must not contain double slash, r.nonResourceRules[0].nonResourceURLs[3]: Invalid value: "/*/a": wildcard can only do suffix matching]"#]]
        .assert_eq(&shown);
    }
}
