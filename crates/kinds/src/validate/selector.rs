//! Label selectors and node selectors of objects.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use super::metadata::{label_name, labels};

/// What is wrong with a `LabelSelector`.
#[must_use]
pub fn label_selector(selector: Option<&Value>, path: &Path) -> Errors {
    let Some(selector) = selector.filter(|value| !value.is_null()) else { return Errors::new() };
    let mut errors = labels(selector.get("matchLabels").and_then(Value::as_object), &path.child("matchLabels"));
    for (i, expression) in selector.items_at(&["matchExpressions"]).iter().enumerate() {
        errors.extend(requirement(expression, &path.child("matchExpressions").index(i)));
    }
    errors
}

/// Whether a `LabelSelector` selects everything.
#[must_use]
pub fn is_empty(selector: &Value) -> bool {
    selector.get("matchLabels").and_then(Value::as_object).is_none_or(machinery::Object::is_empty)
        && selector.items_at(&["matchExpressions"]).is_empty()
}

/// What is wrong with a `NodeSelector`.
#[must_use]
pub fn node_selector(selector: &Value, path: &Path) -> Errors {
    let path = path.child("nodeSelectorTerms");
    let terms = selector.items_at(&["nodeSelectorTerms"]);
    if terms.is_empty() {
        return vec![Error::required(&path, "must have at least one node selector term")];
    }
    let mut errors = Errors::new();
    for (i, term) in terms.iter().enumerate() {
        errors.extend(term_with_values(term, true, &path.index(i)));
    }
    errors
}

/// What is wrong with a term that is only preferred: its values may be anything.
#[must_use]
pub fn preferred_node_selector_term(term: &Value, path: &Path) -> Errors {
    term_with_values(term, false, path)
}

fn term_with_values(term: &Value, check_values: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, expression) in term.items_at(&["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        errors.extend(node_requirement(expression, &path));
        if check_values {
            errors.extend(label_values(expression.items_at(&["values"]), &path.child("values")));
        }
    }
    for (i, expression) in term.items_at(&["matchFields"]).iter().enumerate() {
        errors.extend(node_field(expression, &path.child("matchFields").index(i)));
    }
    errors
}

fn requirement(expression: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let values = expression.items_at(&["values"]);
    match expression.str_at(&["operator"]).unwrap_or_default() {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&path.child("values"), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    errors.extend(label_name(expression.str_at(&["key"]).unwrap_or_default(), &path.child("key")));
    errors.extend(label_values(values, &path.child("values")));
    errors
}

fn node_requirement(expression: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let values = expression.items_at(&["values"]);
    match expression.str_at(&["operator"]).unwrap_or_default() {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&path.child("values"), detail));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    errors.extend(label_name(expression.str_at(&["key"]).unwrap_or_default(), &path.child("key")));
    errors
}

fn node_field(expression: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let values = expression.items_at(&["values"]);
    match expression.str_at(&["operator"]).unwrap_or_default() {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "In" | "NotIn" => {}
        other => errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    let key = expression.str_at(&["key"]).unwrap_or_default();
    if key != "metadata.name" {
        errors.push(Error::invalid(&path.child("key"), key, "not a valid field selector key"));
        return errors;
    }
    for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(super::text(names::is_dns1123_subdomain, value, &path.child("values").index(i)));
    }
    errors
}

fn label_values(values: &[Value], path: &Path) -> Errors {
    let each = values.iter().filter_map(Value::as_str).enumerate();
    each.flat_map(|(i, value)| super::text(names::is_label_value, value, &path.index(i)).collect::<Errors>()).collect()
}
