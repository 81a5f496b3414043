//! Where a PersistentVolume's bytes are: exactly one source, which stays.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use crate::pod_spec::check::{Owner, volume_source};
use crate::validate::diff::unified;
use crate::validate::{csi_driver_name, required, text};

/// The sources in the order of the checks: the first one that is there is looked at, the others are too many.
const ORDER: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];
/// Sources that are no more, each with the name that the warning gives it and since when it is so.
const OLD: [(&str, &str, &str); 6] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
/// The secrets that a driver may be given.
const SECRETS: [&str; 4] =
    ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];

/// What is wrong with the source in a spec.
pub(super) fn check(spec: &Value, name: &str, path: &Path) -> Errors {
    let present = |kind: &&&str| spec.get(kind).is_some_and(|source| !source.is_null());
    let mut kinds = ORDER.iter().filter(present);
    let Some(kind) = kinds.next() else {
        return vec![Error::required(path, "must specify a volume type")];
    };
    let mut errors = one(spec, kind, name, path);
    let too_many = "may not specify more than 1 volume type";
    // The names in these paths are upstream's.
    let shown = |kind: &str| path.child(if kind == "cephfs" { "cephFS" } else { kind });
    errors.extend(kinds.map(|kind| Error::forbidden(&shown(kind), too_many)));
    let recycled = spec.str_at(&["persistentVolumeReclaimPolicy"]) == Some("Recycle");
    if recycled && spec.str_at(&["hostPath", "path"]).is_some_and(is_root) {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), detail));
    }
    errors
}

/// The warnings about sources that are no more.
pub(super) fn warnings(volume: &Value) -> impl Iterator<Item = String> {
    let used = OLD.iter().filter(|(kind, ..)| volume.at(&["spec", kind]).is_some_and(|source| !source.is_null()));
    used.map(|(_, name, advice)| format!("spec.{name}: {advice}"))
}

/// What is wrong when the source changed; a secret for growing may come.
pub(super) fn stays(new: &Value, old: &Value) -> Option<Error> {
    let source = |volume: &Value, kind: &str| {
        let mut source = volume.at(&["spec", kind]).filter(|source| !source.is_null()).cloned();
        if kind == "csi" && old.at(&["spec", "csi", "controllerExpandSecretRef"]).is_none() {
            source.as_mut().map(|source| source.remove_at(&["controllerExpandSecretRef"]));
        }
        source
    };
    let sources = |volume: &Value| {
        let present = ORDER.iter().filter_map(|kind| Some((*kind, source(volume, kind)?)));
        Value::Object(present.collect())
    };
    let (new, old) = (sources(new), sources(old));
    let detail = format!("spec.persistentvolumesource is immutable after creation\n{}", unified(&old, &new));
    (new != old).then(|| Error::forbidden(&Path::new("spec.persistentvolumesource"), detail))
}

fn one(spec: &Value, kind: &str, name: &str, path: &Path) -> Errors {
    let source = spec.get(kind).unwrap_or(&Value::Null);
    match kind {
        "csi" => csi(source, &path.child(kind)),
        "local" => local(spec, source, path),
        "gcePersistentDisk" => {
            volume_source(kind, source, Owner::PersistentVolume(name), &path.child("persistentDisk"))
        }
        _ => volume_source(kind, source, Owner::PersistentVolume(name), &path.child(kind)),
    }
}

fn csi(source: &Value, path: &Path) -> Errors {
    let mut errors = csi_driver_name(source.str_at(&["driver"]).unwrap_or_default(), &path.child("driver"));
    errors.extend(required(source.str_at(&["volumeHandle"]), &path.child("volumeHandle"), ""));
    for field in SECRETS {
        if let Some(secret) = source.get(field).filter(|secret| !secret.is_null()) {
            errors.extend(secret_reference(secret, &path.child(field)));
        }
    }
    errors
}

fn secret_reference(secret: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["name", "namespace"] {
        let check = if field == "name" { names::is_dns1123_subdomain } else { names::is_dns1123_label };
        match secret.str_at(&[field]).unwrap_or_default() {
            "" => errors.push(Error::required(&path.child(field), "")),
            value => errors.extend(text(check, value, &path.child(field))),
        }
    }
    errors
}

fn local(spec: &Value, source: &Value, path: &Path) -> Errors {
    let field = path.child("local.path");
    let mut errors = Errors::new();
    match source.str_at(&["path"]).unwrap_or_default() {
        "" => errors.push(Error::required(&field, "")),
        place if place.split('/').any(|part| part == "..") => {
            errors.push(Error::invalid(&field, place, "must not contain '..'"));
        }
        _ => {}
    }
    if spec.at(&["nodeAffinity", "required"]).is_none_or(Value::is_null) {
        errors.push(Error::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
    }
    errors
}

fn is_root(place: &str) -> bool {
    place.starts_with('/') && place.split('/').all(|part| matches!(part, "" | "."))
}
