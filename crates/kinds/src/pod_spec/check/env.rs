//! Environment variables and where their values come from.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use super::{env_file, filled};
use crate::validate::{one_of, text};

const VALUE_SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
const FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// What is wrong with a list of variables.
pub(super) fn variables(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, variable) in all.iter().enumerate() {
        let path = path.index(i);
        match filled(variable, "name") {
            None => errors.push(Error::required(&path.child("name"), "")),
            Some(name) => errors.extend(text(names::is_relaxed_env_var_name, name, &path.child("name"))),
        }
        errors.extend(value_from(variable, &path.child("valueFrom")));
    }
    errors
}

/// What is wrong with a list of whole config maps and secrets.
pub(super) fn sources(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, source) in all.iter().enumerate() {
        let item = path.index(i);
        if let Some(prefix) = filled(source, "prefix") {
            errors.extend(text(names::is_relaxed_env_var_name, prefix, &item.child("prefix")));
        }
        let refs = ["configMapRef", "secretRef"].map(|field| (field, source.get(field).filter(|v| !v.is_null())));
        for (field, reference) in refs.iter().filter_map(|(field, r)| Some((field, (*r)?))) {
            let name = reference.str_at(&["name"]).unwrap_or_default();
            let path = item.child(field).child("name");
            match name {
                "" => errors.push(Error::required(&path, "")),
                name => errors.extend(
                    names::is_dns1123_subdomain(&names::mask_trailing_dash(name))
                        .into_iter()
                        .map(|m| Error::invalid(&path, name, m)),
                ),
            }
        }
        match refs.iter().filter(|(_, reference)| reference.is_some()).count() {
            0 => errors.push(Error::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(Error::invalid(path, "", "may not have more than one field specified at a time")),
        }
    }
    errors
}

/// What is wrong with a reference to a field of the pod; `fields` are those that fit here.
pub(super) fn field_reference(reference: &Value, env: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if filled(reference, "apiVersion").is_none() {
        errors.push(Error::required(&path.child("apiVersion"), ""));
        return errors;
    }
    let Some(field) = filled(reference, "fieldPath") else {
        errors.push(Error::required(&path.child("fieldPath"), ""));
        return errors;
    };
    let field_path = path.child("fieldPath");
    if let Err(problem) = convert(reference.str_at(&["apiVersion"]).unwrap_or_default(), field) {
        let detail = format!("error converting fieldPath: {problem}");
        errors.push(Error::invalid(&field_path, field, detail));
        return errors;
    }
    // An old name for the node's.
    let field = if field == "spec.host" { "spec.nodeName" } else { field };
    match subscript(field) {
        Some(("metadata.annotations", key)) => {
            errors.extend(text(names::is_qualified_name, &key.to_lowercase(), path));
        }
        Some((_, key)) => errors.extend(text(names::is_qualified_name, key, path)),
        None if env => errors.extend(one_of(field, &ENV_FIELDS, &field_path)),
        None => errors.extend(one_of(field, &VOLUME_FIELDS, &field_path)),
    }
    errors
}

/// Whether pods of the version have the field.
fn convert(version: &str, field: &str) -> Result<(), String> {
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    match subscript(field) {
        Some(("metadata.annotations" | "metadata.labels", _)) => Ok(()),
        Some(_) => Err(format!("field label does not support subscript: {field}")),
        None if field == "spec.host" || FIELDS.contains(&field) => Ok(()),
        None => Err(format!("field label not supported: {field}")),
    }
}

/// What is wrong with a reference to an amount of a container.
pub(super) fn resource_reference(reference: &Value, volume: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let resource = reference.str_at(&["resource"]).unwrap_or_default();
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
    if volume && filled(reference, "containerName").is_none() {
        errors.push(Error::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(Error::required(&path.child("resource"), ""));
    } else if !huge {
        errors.extend(one_of(resource, &RESOURCES, &path.child("resource")));
    }
    errors.extend(divisor(reference, resource, huge, &path.child("divisor")));
    errors
}

/// Amounts are divided by a power of ten or of two, CPUs also by a thousandth.
fn divisor(reference: &Value, resource: &str, huge: bool, path: &Path) -> Option<Error> {
    const SIZES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let divisor = reference.get("divisor").and_then(crate::pod_spec::quantity).filter(|d| d.sign() != 0)?.to_string();
    let words = match resource.split_once('.').map_or("", |(_, name)| name) {
        "cpu" if ["1m", "1"].contains(&divisor.as_str()) => return None,
        "cpu" => {
            let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
            return Some(Error::invalid(path, resource, detail));
        }
        "memory" => "memory",
        "ephemeral-storage" => "local ephemeral storage",
        _ if huge => "hugepages",
        _ => return None,
    };
    let detail = format!("only divisor's values {} are supported with the {words} resource", SIZES.join(", "));
    (!SIZES.contains(&divisor.as_str())).then(|| Error::invalid(path, resource, detail))
}

fn value_from(variable: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(source) = variable.get("valueFrom").filter(|source| !source.is_null()) else { return errors };
    let mut count = 0;
    for field in VALUE_SOURCES {
        let Some(reference) = source.get(field).filter(|reference| !reference.is_null()) else { continue };
        count += 1;
        let path = path.child(field);
        errors.extend(match field {
            "fieldRef" => field_reference(reference, true, &path),
            "resourceFieldRef" => resource_reference(reference, false, &path),
            "fileKeyRef" => env_file::reference(reference, &path),
            _ => key_reference(reference, &path),
        });
    }
    let filled_value = filled(variable, "value").is_some();
    if count == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(Error::invalid(path, "", detail));
    } else if filled_value {
        errors.push(Error::invalid(path, "", "may not be specified when `value` is not empty"));
    } else if count > 1 {
        errors.push(Error::invalid(path, "", "may not have more than one field specified at a time"));
    }
    errors
}

fn key_reference(reference: &Value, path: &Path) -> Errors {
    let name = reference.str_at(&["name"]).unwrap_or_default();
    let mut errors: Errors = text(names::is_dns1123_subdomain, name, &path.child("name")).collect();
    match filled(reference, "key") {
        None => errors.push(Error::required(&path.child("key"), "")),
        Some(key) => errors.extend(text(names::is_config_map_key, key, &path.child("key"))),
    }
    errors
}

/// Map and key of `metadata.labels['key']`.
fn subscript(field: &str) -> Option<(&str, &str)> {
    let (map, key) = field.strip_suffix("']")?.split_once("['")?;
    (!map.is_empty()).then_some((map, key))
}
