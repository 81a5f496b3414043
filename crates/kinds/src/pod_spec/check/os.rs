//! What a pod says about its operating system, and what the other one does not have.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use crate::pod_spec::default::CONTAINER_LISTS;
use crate::validate::one_of;

/// Fields of a pod, with the place that messages name, that Windows does not have.
const POD_FIELDS: [(&[&str], &str); 15] = [
    (&["securityContext", "appArmorProfile"], "securityContext.appArmorProfile"),
    (&["securityContext", "seLinuxOptions"], "securityContext.seLinuxOptions"),
    (&["hostUsers"], "hostUsers"),
    (&["hostPID"], "hostPID"),
    (&["hostIPC"], "hostIPC"),
    (&["securityContext", "seccompProfile"], "securityContext.seccompProfile"),
    (&["securityContext", "fsGroup"], "securityContext.fsGroup"),
    (&["securityContext", "fsGroupChangePolicy"], "securityContext.fsGroupChangePolicy"),
    (&["securityContext", "sysctls"], "securityContext.sysctls"),
    (&["shareProcessNamespace"], "shareProcessNamespace"),
    (&["securityContext", "runAsUser"], "securityContext.runAsUser"),
    (&["securityContext", "runAsGroup"], "securityContext.runAsGroup"),
    (&["securityContext", "supplementalGroups"], "securityContext.supplementalGroups"),
    (&["securityContext", "supplementalGroupsPolicy"], "securityContext.supplementalGroupsPolicy"),
    (&["securityContext", "seLinuxChangePolicy"], "securityContext.seLinuxChangePolicy"),
];
/// Fields of a container's security context that Windows does not have.
const CONTAINER_FIELDS: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// What is wrong with the operating system of a pod spec, if it names one.
pub(super) fn check(spec: &Value, path: &Path) -> Errors {
    let Some(os) = spec.get("os").filter(|os| !os.is_null()) else { return Errors::new() };
    match os.str_at(&["name"]).unwrap_or_default() {
        "" => vec![Error::required(&path.child("os.name"), "")],
        "linux" => linux(spec, path),
        "windows" => windows(spec, path),
        name => one_of(name, &["linux", "windows"], &path.child("os")).into_iter().collect(),
    }
}

/// What is wrong with containers that run as the node itself (KEP-1981).
pub(super) fn host_process(spec: &Value, path: &Path) -> Errors {
    let wish = |object: &Value| object.bool_at(&["securityContext", "windowsOptions", "hostProcess"]);
    let pod = wish(spec);
    let (mut errors, mut count, mut privileged) = (Errors::new(), 0, 0);
    for (container, path) in containers(spec, path) {
        count += 1;
        let own = wish(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(Error::invalid(&path.child("securityContext.windowsOptions.hostProcess"), own, detail));
        }
        privileged += i32::from(own.or(pod) == Some(true));
    }
    if privileged > 0 && privileged != count {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(path, "", detail));
    }
    if privileged > 0 && spec.bool_at(&["hostNetwork"]) != Some(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(&path.child("hostNetwork"), false, detail));
    }
    errors
}

fn containers<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let mut all = Vec::new();
    for list in CONTAINER_LISTS {
        let items = spec.items_at(&[list]).iter().enumerate();
        all.extend(items.map(|(i, container)| (container, path.child(list).index(i))));
    }
    all
}

fn has(object: &Value, path: &[&str]) -> bool {
    match object.at(path) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(truth)) => *truth || !matches!(path, ["hostPID" | "hostIPC"]),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    }
}

fn linux(spec: &Value, path: &Path) -> Errors {
    let detail = "windows options cannot be set for a linux pod";
    let options = ["securityContext", "windowsOptions"];
    let places = std::iter::once((spec, path.clone())).chain(containers(spec, path));
    let set = places.filter(|(object, _)| has(object, &options));
    set.map(|(_, path)| Error::forbidden(&path.child("securityContext.windowsOptions"), detail)).collect()
}

fn windows(spec: &Value, path: &Path) -> Errors {
    let detail = "cannot be set for a windows pod";
    let mut errors: Errors = POD_FIELDS
        .iter()
        .filter(|(field, _)| has(spec, field))
        .map(|(_, shown)| Error::forbidden(&path.child(shown), detail))
        .collect();
    for (container, path) in containers(spec, path) {
        let path = path.child("securityContext");
        let set = CONTAINER_FIELDS.iter().filter(|field| has(container, &["securityContext", field]));
        errors.extend(set.map(|field| Error::forbidden(&path.child(field), detail)));
    }
    errors
}
