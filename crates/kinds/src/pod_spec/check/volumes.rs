//! Volumes: one source each, and what a source asks for.

use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, names};

use super::containers::{local_path, no_back_steps};
use super::{env, filled};
use crate::pod_spec::quantity;
use crate::validate::{one_of, required, text};

/// File modes have nine bits, with setuid and the like twelve.
const MAX_FILE_MODE: i64 = 0o777;
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// What is wrong with the volumes of a pod spec.
pub(super) fn volumes(spec: &Value, path: &Path) -> Errors {
    let all = spec.items_at(&["volumes"]);
    let mut errors = Errors::new();
    for (i, volume) in all.iter().enumerate() {
        let path = path.index(i);
        errors.extend(source(volume, &path));
        match filled(volume, "name") {
            None => errors.push(Error::required(&path.child("name"), "")),
            Some(name) => {
                let wrong: Errors = text(names::is_dns1123_label, name, &path.child("name")).collect();
                let taken = wrong.is_empty() && all[..i].iter().any(|other| filled(other, "name") == Some(name));
                errors.extend(wrong);
                errors.extend(taken.then(|| Error::duplicate(&path.child("name"), name)));
            }
        }
    }
    errors
}

fn source(volume: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut count = 0;
    for (kind, source) in volume.as_object().into_iter().flat_map(Object::iter) {
        if kind == "name" || source.is_null() {
            continue;
        }
        if count > 0 {
            errors.push(Error::forbidden(&path.child(kind), "may not specify more than 1 volume type"));
            continue;
        }
        count += 1;
        errors.extend(one(kind, source, &path.child(kind)));
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    errors
}

/// What is wrong with a volume source; kinds of volumes that clouds and vendors bring need their names only.
#[must_use]
pub fn one(kind: &str, source: &Value, path: &Path) -> Errors {
    match kind {
        "emptyDir" => empty_dir(source, path),
        "hostPath" => host_path(source, path),
        "secret" => {
            let mut errors: Errors = needs(source, &["secretName"], path);
            errors.extend(files(source, path));
            errors
        }
        "configMap" => {
            let mut errors = needs(source, &["name"], path);
            errors.extend(files(source, path));
            errors
        }
        "downwardAPI" => downward(source, path),
        "projected" => projected(source, path),
        "persistentVolumeClaim" => needs(source, &["claimName"], path),
        "nfs" => nfs(source, path),
        "iscsi" => needs(source, &["targetPortal", "iqn"], path),
        "csi" => csi(source, path),
        "ephemeral" => ephemeral(source, path),
        "glusterfs" => needs(source, &["endpoints", "path"], path),
        "cephfs" => needs_items(source, "monitors", path),
        "rbd" => {
            let mut errors = needs_items(source, "monitors", path);
            errors.extend(needs(source, &["image"], path));
            errors
        }
        "image" => {
            let policy = filled(source, "pullPolicy");
            policy
                .and_then(|p| one_of(p, &["Always", "IfNotPresent", "Never"], &path.child("pullPolicy")))
                .into_iter()
                .collect()
        }
        _ => Errors::new(),
    }
}

fn needs(source: &Value, fields: &[&str], path: &Path) -> Errors {
    fields.iter().filter_map(|field| required(source.str_at(&[field]), &path.child(field), "")).collect()
}

fn needs_items(source: &Value, field: &str, path: &Path) -> Errors {
    let none = source.items_at(&[field]).is_empty();
    none.then(|| Error::required(&path.child(field), "")).into_iter().collect()
}

fn empty_dir(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let limit = source.get("sizeLimit").and_then(quantity);
    if limit.is_some_and(|limit| limit.sign() < 0) {
        errors.push(Error::forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"));
    }
    let medium = source.str_at(&["medium"]).unwrap_or_default();
    if !matches!(medium, "" | "Memory" | "HugePages") && !medium.starts_with("HugePages-") {
        errors.push(Error::not_supported(&path.child("medium"), medium, &["", "HugePages", "Memory"]));
    }
    errors
}

fn host_path(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match filled(source, "path") {
        None => errors.push(Error::required(&path.child("path"), "")),
        Some(place) => errors.extend(no_back_steps(place, &path.child("path"))),
    }
    let kind = source.str_at(&["type"]).unwrap_or_default();
    errors.extend(one_of(kind, &HOST_PATH_TYPES, &path.child("type")));
    errors
}

fn files(source: &Value, path: &Path) -> Errors {
    let mut errors: Errors = mode(source, "defaultMode", path).into_iter().collect();
    for (i, item) in source.items_at(&["items"]).iter().enumerate() {
        let path = path.child("items").index(i);
        errors.extend(required(item.str_at(&["key"]), &path.child("key"), ""));
        errors.extend(file_path(item, &path));
        errors.extend(mode(item, "mode", &path));
    }
    errors
}

fn file_path(item: &Value, path: &Path) -> Errors {
    let field = path.child("path");
    match filled(item, "path") {
        None => vec![Error::required(&field, "")],
        Some(place) => {
            let mut errors = local_path(place, &field);
            if place.starts_with("..") && !place.starts_with("../") && place != ".." {
                errors.push(Error::invalid(&field, place, "must not start with '..'"));
            }
            errors
        }
    }
}

fn mode(object: &Value, field: &str, path: &Path) -> Option<Error> {
    let mode = object.int_at(&[field]).filter(|mode| !(0..=MAX_FILE_MODE).contains(mode))?;
    let detail = "must be a number between 0 and 0777 (octal), both inclusive";
    Some(Error::invalid(&path.child(field), mode, detail))
}

fn downward(source: &Value, path: &Path) -> Errors {
    let mut errors: Errors = mode(source, "defaultMode", path).into_iter().collect();
    for (i, item) in source.items_at(&["items"]).iter().enumerate() {
        let path = path.child("items").index(i);
        errors.extend(file_path(item, &path));
        let [field, resource] = ["fieldRef", "resourceFieldRef"].map(|name| item.get(name).filter(|r| !r.is_null()));
        match (field, resource) {
            (Some(reference), other) => {
                errors.extend(env::field_reference(reference, false, &path.child("fieldRef")));
                if other.is_some() {
                    let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    errors.push(Error::invalid(&path, "resource", detail));
                }
            }
            (None, Some(reference)) => {
                errors.extend(env::resource_reference(reference, true, &path.child("resourceFieldRef")));
            }
            (None, None) => {
                errors
                    .push(Error::required(&path.child("fieldRef"), "one of fieldRef and resourceFieldRef is required"));
            }
        }
        errors.extend(mode(item, "mode", &path));
    }
    errors
}

fn projected(source: &Value, path: &Path) -> Errors {
    let mut errors: Errors = mode(source, "defaultMode", path).into_iter().collect();
    for (i, part) in source.items_at(&["sources"]).iter().enumerate() {
        let path = path.child("sources").index(i);
        let mut count = 0;
        for (kind, inner) in part.as_object().into_iter().flat_map(Object::iter).filter(|(_, inner)| !inner.is_null()) {
            let path = path.child(kind);
            if count > 0 {
                errors.push(Error::forbidden(&path, "may not specify more than 1 volume type"));
            }
            count += 1;
            errors.extend(match kind.as_str() {
                "secret" | "configMap" => {
                    let mut errors = needs(inner, &["name"], &path);
                    errors.extend(files(inner, &path));
                    errors
                }
                "downwardAPI" => downward(inner, &path),
                "serviceAccountToken" => token(inner, &path),
                _ => Errors::new(),
            });
        }
        if count == 0 {
            errors.push(Error::required(&path, "must specify a volume source"));
        }
    }
    errors
}

fn token(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(seconds) = source.int_at(&["expirationSeconds"]) {
        let field = path.child("expirationSeconds");
        if seconds < 600 {
            errors.push(Error::invalid(&field, seconds, "may not specify a duration less than 10 minutes"));
        } else if seconds > 1 << 32 {
            errors.push(Error::invalid(&field, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
    errors.extend(file_path(source, path));
    errors
}

fn nfs(source: &Value, path: &Path) -> Errors {
    let mut errors = needs(source, &["server", "path"], path);
    let place = source.str_at(&["path"]).unwrap_or_default();
    if !place.starts_with('/') {
        errors.push(Error::invalid(&path.child("path"), place, "must be an absolute path"));
    }
    errors
}

fn csi(source: &Value, path: &Path) -> Errors {
    match filled(source, "driver") {
        None => vec![Error::required(&path.child("driver"), "")],
        Some(driver) => text(names::is_dns1123_subdomain, driver, &path.child("driver")).collect(),
    }
}

fn ephemeral(source: &Value, path: &Path) -> Errors {
    let path = path.child("volumeClaimTemplate");
    let Some(template) = source.get("volumeClaimTemplate").filter(|template| !template.is_null()) else {
        return vec![Error::required(&path, "")];
    };
    let spec = template.get("spec").unwrap_or(&Value::Null);
    crate::core::persistent_volume_claim::claim_spec(spec, &path.child("spec"))
}
