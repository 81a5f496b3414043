//! Volumes that networks, clouds and vendors bring: the in-tree sources, most of them served by CSI drivers today.

use std::sync::LazyLock;

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};
use regex::Regex;

use super::filled;
use crate::validate::metadata::sorted;
use crate::validate::{one_of, required, text};

const IQN: &str = r"^iqn\.\d{4}-\d{2}\.([[:alnum:]\-.]+)(:[^,;*&$|\s]+)$";
const EUI: &str = r"^eui\.[[:alnum:]]{16}$";
const NAA: &str = r"^naa\.[[:alnum:]]{32}$";
const HOST_AND_PORT: &str = "must be a host:port pair or multiple pairs separated by commas";
const MAX_TENANT_BYTES: usize = 64;
/// The longest `NAME:PORTAL` of a volume with an initiator of its own.
const MAX_INITIATOR_BYTES: usize = 64;

/// Whose source it is: a pod's own, or a persistent volume's, whose secrets need a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A volume of a pod.
    Pod,
    /// The persistent volume of this name.
    PersistentVolume(&'a str),
}

/// What is wrong with a source of the kind; kinds that are none of these have nothing wrong.
pub(super) fn check(kind: &str, source: &Value, owner: Owner<'_>, path: &Path) -> Errors {
    match kind {
        "gcePersistentDisk" => with_partition(source, "pdName", path),
        "awsElasticBlockStore" => with_partition(source, "volumeID", path),
        "nfs" => nfs(source, path),
        "iscsi" => iscsi(source, owner, path),
        "glusterfs" => glusterfs(source, owner, path),
        "cephfs" => needs_items(source, "monitors", path),
        "rbd" => {
            let mut errors = needs_items(source, "monitors", path);
            errors.extend(needs(source, &["image"], path));
            errors
        }
        "cinder" => {
            let mut errors = needs(source, &["volumeID"], path);
            errors.extend(secret_reference(source, owner, path));
            errors
        }
        "flexVolume" => flex(source, path),
        "flocker" => flocker(source, path),
        "fc" => fibre_channel(source, path),
        "azureFile" => azure_file(source, owner, path),
        "azureDisk" => azure_disk(source, path),
        "vsphereVolume" => needs(source, &["volumePath"], path),
        "photonPersistentDisk" => needs(source, &["pdID"], path),
        "portworxVolume" => needs(source, &["volumeID"], path),
        "scaleIO" => needs(source, &["gateway", "system", "volumeName"], path),
        "quobyte" => quobyte(source, path),
        "storageos" => storage_os(source, owner, path),
        _ => Errors::new(),
    }
}

/// The texts that must be there.
pub(super) fn needs(source: &Value, fields: &[&str], path: &Path) -> Errors {
    fields.iter().filter_map(|field| required(source.str_at(&[field]), &path.child(field), "")).collect()
}

fn needs_items(source: &Value, field: &str, path: &Path) -> Errors {
    let none = source.items_at(&[field]).is_empty();
    none.then(|| Error::required(&path.child(field), "")).into_iter().collect()
}

fn with_partition(source: &Value, name: &str, path: &Path) -> Errors {
    let mut errors = needs(source, &[name], path);
    let partition = source.int_at(&["partition"]).unwrap_or_default();
    if !(0..=255).contains(&partition) {
        errors.push(Error::invalid(&path.child("partition"), partition, names::inclusive_range(1, 255)));
    }
    errors
}

fn secret_reference(source: &Value, owner: Owner<'_>, path: &Path) -> Errors {
    let Some(reference) = source.get("secretRef").filter(|reference| !reference.is_null()) else {
        return Errors::new();
    };
    let fields: &[&str] = if owner == Owner::Pod { &["name"] } else { &["name", "namespace"] };
    needs(reference, fields, &path.child("secretRef"))
}

fn nfs(source: &Value, path: &Path) -> Errors {
    let mut errors = needs(source, &["server", "path"], path);
    let place = source.str_at(&["path"]).unwrap_or_default();
    if !place.starts_with('/') {
        errors.push(Error::invalid(&path.child("path"), place, "must be an absolute path"));
    }
    errors
}

fn iscsi(source: &Value, owner: Owner<'_>, path: &Path) -> Errors {
    let mut errors = needs(source, &["targetPortal"], path);
    let initiator = source.str_at(&["initiatorName"]);
    let portal = source.str_at(&["targetPortal"]).unwrap_or_default();
    if let (Owner::PersistentVolume(name), Some(_)) = (owner, initiator)
        && name.len() + 1 + portal.len() > MAX_INITIATOR_BYTES
    {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errors.push(Error::invalid(&path.child("targetportal"), portal, detail));
    }
    match filled(source, "iqn") {
        None => errors.push(Error::required(&path.child("iqn"), "")),
        Some(iqn) => errors.extend(iscsi_name(iqn, owner, &path.child("iqn"))),
    }
    let lun = source.int_at(&["lun"]).unwrap_or_default();
    if !(0..=255).contains(&lun) {
        errors.push(Error::invalid(&path.child("lun"), lun, names::inclusive_range(0, 255)));
    }
    let secret = source.get("secretRef").filter(|reference| !reference.is_null());
    let authenticates = ["chapAuthDiscovery", "chapAuthSession"].iter().any(|f| source.bool_at(&[f]) == Some(true));
    if authenticates && secret.is_none() {
        errors.push(Error::required(&path.child("secretRef"), ""));
    }
    if let (Owner::PersistentVolume(_), Some(secret)) = (owner, secret) {
        errors.extend(needs(secret, &["name"], &path.child("secretRef")));
    }
    errors.extend(initiator.and_then(|name| iscsi_name(name, owner, &path.child("initiatorname"))));
    errors
}

fn iscsi_name(name: &str, owner: Owner<'_>, path: &Path) -> Option<Error> {
    static FORMS: LazyLock<[(&str, Regex); 3]> = LazyLock::new(|| {
        [("iqn", IQN), ("eui", EUI), ("naa", NAA)]
            .map(|(prefix, form)| (prefix, Regex::new(form).expect("a constant pattern, used by a test")))
    });
    let detail = match FORMS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        Some((_, form)) if form.is_match(name) => return None,
        None if owner == Owner::Pod => "must be valid format starting with iqn, eui, or naa",
        _ => "must be valid format",
    };
    Some(Error::invalid(path, name, detail))
}

fn glusterfs(source: &Value, owner: Owner<'_>, path: &Path) -> Errors {
    let mut errors = needs(source, &["endpoints", "path"], path);
    let field = path.child("endpointsNamespace");
    match source.str_at(&["endpointsNamespace"]).filter(|_| owner != Owner::Pod) {
        None => {}
        Some("") => {
            let detail = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(Error::invalid(&field, "", detail));
        }
        Some(namespace) => errors.extend(text(names::is_dns1123_label, namespace, &field)),
    }
    errors
}

fn flex(source: &Value, path: &Path) -> Errors {
    let mut errors = needs(source, &["driver"], path);
    for (key, _) in sorted(source.get("options").and_then(Value::as_object)) {
        let domain = format!(".{}", key.split_once('/').map_or(key, |(domain, _)| domain).to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(Error::invalid(&path.child("options").key(key), key, detail));
        }
    }
    errors
}

fn flocker(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match (filled(source, "datasetName"), filled(source, "datasetUUID")) {
        (None, None) => errors.push(Error::required(path, "one of datasetName and datasetUUID is required")),
        (Some(_), Some(_)) => {
            let detail = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(Error::invalid(path, "resource", detail));
        }
        _ => {}
    }
    let slash = filled(source, "datasetName").filter(|name| name.contains('/'));
    errors.extend(slash.map(|name| Error::invalid(&path.child("datasetName"), name, "must not contain '/'")));
    errors
}

fn fibre_channel(source: &Value, path: &Path) -> Errors {
    let [targets, ids] = ["targetWWNs", "wwids"].map(|field| source.items_at(&[field]));
    let field = path.child("targetWWNs");
    let mut errors = Errors::new();
    if targets.is_empty() && ids.is_empty() {
        errors.push(Error::required(&field, "must specify either targetWWNs or wwids, but not both"));
    }
    if !targets.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(Error::invalid(&field, Value::Array(targets.to_vec()), detail));
    }
    match source.int_at(&["lun"]) {
        None if !targets.is_empty() => {
            errors.push(Error::required(&path.child("lun"), "lun is required if targetWWNs is specified"));
        }
        Some(lun) if !targets.is_empty() && !(0..=255).contains(&lun) => {
            errors.push(Error::invalid(&path.child("lun"), lun, names::inclusive_range(0, 255)));
        }
        _ => {}
    }
    errors
}

fn azure_file(source: &Value, owner: Owner<'_>, path: &Path) -> Errors {
    let mut errors = needs(source, &["secretName", "shareName"], path);
    if owner != Owner::Pod && source.str_at(&["secretNamespace"]) == Some("") {
        errors.push(Error::required(&path.child("secretNamespace"), ""));
    }
    errors
}

fn azure_disk(source: &Value, path: &Path) -> Errors {
    let mut errors = needs(source, &["diskName", "diskURI"], path);
    let mode = source.str_at(&["cachingMode"]);
    errors.extend(mode.and_then(|m| one_of(m, &["None", "ReadOnly", "ReadWrite"], &path.child("cachingMode"))));
    let Some(kind) = source.str_at(&["kind"]) else { return errors };
    errors.extend(one_of(kind, &["Dedicated", "Managed", "Shared"], &path.child("kind")));
    let uri = source.str_at(&["diskURI"]).unwrap_or_default();
    let (start, form) = if kind == "Managed" {
        let form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
        ("/subscriptions/", form)
    } else {
        ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
    };
    if !uri.starts_with(start) {
        errors.push(Error::not_supported(&path.child("diskURI"), uri, &[form]));
    }
    errors
}

fn quobyte(source: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let registry = source.str_at(&["registry"]).unwrap_or_default();
    let field = path.child("registry");
    if registry.is_empty() {
        errors.push(Error::required(&field, HOST_AND_PORT));
    } else if source.str_at(&["tenant"]).is_some_and(|tenant| tenant.len() > MAX_TENANT_BYTES) {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(Error::required(&path.child("tenant"), detail));
    } else {
        let wrong = registry.split(',').filter(|pair| pair.rsplit_once(':').is_none());
        errors.extend(wrong.map(|_| Error::invalid(&field, registry, HOST_AND_PORT)));
    }
    errors.extend(needs(source, &["volume"], path));
    errors
}

fn storage_os(source: &Value, owner: Owner<'_>, path: &Path) -> Errors {
    let mut errors = needs(source, &["volumeName"], path);
    for field in ["volumeName", "volumeNamespace"] {
        if let Some(name) = filled(source, field) {
            errors.extend(text(names::is_dns1123_label, name, &path.child(field)));
        }
    }
    errors.extend(secret_reference(source, owner, path));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn sources() {
        let of = |kind: &str, source: Value| {
            field::aggregate(&check(kind, &source, Owner::PersistentVolume("pv"), &Path::new(kind)))
        };
        expect_test::expect![[r#"[iscsi.targetPortal: Required value, iscsi.iqn: Invalid value: "iqn.x": must be valid format, iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive, iscsi.secretRef: Required value]"#]]
            .assert_eq(&of("iscsi", value!({"iqn": "iqn.x", "lun": 256, "chapAuthSession": true})));
        assert_eq!(of("iscsi", value!({"iqn": "iqn.2001-04.com.example:storage", "targetPortal": "a"})), "[]");
        expect_test::expect!["fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]
            .assert_eq(&of("fc", value!({})));
        expect_test::expect!["[cinder.volumeID: Required value, cinder.secretRef.namespace: Required value]"]
            .assert_eq(&of("cinder", value!({"secretRef": {"name": "s"}})));
        expect_test::expect![[r#"flexVolume.options[a.k8s.io/b]: Invalid value: "a.k8s.io/b": kubernetes.io and k8s.io namespaces are reserved"#]]
            .assert_eq(&of("flexVolume", value!({"driver": "d", "options": {"a.k8s.io/b": "c"}})));
    }
}
