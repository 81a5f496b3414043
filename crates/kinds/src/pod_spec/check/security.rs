//! Security contexts of pods and containers.

use std::sync::LazyLock;

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};
use regex::Regex;

use super::filled;
use crate::validate::{one_of, required};

const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const SYSCTL_MAX_LENGTH: usize = 253;

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
    errors.extend(sysctls(context.items_at(&["sysctls"]), &path.child("sysctls")));
    let policy = filled(context, "fsGroupChangePolicy");
    errors.extend(policy.and_then(|p| one_of(p, &["Always", "OnRootMismatch"], &path.child("fsGroupChangePolicy"))));
    errors.extend(profiles(context, &path));
    let policy = filled(context, "supplementalGroupsPolicy");
    errors.extend(policy.and_then(|p| one_of(p, &["Merge", "Strict"], &path.child("supplementalGroupsPolicy"))));
    errors
}

/// What is wrong with the security context of a container.
pub(super) fn container(context: Option<&Value>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(context) = context.filter(|context| !context.is_null()) else { return errors };
    errors.extend(user(context, "runAsUser", path));
    errors.extend(user(context, "runAsGroup", path));
    let mount = filled(context, "procMount");
    errors.extend(mount.and_then(|m| one_of(m, &["Default", "Unmasked"], &path.child("procMount"))));
    errors.extend(profiles(context, path));
    if context.bool_at(&["allowPrivilegeEscalation"]) == Some(false) {
        if context.bool_at(&["privileged"]) == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(path, context.clone(), detail));
        }
        let added = context.items_at(&["capabilities", "add"]).iter().filter_map(Value::as_str);
        if added.into_iter().any(|name| name == "CAP_SYS_ADMIN") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(path, context.clone(), detail));
        }
    }
    errors
}

/// What a pod in a user namespace of its own may not share with the node (KEP-127).
pub(super) fn host_users(spec: &Value, path: &Path) -> Errors {
    if spec.bool_at(&["hostUsers"]) != Some(false) {
        return Errors::new();
    }
    let shared = [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")];
    let used = shared.into_iter().filter(|(field, _)| spec.bool_at(&[field]) == Some(true));
    used.map(|(_, name)| Error::forbidden(&path.child(name), "when `hostUsers` is false")).collect()
}

fn user(context: &Value, field: &str, path: &Path) -> Errors {
    let Some(id) = context.int_at(&[field]) else { return Errors::new() };
    names::is_user_id(id).into_iter().map(|m| Error::invalid(&path.child(field), id, m)).collect()
}

fn sysctls(all: &[Value], path: &Path) -> Errors {
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
    }
    errors
}

fn profiles(context: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (field, words) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        let Some(profile) = context.get(field).filter(|profile| !profile.is_null()) else { continue };
        let path = path.child(field);
        let kind = profile.str_at(&["type"]).unwrap_or_default();
        let local = filled(profile, "localhostProfile");
        let local_path = path.child("localhostProfile");
        match kind {
            "Localhost" => {
                errors.extend(required(local, &local_path, &format!("must be set when {words} type is Localhost")));
            }
            "RuntimeDefault" | "Unconfined" => {
                if let Some(local) = local {
                    let detail = format!("can only be set when {words} type is Localhost");
                    errors.push(Error::invalid(&local_path, local, detail));
                }
            }
            "" => errors.push(Error::required(&path.child("type"), "type is required when seccompProfile is set")),
            _ => errors.extend(one_of(kind, &["Localhost", "RuntimeDefault", "Unconfined"], &path.child("type"))),
        }
    }
    errors
}
