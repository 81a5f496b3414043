//! Volumes: one source each, and what a source asks for.

use machinery::field::{Error, Errors, Path, quote};
use machinery::{Value, meta, names};

use super::containers::{local_path, no_back_steps};
use super::vendor_volumes::{self, Owner, needs};
use super::{env, filled};
use crate::pod_spec::quantity;
use crate::validate::metadata::{annotations, labels};
use crate::validate::selector::label_selector;
use crate::validate::{csi_driver_name, is_zero, one_of, required, text};

/// The sources in the order of the checks: the first one that is there is looked at, the others are too many.
const ORDER: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];
/// File modes have nine bits, with setuid and the like twelve.
const MAX_FILE_MODE: i64 = 0o777;
/// The longest `NAME:INITIATOR` of an iSCSI volume.
const MAX_INITIATOR_BYTES: usize = 64;
/// What a projected volume may be made of.
const PROJECTED: [&str; 6] =
    ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
/// What a claim made for a pod cannot bring: its name and life follow the pod's.
const CLAIM_METADATA: [&str; 13] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// What is wrong with the volumes of a pod spec, and those that nothing is wrong with: only these can be mounted.
/// Claims of ephemeral volumes are named after the pod, if one is meant.
pub(super) fn volumes<'a>(spec: &'a Value, pod: Option<&Value>, path: &Path) -> (Vec<&'a Value>, Errors) {
    let all = spec.items_at(&["volumes"]);
    let pod = pod.map(meta::name).filter(|name| !name.is_empty());
    let (mut good, mut errors) = (Vec::<&Value>::new(), Errors::new());
    for (i, volume) in all.iter().enumerate() {
        let path = path.index(i);
        let mut wrong = source(volume, pod, &path);
        let name = volume.str_at(&["name"]).unwrap_or_default();
        match name {
            "" => wrong.push(Error::required(&path.child("name"), "")),
            name => wrong.extend(text(names::is_dns1123_label, name, &path.child("name"))),
        }
        if good.iter().any(|other| filled(other, "name") == Some(name)) {
            wrong.push(Error::duplicate(&path.child("name"), name));
        }
        if wrong.is_empty() {
            good.push(volume);
        }
        errors.extend(wrong);
        errors.extend(claim_of_ephemeral(volume, all, pod, &path));
    }
    (good, errors)
}

/// A claim that the pod makes for an ephemeral volume is not one to be named by another volume.
fn claim_of_ephemeral(volume: &Value, all: &[Value], pod: Option<&str>, path: &Path) -> Option<Error> {
    let claim = volume.str_at(&["persistentVolumeClaim", "claimName"])?;
    let made = all
        .iter()
        .filter(|other| other.get("ephemeral").is_some_and(|source| !source.is_null()))
        .filter_map(|other| Some(format!("{}-{}", pod?, other.str_at(&["name"]).unwrap_or_default())));
    let detail = "must not reference a PVC that gets created for an ephemeral volume";
    let field = path.child("persistentVolumeClaim.claimName");
    made.into_iter().any(|made| made == claim).then(|| Error::invalid(&field, claim, detail))
}

fn source(volume: &Value, pod: Option<&str>, path: &Path) -> Errors {
    let present = |kind: &&&str| volume.get(kind).is_some_and(|source| !source.is_null());
    let mut sources = ORDER.iter().filter(present);
    let Some(kind) = sources.next() else {
        return vec![Error::required(path, "must specify a volume type")];
    };
    // Upstream's paths differ from the fields here and there.
    let shown = if *kind == "gcePersistentDisk" { "persistentDisk" } else { kind };
    let mut errors = one(kind, volume.get(kind).unwrap_or(&Value::Null), Owner::Pod, &path.child(shown));
    let others: Vec<&str> = sources.copied().collect();
    let name = volume.str_at(&["name"]).unwrap_or_default();
    if *kind == "ephemeral"
        && let Some(pod) = pod.filter(|_| !name.is_empty())
    {
        let claim = format!("{pod}-{name}");
        let problems = names::is_dns1123_subdomain(&claim).into_iter();
        let details = problems.map(|problem| format!("PVC name {}: {problem}", quote(&claim)));
        errors.extend(details.map(|detail| Error::invalid(&path.child("name"), name, detail)));
    }
    for kind in &others {
        let shown = match *kind {
            "cephfs" => "cephFS",
            "downwardAPI" => "downwarAPI",
            kind => kind,
        };
        errors.push(Error::forbidden(&path.child(shown), "may not specify more than 1 volume type"));
    }
    if volume.at(&["iscsi", "initiatorName"]).is_some_and(|initiator| !initiator.is_null()) {
        let portal = volume.str_at(&["iscsi", "targetPortal"]).unwrap_or_default();
        if name.len() + 1 + portal.len() > MAX_INITIATOR_BYTES {
            let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
            errors.push(Error::invalid(&path.child("name"), name, detail));
        }
    }
    errors
}

/// What is wrong with a volume source.
#[must_use]
pub fn one(kind: &str, source: &Value, owner: Owner<'_>, path: &Path) -> Errors {
    match kind {
        "emptyDir" => empty_dir(source, path),
        "hostPath" => host_path(source, path),
        "gitRepo" => git_repository(source, path),
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
        "csi" => csi(source, path),
        "ephemeral" => ephemeral(source, path),
        "image" => {
            let mut errors = needs(source, &["reference"], path);
            let known = ["Always", "IfNotPresent", "Never"];
            let field = path.child("pullPolicy");
            errors.extend(match filled(source, "pullPolicy") {
                None => Some(Error::required(&field, "")),
                Some(policy) => one_of(policy, &known, &field),
            });
            errors
        }
        kind => vendor_volumes::check(kind, source, owner, path),
    }
}

fn git_repository(source: &Value, path: &Path) -> Errors {
    let mut errors = needs(source, &["repository"], path);
    let directory = source.str_at(&["directory"]).unwrap_or_default();
    errors.extend(local_path(directory, &path.child("directory")));
    errors
}

fn empty_dir(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let limit = source.get("sizeLimit").and_then(quantity);
    if limit.is_some_and(|limit| limit.sign() < 0) {
        errors.push(Error::forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity"));
    }
    errors
}

fn host_path(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match filled(source, "path") {
        None => return vec![Error::required(&path.child("path"), "")],
        Some(place) => errors.extend(no_back_steps(place, &path.child("path"))),
    }
    let kind = source.str_at(&["type"]).unwrap_or_default();
    errors.extend(one_of(kind, &HOST_PATH_TYPES, &path.child("type")));
    errors
}

fn files(source: &Value, path: &Path) -> Errors {
    let mut errors: Errors = mode(source, "defaultMode", path).into_iter().collect();
    errors.extend(items(source, path));
    errors
}

fn items(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
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
        Some(place) => non_reserved_path(place, &field),
    }
}

/// A path below where it starts that also leaves `..data` and the like to the kubelet.
fn non_reserved_path(place: &str, path: &Path) -> Errors {
    let mut errors = local_path(place, path);
    if place.starts_with("..") && !place.starts_with("../") {
        errors.push(Error::invalid(path, place, "must not start with '..'"));
    }
    errors
}

fn mode(object: &Value, field: &str, path: &Path) -> Option<Error> {
    let mode = object.int_at(&[field]).filter(|mode| !(0..=MAX_FILE_MODE).contains(mode))?;
    let detail = "must be a number between 0 and 0777 (octal), both inclusive";
    Some(Error::invalid(&path.child(field), mode, detail))
}

fn downward(source: &Value, path: &Path) -> Errors {
    let mut errors: Errors = mode(source, "defaultMode", path).into_iter().collect();
    // Upstream's paths name no index here.
    errors.extend(source.items_at(&["items"]).iter().flat_map(|item| downward_file(item, path)));
    errors
}

fn downward_file(item: &Value, path: &Path) -> Errors {
    let mut errors = file_path(item, path);
    let [field, resource] = ["fieldRef", "resourceFieldRef"].map(|name| item.get(name).filter(|r| !r.is_null()));
    match (field, resource) {
        (Some(reference), other) => {
            errors.extend(env::field_reference(reference, false, &path.child("fieldRef")));
            if other.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(Error::invalid(path, "resource", detail));
            }
        }
        (None, Some(reference)) => {
            errors.extend(env::resource_reference(reference, true, &path.child("resourceFieldRef")));
        }
        (None, None) => {
            errors.push(Error::required(path, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    errors.extend(mode(item, "mode", path));
    errors
}

fn projected(source: &Value, path: &Path) -> Errors {
    let mut errors: Errors = mode(source, "defaultMode", path).into_iter().collect();
    let mut paths: Vec<String> = Vec::new();
    for (i, part) in source.items_at(&["sources"]).iter().enumerate() {
        let source_path = path.child("sources").index(i);
        let present = |kind: &&str| part.get(kind).is_some_and(|inner| !inner.is_null());
        let kinds: Vec<&str> = PROJECTED.into_iter().filter(present).collect();
        for kind in &kinds {
            let inner = part.get(kind).unwrap_or(&Value::Null);
            errors.extend(projection(kind, inner, path, &source_path.child(kind)));
            errors.extend(conflicts(kind, inner, &mut paths, path));
        }
        if kinds.len() > 1 {
            errors.push(Error::forbidden(&source_path, "may not specify more than 1 volume type per source"));
        }
    }
    errors
}

fn projection(kind: &str, inner: &Value, volume: &Path, path: &Path) -> Errors {
    match kind {
        "secret" | "configMap" => {
            let mut errors = needs(inner, &["name"], path);
            errors.extend(items(inner, path));
            errors
        }
        "downwardAPI" => inner.items_at(&["items"]).iter().flat_map(|item| downward_file(item, path)).collect(),
        "serviceAccountToken" => token(inner, volume, path),
        "clusterTrustBundle" => trust_bundle(inner, path),
        _ => pod_certificate(inner, path),
    }
}

/// Files of all sources lie in one directory: no name may come twice.
fn conflicts(kind: &str, inner: &Value, paths: &mut Vec<String>, volume: &Path) -> Errors {
    let mut errors = Errors::new();
    let own = |item: &Value| filled(item, "path").map(str::to_owned);
    let files: Vec<String> = match kind {
        "secret" | "configMap" | "downwardAPI" => inner.items_at(&["items"]).iter().filter_map(own).collect(),
        "clusterTrustBundle" => own(inner).into_iter().collect(),
        _ => Vec::new(),
    };
    for file in files {
        if paths.contains(&file) {
            let shown = if kind == "secret" || kind == "configMap" {
                inner.str_at(&["name"]).unwrap_or_default()
            } else {
                &file
            };
            errors.push(Error::invalid(volume, shown, "conflicting duplicate paths"));
        } else {
            paths.push(file);
        }
    }
    errors
}

fn token(source: &Value, volume: &Path, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(seconds) = source.int_at(&["expirationSeconds"]) {
        let field = path.child("expirationSeconds");
        if seconds < 600 {
            errors.push(Error::invalid(&field, seconds, "may not specify a duration less than 10 minutes"));
        } else if seconds > 1 << 32 {
            errors.push(Error::invalid(&field, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
    // Upstream names the volume's path here, not the source's.
    errors.extend(file_path(source, volume));
    errors
}

fn trust_bundle(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match (source.str_at(&["name"]), source.str_at(&["signerName"])) {
        (Some(_), Some(_)) => {
            let detail = "only one of name and signerName may be used";
            errors.push(Error::invalid(path, source.clone(), detail));
        }
        (Some(name), None) => {
            if name.is_empty() {
                errors.push(Error::required(&path.child("name"), "must be a valid object name"));
            }
            let problems = names::is_dns1123_subdomain(name.rsplit(':').next().unwrap_or(name));
            errors.extend(problems.into_iter().map(|m| {
                Error::invalid(&path.child("name"), name, format!("not a valid clustertrustbundlename: {m}"))
            }));
            if let Some(selector) = source.get("labelSelector").filter(|selector| !selector.is_null()) {
                let detail = "labelSelector must be unset if name is specified";
                errors.push(Error::invalid(&path.child("labelSelector"), selector.clone(), detail));
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.push(Error::required(&path.child("signerName"), "must be a valid signer name"));
            }
            errors.extend(label_selector(source.get("labelSelector"), &path.child("labelSelector")));
        }
        (None, None) => errors.push(Error::required(path, "either name or signerName must be specified")),
    }
    errors.extend(file_path(source, path));
    errors
}

fn pod_certificate(source: &Value, path: &Path) -> Errors {
    let mut errors = needs(source, &["signerName"], path);
    let kinds = ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];
    let kind = source.str_at(&["keyType"]).unwrap_or_default();
    errors.extend(one_of(kind, &kinds, &path.child("keyType")));
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        if let Some(place) = filled(source, field) {
            errors.extend(non_reserved_path(place, &path.child(field)));
        }
    }
    errors
}

fn csi(source: &Value, path: &Path) -> Errors {
    let mut errors = csi_driver_name(source.str_at(&["driver"]).unwrap_or_default(), &path.child("driver"));
    if let Some(reference) = source.get("nodePublishSecretRef").filter(|reference| !reference.is_null()) {
        match filled(reference, "name") {
            None => errors.push(Error::required(&path.child("nodePublishSecretRef.name"), "")),
            // Upstream's path leaves the reference out.
            Some(name) => errors.extend(text(names::is_dns1123_subdomain, name, &path.child("name"))),
        }
    }
    errors
}

fn ephemeral(source: &Value, path: &Path) -> Errors {
    let path = path.child("volumeClaimTemplate");
    let Some(template) = source.get("volumeClaimTemplate").filter(|template| !template.is_null()) else {
        return vec![Error::required(&path, "")];
    };
    let metadata = path.child("metadata");
    let mut errors = annotations(meta::annotations(template), &metadata.child("annotations"));
    errors.extend(labels(meta::labels(template), &metadata.child("labels")));
    let given = |field: &&&str| match template.at(&["metadata", field]) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(number @ Value::Int(_)) => !is_zero(Some(number)),
        Some(_) => true,
    };
    let others = CLAIM_METADATA.iter().filter(given);
    errors.extend(others.map(|field| {
        let shown = if *field == "uid" { "uID" } else { field };
        Error::forbidden(&metadata.child(shown), "cannot be set")
    }));
    let spec = template.get("spec").unwrap_or(&Value::Null);
    errors.extend(crate::core::persistent_volume_claim::claim_spec(spec, &path.child("spec")));
    errors
}
