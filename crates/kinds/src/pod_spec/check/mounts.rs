//! Where a container sees the pod's volumes: as directories and as devices.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::containers::{local_path, no_back_steps};
use super::filled;
use crate::validate::one_of;

/// What is wrong with the mounts of a container.
pub(super) fn mounts(container: &Value, volumes: &[&Value], path: &Path) -> Errors {
    let all = container.items_at(&["volumeMounts"]);
    let devices = container.items_at(&["volumeDevices"]);
    let mut errors = Errors::new();
    for (i, mount) in all.iter().enumerate() {
        let item = path.index(i);
        let [name, place] = ["name", "mountPath"].map(|field| mount.str_at(&[field]).unwrap_or_default());
        if name.is_empty() {
            errors.push(Error::required(&item.child("name"), ""));
        }
        if volume(volumes, name).is_none() {
            errors.push(Error::not_found(&item.child("name"), name));
        }
        if place.is_empty() {
            errors.push(Error::required(&item.child("mountPath"), ""));
        }
        if all[..i].iter().any(|other| other.str_at(&["mountPath"]).unwrap_or_default() == place) {
            errors.push(Error::invalid(&item.child("mountPath"), place, "must be unique"));
        }
        if devices.iter().any(|device| device.str_at(&["name"]).unwrap_or_default() == name) {
            errors.push(Error::invalid(&item.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|device| device.str_at(&["devicePath"]).unwrap_or_default() == place) {
            let detail = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(&item.child("mountPath"), place, detail));
        }
        errors.extend(sub_paths(mount, &item, path));
        errors.extend(propagation(mount, container, &path.child("mountPropagation")));
        errors.extend(recursive_read_only(mount, &path.child("recursiveReadOnly")));
    }
    errors
}

/// What is wrong with the devices of a container.
pub(super) fn devices(container: &Value, volumes: &[&Value], path: &Path) -> Errors {
    let all = container.items_at(&["volumeDevices"]);
    let mounts = container.items_at(&["volumeMounts"]);
    let mut errors = Errors::new();
    for (i, device) in all.iter().enumerate() {
        let path = path.index(i);
        let [name, place] = ["name", "devicePath"].map(|field| device.str_at(&[field]).unwrap_or_default());
        let earlier =
            |field: &str, value: &str| all[..i].iter().any(|other| other.str_at(&[field]).unwrap_or_default() == value);
        let steps_back = no_back_steps(place, &path).is_some();
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        }
        if !name.is_empty() && earlier("name", name) {
            errors.push(Error::invalid(&path.child("name"), name, "must be unique"));
        }
        match volume(volumes, name) {
            None => errors.push(Error::not_found(&path.child("name"), name)),
            Some(volume) if !is_claim(volume) => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(Error::invalid(&path.child("name"), name, detail));
            }
            Some(_) => {}
        }
        if place.is_empty() {
            errors.push(Error::required(&path.child("devicePath"), ""));
        }
        if !steps_back && earlier("devicePath", place) {
            errors.push(Error::invalid(&path.child("devicePath"), place, "must be unique"));
        }
        if steps_back {
            errors.push(Error::invalid(&path.child("devicePath"), place, "can not contain backsteps ('..')"));
        }
        if mounts.iter().any(|mount| mount.str_at(&["name"]).unwrap_or_default() == name) {
            errors.push(Error::invalid(&path.child("name"), name, "must not already exist in volumeMounts"));
        }
        if mounts.iter().any(|mount| mount.str_at(&["mountPath"]).unwrap_or_default() == place) {
            let detail = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(&path.child("devicePath"), place, detail));
        }
    }
    errors
}

fn volume<'a>(volumes: &[&'a Value], name: &str) -> Option<&'a Value> {
    volumes.iter().copied().find(|volume| volume.str_at(&["name"]) == Some(name))
}

fn is_claim(volume: &Value) -> bool {
    ["persistentVolumeClaim", "ephemeral"].iter().any(|kind| volume.get(kind).is_some_and(|source| !source.is_null()))
}

/// Upstream names the list and not the mount in the paths of some of these.
fn sub_paths(mount: &Value, item: &Path, list: &Path) -> Errors {
    let mut errors = Errors::new();
    let [plain, expression] = ["subPath", "subPathExpr"].map(|field| filled(mount, field));
    errors.extend(plain.into_iter().flat_map(|plain| local_path(plain, &list.child("subPath"))));
    if let Some(expression) = expression {
        if plain.is_some() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            errors.push(Error::invalid(&item.child("subPathExpr"), expression, detail));
        }
        errors.extend(local_path(expression, &list.child("subPathExpr")));
    }
    errors
}

fn propagation(mount: &Value, container: &Value, path: &Path) -> Errors {
    let Some(mode) = mount.str_at(&["mountPropagation"]) else { return Errors::new() };
    let mut errors: Errors = one_of(mode, &["Bidirectional", "HostToContainer", "None"], path).into_iter().collect();
    let privileged = container.bool_at(&["securityContext", "privileged"]) == Some(true);
    if mode == "Bidirectional" && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

fn recursive_read_only(mount: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match mount.str_at(&["recursiveReadOnly"]) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if mount.bool_at(&["readOnly"]) != Some(true) {
                errors.push(Error::forbidden(path, "may only be specified when readOnly is true"));
            }
            if mount.str_at(&["mountPropagation"]).is_some_and(|mode| mode != "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                errors.push(Error::forbidden(path, detail));
            }
        }
        Some(mode) => errors.extend(one_of(mode, &["Disabled", "Enabled", "IfPossible"], path)),
    }
    errors
}
