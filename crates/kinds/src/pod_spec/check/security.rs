//! Security contexts of pods and containers.

use std::sync::LazyLock;

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names, value};
use regex::Regex;

use super::containers::local_path as local_path_of;
use super::windows;
use crate::go_shape::shown;
use crate::pod_spec::default::CONTAINER_LISTS;
use crate::validate::one_of;

const CONTEXT: &str = "io.k8s.api.core.v1.SecurityContext";
const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const SYSCTL_MAX_LENGTH: usize = 253;
/// The longest path of a profile.
const MAX_PROFILE_BYTES: usize = 4095;
/// Sysctls that belong to the namespaces that a pod may share with the node.
const NET_SYSCTLS: &str = "net.";
const IPC_SYSCTLS: [&str; 3] = ["kernel.shm", "kernel.msg", "fs.mqueue."];

/// What is wrong with the security context of a pod.
pub(super) fn pod(spec: &Value, spec_path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(context) = spec.get("securityContext").filter(|context| !context.is_null()) else { return errors };
    let path = spec_path.child("securityContext");
    errors.extend(user(context, "fsGroup", &path));
    errors.extend(user(context, "runAsUser", &path));
    errors.extend(user(context, "runAsGroup", &path));
    for (i, group) in context.items_at(&["supplementalGroups"]).iter().filter_map(Value::as_i64).enumerate() {
        let path = path.child("supplementalGroups").index(i);
        errors.extend(names::is_user_id(group).into_iter().map(|m| Error::invalid(&path, group, m)));
    }
    let truth = |field: &str| spec.bool_at(&[field]) == Some(true);
    if truth("shareProcessNamespace") && truth("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    errors.extend(sysctls(spec, context.items_at(&["sysctls"]), &path.child("sysctls")));
    let policy = context.str_at(&["fsGroupChangePolicy"]);
    errors.extend(policy.and_then(|p| one_of(p, &["Always", "OnRootMismatch"], &path.child("fsGroupChangePolicy"))));
    errors.extend(seccomp_profile(context, &path));
    errors.extend(windows::options(context, &path));
    errors.extend(app_armor_profile(context, &path));
    let policy = context.str_at(&["supplementalGroupsPolicy"]);
    errors.extend(policy.and_then(|p| one_of(p, &["Merge", "Strict"], &path.child("supplementalGroupsPolicy"))));
    let policy = context.str_at(&["seLinuxChangePolicy"]);
    errors.extend(policy.and_then(|p| one_of(p, &["MountOption", "Recursive"], &path.child("seLinuxChangePolicy"))));
    errors
}

/// What is wrong with the security context of a container.
pub(super) fn container(context: Option<&Value>, spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(context) = context.filter(|context| !context.is_null()) else { return errors };
    errors.extend(user(context, "runAsUser", path));
    errors.extend(user(context, "runAsGroup", path));
    let mount = context.str_at(&["procMount"]);
    errors.extend(mount.and_then(|m| one_of(m, &["Default", "Unmasked"], &path.child("procMount"))));
    if mount == Some("Unmasked") && spec.bool_at(&["hostUsers"]) != Some(false) {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        errors.push(Error::invalid(&path.child("procMount"), "Unmasked", detail));
    }
    errors.extend(seccomp_profile(context, path));
    if context.bool_at(&["allowPrivilegeEscalation"]) == Some(false) {
        if context.bool_at(&["privileged"]) == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(path, shown(CONTEXT, context), detail));
        }
        let added = context.items_at(&["capabilities", "add"]).iter();
        for _ in added.filter(|name| name.as_str() == Some("CAP_SYS_ADMIN")) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(path, shown(CONTEXT, context), detail));
        }
    }
    errors.extend(windows::options(context, path));
    errors.extend(app_armor_profile(context, path));
    errors
}

/// What a pod in a user namespace of its own may not share with the node (KEP-127).
pub(super) fn host_users(spec: &Value, path: &Path) -> Errors {
    if spec.bool_at(&["hostUsers"]) != Some(false) {
        return Errors::new();
    }
    let shared = [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")];
    let detail = "when `hostUsers` is false";
    let used = shared.into_iter().filter(|(field, _)| spec.bool_at(&[field]) == Some(true));
    let mut errors: Errors = used.map(|(_, name)| Error::forbidden(&path.child(name), detail)).collect();
    // Owners of devices cannot be mapped.
    for list in CONTAINER_LISTS {
        let devices = |container: &Value| !container.items_at(&["volumeDevices"]).is_empty();
        for (i, _) in spec.items_at(&[list]).iter().enumerate().filter(|(_, container)| devices(container)) {
            errors.push(Error::forbidden(&path.child(list).index(i).child("volumeDevices"), detail));
        }
    }
    errors
}

fn user(context: &Value, field: &str, path: &Path) -> Errors {
    let Some(id) = context.int_at(&[field]) else { return Errors::new() };
    names::is_user_id(id).into_iter().map(|m| Error::invalid(&path.child(field), id, m)).collect()
}

fn sysctls(spec: &Value, all: &[Value], path: &Path) -> Errors {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new(SYSCTL).expect("a constant pattern, used by a test"));
    let mut errors = Errors::new();
    for (i, sysctl) in all.iter().enumerate() {
        let path = path.index(i).child("name");
        let name = sysctl.str_at(&["name"]).unwrap_or_default();
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if name.len() > SYSCTL_MAX_LENGTH || !PATTERN.is_match(name) {
            let detail = format!("must have at most {SYSCTL_MAX_LENGTH} characters and match regex {SYSCTL}");
            errors.push(Error::invalid(&path, name, detail));
        } else if all[..i].iter().any(|other| other.str_at(&["name"]) == Some(name)) {
            errors.push(Error::duplicate(&path, name));
        }
        errors.extend(host_sysctl(spec, name, &path));
    }
    errors
}

/// A sysctl of a namespace that is the node's.
fn host_sysctl(spec: &Value, name: &str, path: &Path) -> Option<Error> {
    let dotted = name.replace('/', ".");
    let shared = |field: &str| spec.bool_at(&[field]) == Some(true);
    let ipc = dotted == "kernel.sem" || IPC_SYSCTLS.iter().any(|prefix| dotted.starts_with(prefix));
    let field = if dotted.starts_with(NET_SYSCTLS) && shared("hostNetwork") {
        "hostNetwork"
    } else if ipc && shared("hostIPC") {
        "hostIPC"
    } else {
        return None;
    };
    Some(Error::invalid(path, name, format!("may not be specified when '{field}' is true")))
}

/// Which system calls are let through.
fn seccomp_profile(context: &Value, path: &Path) -> Errors {
    let Some(profile) = context.get("seccompProfile").filter(|profile| !profile.is_null()) else {
        return Errors::new();
    };
    let path = path.child("seccompProfile");
    let kind = profile.str_at(&["type"]).unwrap_or_default();
    let mut errors: Errors = profile_type(kind, "seccompProfile", &path).into_iter().collect();
    let local_path = path.child("localhostProfile");
    match (kind, profile.str_at(&["localhostProfile"])) {
        ("Localhost", None) => {
            errors.push(Error::required(&local_path, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(local)) => errors.extend(local_path_of(local, &local_path)),
        (_, Some(local)) => {
            let shown = value!({"Type": kind, "LocalhostProfile": local});
            errors.push(Error::invalid(&local_path, shown, "can only be set when seccomp type is Localhost"));
        }
        _ => {}
    }
    errors
}

/// What AppArmor lets the container do.
fn app_armor_profile(context: &Value, path: &Path) -> Errors {
    let Some(profile) = context.get("appArmorProfile").filter(|profile| !profile.is_null()) else {
        return Errors::new();
    };
    let path = path.child("appArmorProfile");
    let kind = profile.str_at(&["type"]).unwrap_or_default();
    let mut errors: Errors = profile_type(kind, "appArmorProfile", &path).into_iter().collect();
    let local_path = path.child("localhostProfile");
    match (kind, profile.str_at(&["localhostProfile"])) {
        ("Localhost", local) => errors.extend(app_armor_local(local, &local_path)),
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            errors.push(Error::invalid(&local_path, local, "can only be set when AppArmor type is Localhost"));
        }
        _ => {}
    }
    errors
}

fn profile_type(kind: &str, field: &str, path: &Path) -> Option<Error> {
    let path = path.child("type");
    match kind {
        "" => Some(Error::required(&path, format!("type is required when {field} is set"))),
        kind => one_of(kind, &["Localhost", "RuntimeDefault", "Unconfined"], &path),
    }
}

fn app_armor_local(profile: Option<&str>, path: &Path) -> Errors {
    let missing = "must be set when AppArmor type is Localhost";
    let Some(profile) = profile else { return vec![Error::required(path, missing)] };
    let mut errors = Errors::new();
    if profile.trim() != profile {
        errors.push(Error::invalid(path, profile, "must not be padded with whitespace"));
    } else if profile.is_empty() {
        errors.push(Error::required(path, missing));
    }
    if profile.len() > MAX_PROFILE_BYTES {
        errors.push(Error::too_long(path, MAX_PROFILE_BYTES));
    }
    errors
}
