//! What the level `restricted` forbids beyond `baseline`: whatever a hardened pod can do without (Pod Security
//! Standards).

use std::collections::BTreeSet;

use machinery::{Object, Value};

use super::pod::{Pod, Violation, distinct, kind, listed, name, plural, quoted, security, setters};
use super::policy::Version;

/// Volume types that are no door to the node.
const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const SECCOMP: [&str; 1] = ["seccompProfile"];

fn violation(reason: &'static str, detail: String) -> Option<Violation> {
    Some(Violation { reason, detail })
}

/// Before 1.22 the level asked no more than baseline.
pub(super) fn default_capabilities(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(22) { None } else { super::baseline::capabilities(pod, version) }
}

/// Before 1.19 the level asked no more than baseline.
pub(super) fn default_seccomp(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(19) { None } else { super::baseline::seccomp(pod, version) }
}

pub(super) fn privilege_escalation(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if spares_windows(pod, version) || !version.has(8) {
        return None;
    }
    let path = ["allowPrivilegeEscalation"];
    let containers = pod.containers_where(|c| security(c, &path).and_then(Value::as_bool) != Some(false));
    let detail =
        format!("{} must set securityContext.allowPrivilegeEscalation=false", listed("container", &containers));
    if containers.is_empty() { None } else { violation("allowPrivilegeEscalation != false", detail) }
}

pub(super) fn capabilities(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if spares_windows(pod, version) || !version.has(22) {
        return None;
    }
    let list = |c: &Value, field: &str| -> Vec<String> {
        let list = security(c, &["capabilities", field]).and_then(Value::as_array).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let added = |c: &Value| -> Vec<String> {
        list(c, "add").into_iter().filter(|capability| capability != "NET_BIND_SERVICE").collect()
    };
    let keeping = pod.containers_where(|c| !list(c, "drop").iter().any(|capability| capability == "ALL"));
    let adding = pod.containers_where(|c| !added(c).is_empty());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", listed("container", &keeping)));
    }
    if !adding.is_empty() {
        let names: BTreeSet<String> = pod.containers().flat_map(added).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            listed("container", &adding),
            quoted(&names)
        ));
    }
    if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn volumes(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let kind = |volume: &'_ Value| -> Option<String> {
        if VOLUMES.iter().any(|field| volume.get(field).is_some_and(|source| !source.is_null())) {
            return None;
        }
        let sources = volume.as_object().into_iter().flat_map(Object::iter);
        let source = sources.filter(|(field, value)| *field != "name" && !value.is_null()).map(|(field, _)| field);
        source.into_iter().next().map(ToString::to_string)
    };
    let names: Vec<&str> = pod.volumes().iter().filter(|volume| kind(volume).is_some()).map(name).collect();
    let kinds: BTreeSet<String> = pod.volumes().iter().filter_map(kind).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let detail = format!(
        "{} {} {} {}",
        listed("volume", &names),
        if names.len() == 1 { "uses" } else { "use" },
        plural("restricted volume type", kinds.len()),
        quoted(&kinds)
    );
    if names.is_empty() { None } else { violation("restricted volume types", detail) }
}

/// Before 1.35 the level asked no more than baseline.
pub(super) fn default_proc_mount(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(35) { None } else { super::baseline::proc_mount(pod, version) }
}

/// Without the exception that baseline makes for pods with users of their own.
pub(super) fn proc_mount(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(35) { super::baseline::masked_proc_mount(pod) } else { None }
}

/// Since 1.35 pods with users of their own may be root: that is nobody outside (KEP-127).
fn spares_own_users(pod: Pod<'_>, version: Version) -> bool {
    version.has(35) && pod.has_own_users()
}

pub(super) fn non_root(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if spares_own_users(pod, version) {
        return None;
    }
    let own = pod.security(&["runAsNonRoot"]).and_then(Value::as_bool);
    let of = |c: &Value| security(c, &["runAsNonRoot"]).and_then(Value::as_bool);
    let who = setters(own == Some(false), &pod.containers_where(|c| of(c) == Some(false)));
    let reason = "runAsNonRoot != true";
    if !who.is_empty() {
        return violation(reason, format!("{} must not set securityContext.runAsNonRoot=false", who.join(" and ")));
    }
    let silent = if own == Some(true) { Vec::new() } else { pod.containers_where(|c| of(c).is_none()) };
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", listed("container", &silent));
    if silent.is_empty() { None } else { violation(reason, detail) }
}

pub(super) fn root_user(pod: Pod<'_>, version: Version) -> Option<Violation> {
    let own = pod.security(&["runAsUser"]).and_then(Value::as_i64) == Some(0);
    let containers = pod.containers_where(|c| security(c, &["runAsUser"]).and_then(Value::as_i64) == Some(0));
    let who = setters(own, &containers);
    let detail = format!("{} must not set runAsUser=0", who.join(" and "));
    if who.is_empty() || !version.has(23) || spares_own_users(pod, version) {
        None
    } else {
        violation("runAsUser=0", detail)
    }
}

pub(super) fn seccomp(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if spares_windows(pod, version) || !version.has(19) {
        return None;
    }
    if let Some(bad) = bad_seccomp(pod) {
        return Some(bad);
    }
    let silent = if pod.security(&SECCOMP).is_some() {
        Vec::new()
    } else {
        pod.containers_where(|c| security(c, &SECCOMP).is_none())
    };
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        listed("container", &silent)
    );
    if silent.is_empty() { None } else { violation("seccompProfile", detail) }
}

/// What both levels forbid: to switch the filter off.
pub(super) fn bad_seccomp(pod: Pod<'_>) -> Option<Violation> {
    let bad = |profile: &Value| !matches!(kind(profile), "RuntimeDefault" | "Localhost");
    let own = pod.security(&SECCOMP).filter(|value| bad(value));
    let containers = pod.containers_where(|c| security(c, &SECCOMP).is_some_and(bad));
    let who = setters(own.is_some(), &containers);
    let values = own.into_iter().chain(pod.containers().filter_map(|c| security(c, &SECCOMP)).filter(|v| bad(v)));
    let values = distinct(values.map(kind));
    let detail =
        format!("{} must not set securityContext.seccompProfile.type to {}", who.join(" and "), quoted(&values));
    if who.is_empty() { None } else { violation("seccompProfile", detail) }
}

/// Since 1.25 pods that say they are for Windows are spared what Windows does not have.
fn spares_windows(pod: Pod<'_>, version: Version) -> bool {
    version.has(25) && pod.is_windows()
}
