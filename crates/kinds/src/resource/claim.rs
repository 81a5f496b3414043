//! What a claim asks for: requests, constraints among them, configuration.

use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value};

use super::{check_list, check_set, name, name_of, toleration};
use crate::pod_spec::default::{each, set};
use crate::validate::one_of;

/// So many requests, constraints, configurations or selectors may stand in a list.
pub(super) const MAX_ITEMS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const MAX_EXPRESSION_BYTES: usize = 10 * 1024;
const MAX_PARAMETERS_BYTES: usize = 10 * 1024;
const NO_SUCH_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// Fills in what nobody set in the claim spec `spec`.
pub(super) fn default(spec: &mut Value) {
    each(spec, &["devices", "requests"], |request| {
        if let Some(exactly) = request.get_mut("exactly").and_then(Value::as_object_mut) {
            default_request(exactly);
        }
        each(request, &["firstAvailable"], |one| one.as_object_mut().into_iter().for_each(default_request));
    });
}

fn default_request(request: &mut Object) {
    set(request, "allocationMode", || "ExactCount".into());
    let exact = request.get("allocationMode").and_then(Value::as_str) == Some("ExactCount");
    if exact && request.get("count").and_then(Value::as_i64).unwrap_or_default() == 0 {
        request.insert("count", 1);
    }
}

/// What is wrong with a claim spec.
pub(super) fn check(spec: &Value, path: &Path) -> Errors {
    let path = path.child("devices");
    let claim = spec.get("devices").unwrap_or(&Value::Null);
    let known = Requests::of(spec);
    let requests = claim.items_at(&["requests"]);
    let mut errors = check_set(requests, MAX_ITEMS, &path.child("requests"), name_of, check_request);
    let constraints = claim.items_at(&["constraints"]);
    errors.extend(check_list(constraints, MAX_ITEMS, &path.child("constraints"), |one, path| {
        check_constraint(one, &known, path)
    }));
    errors.extend(check_list(claim.items_at(&["config"]), MAX_ITEMS, &path.child("config"), |one, path| {
        let mut errors = known.check_all(one, &path.child("requests"));
        errors.extend(configuration(one, path));
        errors
    }));
    errors
}

/// The requests of a claim, by name.
pub(super) struct Requests<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Requests<'a> {
    /// Those of a claim spec.
    pub(super) fn of(spec: &'a Value) -> Self {
        let name = |request: &'a Value| request.str_at(&["name"]).unwrap_or_default();
        let requests = spec.items_at(&["devices", "requests"]).iter();
        Self(requests.map(|r| (name(r), r.items_at(&["firstAvailable"]).iter().map(name).collect())).collect())
    }

    /// What is wrong with a reference to a request, or to a subrequest of it.
    pub(super) fn check(&self, reference: &str, path: &Path) -> Errors {
        let parts: Vec<&str> = reference.split('/').collect();
        if parts.len() > 2 {
            return vec![Error::invalid(path, reference, NO_SUCH_REQUEST)];
        }
        let mut errors: Errors = parts.iter().flat_map(|part| name::label(part, path)).collect();
        let found = self.0.iter().find(|(name, _)| *name == parts[0]);
        if !found.is_some_and(|(_, below)| parts.get(1).is_none_or(|part| below.contains(part))) {
            errors.push(Error::invalid(path, reference, NO_SUCH_REQUEST));
        }
        errors
    }

    /// What is wrong with a list of references at `requests`.
    pub(super) fn check_all(&self, holder: &Value, path: &Path) -> Errors {
        check_set(holder.items_at(&["requests"]), MAX_ITEMS, path, Value::clone, |one, path| {
            self.check(one.as_str().unwrap_or_default(), path)
        })
    }
}

fn check_request(request: &Value, path: &Path) -> Errors {
    let mut errors = name::label(request.str_at(&["name"]).unwrap_or_default(), &path.child("name"));
    let exactly = request.get("exactly").filter(|value| !value.is_null());
    match (exactly, request.items_at(&["firstAvailable"])) {
        (None, []) => errors.push(Error::required(path, "exactly one of `exactly` or `firstAvailable` is required")),
        (Some(exactly), []) => errors.extend(check_wish(exactly, &path.child("exactly"))),
        (None, all) => {
            let path = path.child("firstAvailable");
            errors.extend(check_set(all, MAX_ALTERNATIVES, &path, name_of, |one, path| {
                let mut errors = name::label(one.str_at(&["name"]).unwrap_or_default(), &path.child("name"));
                errors.extend(check_wish(one, path));
                errors
            }));
        }
        (Some(_), _) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(Error::invalid(path, Value::Null, detail));
        }
    }
    errors
}

fn check_wish(wish: &Value, path: &Path) -> Errors {
    let class = wish.str_at(&["deviceClassName"]).unwrap_or_default();
    let mut errors = name::class(class, &path.child("deviceClassName"));
    errors.extend(selectors(wish.items_at(&["selectors"]), &path.child("selectors")));
    errors.extend(check_count(wish, path));
    errors.extend(toleration::all(wish.items_at(&["tolerations"]), &path.child("tolerations")));
    errors
}

fn check_count(wish: &Value, path: &Path) -> Option<Error> {
    let count = wish.int_at(&["count"]).unwrap_or_default();
    let field = path.child("count");
    match wish.str_at(&["allocationMode"]).unwrap_or_default() {
        "All" if count != 0 => {
            Some(Error::invalid(&field, count, "must not be specified when allocationMode is 'All'"))
        }
        "ExactCount" if count <= 0 => Some(Error::invalid(&field, count, "must be greater than zero")),
        mode => one_of(mode, &["All", "ExactCount"], &path.child("allocationMode")),
    }
}

/// What is wrong with a list of selectors.
pub(super) fn selectors(all: &[Value], path: &Path) -> Errors {
    check_list(all, MAX_ITEMS, path, |selector, path| {
        let field = path.child("cel");
        let Some(cel) = selector.get("cel").filter(|value| !value.is_null()) else {
            return vec![Error::required(&field, "")];
        };
        let bytes = cel.str_at(&["expression"]).unwrap_or_default().len();
        let too_long = bytes > MAX_EXPRESSION_BYTES;
        too_long.then(|| Error::too_long(&field.child("expression"), MAX_EXPRESSION_BYTES)).into_iter().collect()
    })
}

fn check_constraint(constraint: &Value, known: &Requests<'_>, path: &Path) -> Errors {
    let mut errors = known.check_all(constraint, &path.child("requests"));
    let attribute =
        |field: &str| constraint.str_at(&[field]).map(|name| name::fully_qualified(name, &path.child(field)));
    match attribute("matchAttribute").or_else(|| attribute("distinctAttribute")) {
        Some(problems) => errors.extend(problems),
        None => {
            let detail =
                r#"exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#;
            errors.push(Error::required(path, detail));
        }
    }
    errors
}

/// What is wrong with a configuration for drivers.
pub(super) fn configuration(configuration: &Value, path: &Path) -> Errors {
    let path = path.child("opaque");
    let Some(opaque) = configuration.get("opaque").filter(|value| !value.is_null()) else {
        return vec![Error::required(&path, "")];
    };
    let mut errors = name::driver(opaque.str_at(&["driver"]).unwrap_or_default(), &path.child("driver"));
    errors.extend(raw_object(opaque.get("parameters"), MAX_PARAMETERS_BYTES, &path.child("parameters")));
    errors
}

/// What is wrong with a free object.
pub(super) fn raw_object(value: Option<&Value>, most_bytes: usize, path: &Path) -> Option<Error> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Some(Error::required(path, "")) };
    if machinery::json::to_vec(value).len() > most_bytes {
        return Some(Error::too_long(path, most_bytes));
    }
    let detail = "must be a valid JSON object";
    value.as_object().is_none().then(|| Error::invalid(path, "<value omitted>", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    fn shown(devices: Value) -> String {
        let mut spec = value!({"devices": devices});
        default(&mut spec);
        field::aggregate(&check(&spec, &Path::new("spec")))
    }

    #[test]
    fn claims() {
        let shown = [
            shown(value!({"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]})),
            shown(value!({"requests": [{"name": "r"}, {"name": "r", "exactly": {}, "firstAvailable": [{"name": "a"}]}]})),
            shown(value!({"requests": [{"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "c", "allocationMode": "All", "count": 2}]}],
                "constraints": [{"requests": ["r/a", "r/b", "x"]}, {"matchAttribute": "bad"}],
                "config": [{"requests": ["r", "r"]}, {"opaque": {"driver": "d", "parameters": 1}}]})),
        ]
        .join("\n");
        expect_test::expect![[r#"
            []
            [spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required, spec.devices.requests[1]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set, spec.devices.requests[1]: Duplicate value: "r"]
            [spec.devices.requests[0].firstAvailable[0].count: Invalid value: 2: must not be specified when allocationMode is 'All', spec.devices.constraints[0].requests[1]: Invalid value: "r/b": must be the name of a request in the claim or the name of a request and a subrequest separated by '/', spec.devices.constraints[0].requests[2]: Invalid value: "x": must be the name of a request in the claim or the name of a request and a subrequest separated by '/', spec.devices.constraints[0]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set, spec.devices.constraints[1].matchAttribute: Invalid value: "bad": a fully qualified name must be a domain and a name separated by a slash, spec.devices.config[0].requests[1]: Duplicate value: "r", spec.devices.config[0].opaque: Required value, spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object]"#]]
        .assert_eq(&shown);
    }
}
