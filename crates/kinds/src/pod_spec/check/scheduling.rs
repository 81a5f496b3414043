//! Where a pod may run: affinity, tolerations, spreading, gates.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names, value};

use super::filled;
use crate::validate::metadata::label_name;
use crate::validate::{one_of, selector, text};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// What is wrong with affinities.
pub(super) fn affinity(affinity: Option<&Value>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(affinity) = affinity else { return errors };
    if let Some(node) = affinity.get("nodeAffinity") {
        errors.extend(node_affinity(node, &path.child("nodeAffinity")));
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.get(field) else { continue };
        let path = path.child(field);
        for (i, term) in pods.items_at(&[REQUIRED]).iter().enumerate() {
            errors.extend(pod_term(term, &path.child(REQUIRED).index(i)));
        }
        for (i, weighted) in pods.items_at(&[PREFERRED]).iter().enumerate() {
            let path = path.child(PREFERRED).index(i);
            errors.extend(weight(weighted, &path));
            let term = weighted.get("podAffinityTerm").unwrap_or(&Value::Null);
            errors.extend(pod_term(term, &path.child("podAffinityTerm")));
        }
    }
    errors
}

/// What is wrong with a list of tolerations.
#[must_use]
pub fn toleration_list(all: &[Value], path: &Path) -> Errors {
    all.iter().enumerate().flat_map(|(i, toleration)| self::toleration(toleration, &path.index(i))).collect()
}

/// What is wrong with scheduling gates, and with a node chosen before they are gone.
pub(super) fn gates(spec: &Value, path: &Path) -> Errors {
    let all = spec.items_at(&["schedulingGates"]);
    let field = path.child("schedulingGates");
    let mut errors = Errors::new();
    for (i, gate) in all.iter().enumerate() {
        let name = gate.str_at(&["name"]).unwrap_or_default();
        errors.extend(text(names::is_qualified_name, name, &field.index(i)));
        if all[..i].iter().any(|other| other.str_at(&["name"]) == Some(name)) {
            errors.push(Error::duplicate(&field.index(i), name));
        }
    }
    errors
}

/// What is wrong with a list of topology spread constraints.
#[must_use]
pub fn topology(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, constraint) in all.iter().enumerate() {
        let path = path.index(i);
        let skew = constraint.int_at(&["maxSkew"]).unwrap_or_default();
        if skew <= 0 {
            errors.push(Error::invalid(&path.child("maxSkew"), skew, "must be greater than zero"));
        }
        if filled(constraint, "topologyKey").is_none() {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        let action = constraint.str_at(&["whenUnsatisfiable"]).unwrap_or_default();
        errors.extend(one_of(action, &["DoNotSchedule", "ScheduleAnyway"], &path.child("whenUnsatisfiable")));
        let key = |c: &Value| ["topologyKey", "whenUnsatisfiable"].map(|f| c.str_at(&[f]).map(ToOwned::to_owned));
        if all[i + 1..].iter().any(|other| key(other) == key(constraint)) {
            let shown = format!("{{{}, {action}}}", constraint.str_at(&["topologyKey"]).unwrap_or_default());
            errors.push(Error::duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), shown));
        }
        if let Some(domains) = constraint.int_at(&["minDomains"]) {
            if domains <= 0 {
                errors.push(Error::invalid(&path.child("minDomains"), domains, "must be greater than zero"));
            }
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action);
                errors.push(Error::invalid(&path.child("minDomains"), domains, detail));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.str_at(&[field]);
            errors.extend(policy.and_then(|p| one_of(p, &["Honor", "Ignore"], &path.child(field))));
        }
        errors.extend(own_label_keys(constraint, &path));
        errors.extend(selector::label_selector(constraint.get("labelSelector"), &path.child("labelSelector")));
    }
    errors
}

/// Keys whose values are the pod's own (KEP-3633).
fn own_label_keys(term: &Value, path: &Path) -> Errors {
    let keys = |field: &str| -> Vec<&str> { term.items_at(&[field]).iter().filter_map(Value::as_str).collect() };
    let mut errors = Errors::new();
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let field_path = path.child(field);
        if !keys(field).is_empty() && term.get("labelSelector").is_none_or(Value::is_null) {
            errors.push(Error::forbidden(&field_path, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (i, key) in keys(field).into_iter().enumerate() {
            errors.extend(label_name(key, &field_path.index(i)));
        }
    }
    // By now the key stands in the selector, for the pod's own value: it may stand there only once.
    let labels = term.at(&["labelSelector", "matchLabels"]).and_then(Value::as_object);
    let mut selected: Vec<&str> =
        labels.into_iter().flat_map(machinery::Object::keys).map(machinery::Text::as_str).collect();
    for expression in term.items_at(&["labelSelector", "matchExpressions"]) {
        let key = expression.str_at(&["key"]).unwrap_or_default();
        let place = keys("matchLabelKeys").into_iter().rposition(|own| own == key);
        if let Some(i) = place.filter(|_| selected.contains(&key)) {
            errors.push(Error::invalid(&path.index(i), key, "exists in both matchLabelKeys and labelSelector"));
        }
        selected.push(key);
    }
    let mismatched = keys("mismatchLabelKeys");
    for (i, key) in keys("matchLabelKeys").into_iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        let path = path.child("matchLabelKeys").index(i);
        errors.push(Error::invalid(&path, key, "exists in both matchLabelKeys and mismatchLabelKeys"));
    }
    errors
}

fn node_affinity(affinity: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(required) = affinity.get(REQUIRED).filter(|required| !required.is_null()) {
        errors.extend(selector::node_selector(required, &path.child(REQUIRED)));
    }
    for (i, term) in affinity.items_at(&[PREFERRED]).iter().enumerate() {
        let path = path.child(PREFERRED).index(i);
        errors.extend(weight(term, &path));
        let preference = term.get("preference").unwrap_or(&Value::Null);
        errors.extend(selector::preferred_node_selector_term(preference, &path.child("preference")));
    }
    errors
}

fn weight(term: &Value, path: &Path) -> Option<Error> {
    let weight = term.int_at(&["weight"]).unwrap_or_default();
    let wrong = !(1..=100).contains(&weight);
    wrong.then(|| Error::invalid(&path.child("weight"), weight, "must be in the range 1-100"))
}

fn pod_term(term: &Value, path: &Path) -> Errors {
    let mut errors = selector::label_selector(term.get("labelSelector"), &path.child("labelSelector"));
    errors.extend(selector::label_selector(term.get("namespaceSelector"), &path.child("namespaceSelector")));
    for name in term.items_at(&["namespaces"]).iter().filter_map(Value::as_str) {
        errors.extend(text(names::is_dns1123_label, name, &path.child("namespace")));
    }
    errors.extend(own_label_keys(term, path));
    let key = term.str_at(&["topologyKey"]).unwrap_or_default();
    if key.is_empty() {
        errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
    }
    errors.extend(label_name(key, &path.child("topologyKey")));
    errors
}

fn toleration(toleration: &Value, path: &Path) -> Errors {
    let part = |field: &str| toleration.str_at(&[field]).unwrap_or_default();
    let (key, operator, value, effect) = (part("key"), part("operator"), part("value"), part("effect"));
    let mut errors = Errors::new();
    if !key.is_empty() {
        errors.extend(label_name(key, &path.child("key")));
    }
    if key.is_empty() && operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(Error::invalid(&path.child("operator"), operator, detail));
    }
    if toleration.int_at(&["tolerationSeconds"]).is_some() && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(Error::invalid(&path.child("effect"), effect, detail));
    }
    match operator {
        "Equal" | "" => {
            let problems = names::is_label_value(value);
            if !problems.is_empty() {
                errors.push(Error::invalid(&path.child("operator"), value, problems.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(Error::invalid(&path.child("operator"), value, detail));
        }
        "Exists" => {}
        // Known but off in 1.36 (KEP-5471); upstream's message names them all the same.
        "Lt" | "Gt" => {
            errors.push(Error::not_supported(&path.child("operator"), operator, &["Equal", "Exists", "Lt", "Gt"]));
        }
        _ => errors.push(Error::not_supported(&path.child("operator"), operator, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        errors.extend(one_of(effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], &path.child("effect")));
    }
    errors
}

/// A toleration as upstream's messages show it.
#[must_use]
pub fn shown_toleration(toleration: &Value) -> Value {
    let part = |field: &str| toleration.str_at(&[field]).unwrap_or_default();
    value!({
        "Key": (part("key")), "Operator": (part("operator")), "Value": (part("value")), "Effect": (part("effect")),
        "TolerationSeconds": (toleration.int_at(&["tolerationSeconds"])),
    })
}

/// What is wrong with the gates of a changed pod: they may only go.
#[must_use]
pub fn gates_update(new: &Value, old: &Value) -> Errors {
    let [new, old] = [new, old].map(|pod| pod.items_at(&["spec", "schedulingGates"]));
    let mut errors = Errors::new();
    for (i, gate) in new.iter().enumerate().filter(|(_, gate)| !old.contains(gate)) {
        let name = gate.str_at(&["name"]).unwrap_or_default();
        let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
        errors.push(Error::forbidden(&Path::new("spec.schedulingGates").index(i).child("name"), detail));
    }
    errors
}
