//! Webhooks: servers that are asked about writes; what the two configurations share.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use super::{FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES, match_condition, rule};
use crate::pod_spec::default::{each, set_absent};
use crate::validate::selector::label_selector;
use crate::validate::{one_of_if_set, webhook};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const DEFAULT_TIMEOUT_SECONDS: i64 = 10;
const MAX_TIMEOUT_SECONDS: i64 = 30;
const DEFAULT_PORT: i64 = 443;

/// Fills in what nobody set in the webhooks of a configuration.
pub(super) fn default(configuration: &mut Value) {
    each(configuration, &["webhooks"], |hook| {
        set_absent(hook, &["clientConfig", "service"], "port", || DEFAULT_PORT.into());
        each(hook, &["rules"], rule::default);
        set_absent(hook, &[], "failurePolicy", || "Fail".into());
        set_absent(hook, &[], "matchPolicy", || "Equivalent".into());
        set_absent(hook, &[], "namespaceSelector", Value::object);
        set_absent(hook, &[], "objectSelector", Value::object);
        set_absent(hook, &[], "timeoutSeconds", || DEFAULT_TIMEOUT_SECONDS.into());
    });
}

/// What is wrong with a new configuration.
pub(super) fn check(configuration: &Value) -> Errors {
    all(hooks(configuration), Strictness::FULL)
}

/// What is wrong with a changed configuration: what the old one got wrong already stays allowed.
pub(super) fn check_update(new: &Value, old: &Value) -> Errors {
    let (new, old) = (hooks(new), hooks(old));
    let conditions = |hooks: &[Value]| hooks.iter().map(|h| h.get("matchConditions").cloned()).collect::<Vec<_>>();
    let strictness = Strictness {
        conditions: conditions(new) != conditions(old),
        no_side_effects: old.iter().all(|hook| is_one_of(hook, "sideEffects", &NO_SIDE_EFFECTS)),
        known_version: old.iter().all(|h| h.items_at(&["admissionReviewVersions"]).is_empty() || knows_version(h)),
        unique_names: old.iter().enumerate().all(|(i, hook)| !named_before(old, i, name(hook))),
    };
    all(new, strictness)
}

/// Which checks apply.
#[derive(Clone, Copy)]
struct Strictness {
    conditions: bool,
    no_side_effects: bool,
    known_version: bool,
    unique_names: bool,
}

impl Strictness {
    const FULL: Self = Self { conditions: true, no_side_effects: true, known_version: true, unique_names: true };
}

fn hooks(configuration: &Value) -> &[Value] {
    configuration.items_at(&["webhooks"])
}

fn name(hook: &Value) -> &str {
    hook.str_at(&["name"]).unwrap_or_default()
}

fn named_before(hooks: &[Value], i: usize, wanted: &str) -> bool {
    hooks[..i].iter().any(|other| name(other) == wanted)
}

fn is_one_of(hook: &Value, field: &str, allowed: &[&str]) -> bool {
    hook.str_at(&[field]).is_some_and(|value| allowed.contains(&value))
}

fn knows_version(hook: &Value) -> bool {
    let mut versions = hook.items_at(&["admissionReviewVersions"]).iter().filter_map(Value::as_str);
    versions.any(|version| REVIEW_VERSIONS.contains(&version))
}

fn all(hooks: &[Value], strictness: Strictness) -> Errors {
    let mut errors = Errors::new();
    for (i, hook) in hooks.iter().enumerate() {
        let path = Path::new("webhooks").index(i);
        errors.extend(one(hook, strictness, &path));
        errors.extend(review_versions(hook, strictness, &path.child("admissionReviewVersions")));
        if strictness.unique_names && !name(hook).is_empty() && named_before(hooks, i, name(hook)) {
            errors.push(Error::duplicate(&path.child("name"), name(hook)));
        }
    }
    errors
}

fn one(hook: &Value, strictness: Strictness, path: &Path) -> Errors {
    let mut errors: Errors = full_name(name(hook), &path.child("name")).into_iter().collect();
    for (i, rule) in hook.items_at(&["rules"]).iter().enumerate() {
        errors.extend(rule::check(rule, &path.child("rules").index(i)));
    }
    errors.extend(one_of_if_set(hook.get("failurePolicy"), &FAILURE_POLICIES, &path.child("failurePolicy")));
    errors.extend(one_of_if_set(hook.get("matchPolicy"), &MATCH_POLICIES, &path.child("matchPolicy")));
    errors.extend(side_effects(hook, strictness, &path.child("sideEffects")));
    let timeout = hook.int_at(&["timeoutSeconds"]);
    if let Some(seconds) = timeout.filter(|seconds| !(1..=MAX_TIMEOUT_SECONDS).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(Error::invalid(&path.child("timeoutSeconds"), seconds, detail));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        errors.extend(label_selector(hook.get(field), &path.child(field)));
    }
    let reinvocation = hook.get("reinvocationPolicy");
    errors.extend(one_of_if_set(reinvocation, &REINVOCATION_POLICIES, &path.child("reinvocationPolicy")));
    let client = hook.get("clientConfig").unwrap_or(&Value::Null);
    errors.extend(webhook::client_config(client, &path.child("clientConfig")));
    if strictness.conditions {
        let conditions = hook.items_at(&["matchConditions"]);
        errors.extend(match_condition::check(conditions, &path.child("matchConditions")));
    }
    errors
}

fn side_effects(hook: &Value, strictness: Strictness, path: &Path) -> Option<Error> {
    let allowed: &[&str] = if strictness.no_side_effects { &NO_SIDE_EFFECTS } else { &SIDE_EFFECTS };
    match hook.str_at(&["sideEffects"]) {
        None => Some(Error::required(path, format!("must specify one of {}", allowed.join(", ")))),
        Some(class) => crate::validate::one_of(class, allowed, path),
    }
}

fn review_versions(hook: &Value, strictness: Strictness, path: &Path) -> Errors {
    let versions = hook.items_at(&["admissionReviewVersions"]);
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        return vec![Error::required(path, format!("must specify one of {known}"))];
    }
    let mut errors = Errors::new();
    for (i, version) in versions.iter().map(|version| version.as_str().unwrap_or_default()).enumerate() {
        if versions[..i].iter().any(|other| other.as_str() == Some(version)) {
            errors.push(Error::invalid(&path.index(i), version, "duplicate version"));
            continue;
        }
        errors.extend(crate::validate::text(names::is_dns1035_label, version, &path.index(i)));
    }
    if strictness.known_version && !knows_version(hook) {
        let detail = format!("must include at least one of {known}");
        errors.push(Error::invalid(path, versions.to_vec(), detail));
    }
    errors
}

fn full_name(name: &str, path: &Path) -> Option<Error> {
    if name.is_empty() {
        return Some(Error::required(path, ""));
    }
    let problems = names::is_dns1123_subdomain(name);
    if !problems.is_empty() {
        return Some(Error::invalid(path, name, problems.join(",")));
    }
    let detail = "should be a domain with at least three segments separated by dots";
    (name.split('.').count() < 3).then(|| Error::invalid(path, name, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    fn hook(more: &Value) -> Value {
        let mut hook = value!({"name": "w.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"namespace": "n", "name": "s"}}});
        for (name, value) in more.as_object().unwrap().iter() {
            hook.set_at(&[name], value.clone());
        }
        hook
    }

    fn configuration(hooks: Vec<Value>) -> Value {
        let mut configuration = value!({"webhooks": hooks});
        default(&mut configuration);
        configuration
    }

    #[test]
    fn defaults_and_checks() {
        assert_eq!(check(&configuration(vec![hook(&value!({}))])), []);
        let table = [
            value!({"name": "short"}),
            value!({"admissionReviewVersions": ["v7", "v7", "V"]}),
            value!({"sideEffects": "Some", "timeoutSeconds": 31, "failurePolicy": "Odd"}),
            value!({"clientConfig": {}}),
        ];
        let shown = table.map(|more| field::aggregate(&check(&configuration(vec![hook(&more)])))).join("\n");
        expect_test::expect![[r#"
            webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots
            [webhooks[0].admissionReviewVersions[1]: Invalid value: "v7": duplicate version, webhooks[0].admissionReviewVersions[2]: Invalid value: "V": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?'), webhooks[0].admissionReviewVersions: Invalid value: ["v7","v7","V"]: must include at least one of v1, v1beta1]
            [webhooks[0].failurePolicy: Unsupported value: "Odd": supported values: "Fail", "Ignore", webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun", webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds]
            webhooks[0].clientConfig: Required value: exactly one of url or service is required"#]]
        .assert_eq(&shown);
    }

    #[test]
    fn old_sins_stay_allowed() {
        let old = configuration(vec![hook(&value!({"sideEffects": "Some"})), hook(&value!({}))]);
        let new = configuration(vec![hook(&value!({"sideEffects": "Unknown"})), hook(&value!({}))]);
        assert_eq!(check_update(&new, &old), []);
    }
}
