//! What the level `baseline` forbids: the known ways out of a container (Pod Security Standards).

use std::collections::BTreeSet;

use machinery::field::quote;
use machinery::{Object, Value};

use super::pod::{Pod, Violation, distinct, kind, listed, name, plural, quoted, security, setters};
use super::policy::Version;

const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/";
const SELINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t"];
/// Sysctls that are safe, and since which minor version they count as such.
const SYSCTLS: &[(&str, u32)] = &[
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn violation(reason: &'static str, detail: String) -> Option<Violation> {
    Some(Violation { reason, detail })
}

pub(super) fn app_armor(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let wrong = |profile: &Value| !matches!(kind(profile), "RuntimeDefault" | "Localhost");
    let path = ["appArmorProfile"];
    let own = pod.security(&path).filter(|profile| wrong(profile));
    let containers = pod.containers_where(|c| security(c, &path).is_some_and(wrong));
    let mut annotated: Vec<String> = pod
        .annotations
        .into_iter()
        .flat_map(Object::iter)
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !is_good_annotation(value))
        .map(|(key, value)| format!("{key}={}", quote(value)))
        .collect();
    annotated.sort();
    let mut who = setters(own.is_some(), &containers);
    if !annotated.is_empty() {
        who.push(plural("annotation", annotated.len()));
    }
    let profiles = pod.containers().filter_map(|c| security(c, &path)).filter(|profile| wrong(profile)).chain(own);
    let mut values = distinct(profiles.map(kind));
    values.extend(annotated.iter().map(String::as_str));
    let reason = if values.len() == 1 { "forbidden AppArmor profile" } else { "forbidden AppArmor profiles" };
    let detail = format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(&values));
    if who.is_empty() { None } else { violation(reason, detail) }
}

fn is_good_annotation(profile: &str) -> bool {
    profile.is_empty() || profile == "runtime/default" || profile.starts_with("localhost/")
}

pub(super) fn capabilities(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let added = |container: &Value| -> Vec<String> {
        let added = security(container, &["capabilities", "add"]).and_then(Value::as_array).unwrap_or_default();
        let added = added.iter().filter_map(Value::as_str).filter(|name| !CAPABILITIES.contains(name));
        added.map(str::to_owned).collect()
    };
    let containers = pod.containers_where(|container| !added(container).is_empty());
    let names: BTreeSet<String> = pod.containers().flat_map(added).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        listed("container", &containers),
        quoted(&names)
    );
    if containers.is_empty() { None } else { violation("non-default capabilities", detail) }
}

pub(super) fn host_namespaces(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let set = |field: &&str| pod.spec.bool_at(&[field]) == Some(true);
    let fields = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(set);
    let shown: Vec<String> = fields.map(|field| format!("{field}=true")).collect();
    if shown.is_empty() { None } else { violation("host namespaces", shown.join(", ")) }
}

pub(super) fn host_path(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let volumes: Vec<&str> = pod.volumes().iter().filter(|v| v.get("hostPath").is_some()).map(name).collect();
    if volumes.is_empty() { None } else { violation("hostPath volumes", listed("volume", &volumes)) }
}

pub(super) fn host_ports(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let ports = |container: &Value| -> Vec<i64> {
        let ports = container.items_at(&["ports"]).iter().filter_map(|port| port.int_at(&["hostPort"]));
        ports.filter(|port| *port != 0).collect()
    };
    let containers = pod.containers_where(|container| !ports(container).is_empty());
    let used: BTreeSet<String> = pod.containers().flat_map(ports).map(|port| port.to_string()).collect();
    let detail = format!(
        "{} {} {} {}",
        listed("container", &containers),
        if containers.len() == 1 { "uses" } else { "use" },
        plural("hostPort", used.len()),
        used.into_iter().collect::<Vec<_>>().join(", ")
    );
    if containers.is_empty() { None } else { violation("hostPort", detail) }
}

/// A probe or hook that names a host lets the kubelet reach into its network (KEP-4940).
pub(super) fn host_probes(pod: Pod<'_>, version: Version) -> Option<Violation> {
    let hosts = |container: &Value| -> Vec<String> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].into_iter().filter_map(|p| container.get(p));
        let hooks = ["postStart", "preStop"].into_iter().filter_map(|hook| container.at(&["lifecycle", hook]));
        let hosts = probes.chain(hooks).flat_map(|handler| {
            ["httpGet", "tcpSocket"].into_iter().filter_map(move |kind| handler.str_at(&[kind, "host"]))
        });
        hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect()
    };
    let containers = distinct(pod.containers_where(|container| !hosts(container).is_empty()));
    if containers.is_empty() || !version.has(34) {
        return None;
    }
    let used: BTreeSet<String> = pod.containers().flat_map(hosts).collect();
    let detail = format!(
        "{} {} {} {}",
        listed("container", &containers),
        if containers.len() == 1 { "uses" } else { "use" },
        plural("probe or lifecycle host", used.len()),
        quoted(&used.iter().map(String::as_str).collect::<Vec<_>>())
    );
    violation("probe or lifecycle host", detail)
}

pub(super) fn privileged(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let privileged = |c: &Value| security(c, &["privileged"]).and_then(Value::as_bool) == Some(true);
    let containers = pod.containers_where(privileged);
    let detail = format!("{} must not set securityContext.privileged=true", listed("container", &containers));
    if containers.is_empty() { None } else { violation("privileged", detail) }
}

/// Pods with users of their own may see all of `/proc` since 1.35 (KEP-4265).
pub(super) fn proc_mount(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(35) && pod.has_own_users() { None } else { masked_proc_mount(pod) }
}

pub(super) fn masked_proc_mount(pod: Pod<'_>) -> Option<Violation> {
    let kind = |c: &Value| {
        security(c, &["procMount"]).and_then(Value::as_str).filter(|kind| *kind != "Default").map(str::to_owned)
    };
    let containers = pod.containers_where(|container| kind(container).is_some());
    let kinds: BTreeSet<String> = pod.containers().filter_map(kind).collect();
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let detail =
        format!("{} must not set securityContext.procMount to {}", listed("container", &containers), quoted(&kinds));
    if containers.is_empty() { None } else { violation("procMount", detail) }
}

pub(super) fn selinux(pod: Pod<'_>, version: Version) -> Option<Violation> {
    let kind = |o: &Value| text(o, "type");
    let allowed = |kind: &str| SELINUX_TYPES.contains(&kind) || (kind == "container_engine_t" && version.has(31));
    let bad = |o: &Value| !allowed(&kind(o)) || !text(o, "user").is_empty() || !text(o, "role").is_empty();
    let own = pod.security(&["seLinuxOptions"]).filter(|options| bad(options));
    let containers = pod.containers_where(|c| security(c, &["seLinuxOptions"]).is_some_and(bad));
    let who = setters(own.is_some(), &containers);
    if who.is_empty() {
        return None;
    }
    let all: Vec<&Value> =
        own.into_iter().chain(pod.containers().filter_map(|c| security(c, &["seLinuxOptions"]))).collect();
    let types: BTreeSet<String> = all.iter().map(|options| kind(options)).filter(|kind| !allowed(kind)).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let mut what: Vec<String> = if types.is_empty() { vec![] } else { vec![listed("type", &types)] };
    for field in ["user", "role"] {
        if all.iter().any(|options| !text(options, field).is_empty()) {
            what.push(format!("{field} may not be set"));
        }
    }
    let detail = format!("{} set forbidden securityContext.seLinuxOptions: {}", who.join(" and "), what.join("; "));
    violation("seLinuxOptions", detail)
}

fn text(options: &Value, field: &str) -> String {
    options.str_at(&[field]).unwrap_or_default().to_owned()
}

pub(super) fn seccomp(pod: Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(19) { super::restricted::bad_seccomp(pod) } else { annotated_seccomp(pod) }
}

/// Before 1.19 the filter was chosen by annotations.
fn annotated_seccomp(pod: Pod<'_>) -> Option<Violation> {
    let good =
        |profile: &str| matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/");
    let keys = pod.containers().map(|container| format!("container.{SECCOMP_ANNOTATION}{}", name(container)));
    let keys: BTreeSet<String> = keys.chain([format!("{SECCOMP_ANNOTATION}pod")]).collect();
    let set = |key: &String| Some((key.clone(), pod.annotations?.get(key)?.as_str()?));
    let bad = keys.iter().filter_map(set).filter(|(_, profile)| !good(profile));
    let bad: Vec<String> = bad.map(|(key, profile)| format!("{key}={}", quote(profile))).collect();
    let detail = format!("forbidden {} {}", plural("annotation", bad.len()), bad.join(", "));
    if bad.is_empty() { None } else { violation("seccompProfile", detail) }
}

pub(super) fn sysctls(pod: Pod<'_>, version: Version) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(safe, since)| *safe == name && version.has(*since));
    let set = pod.security(&["sysctls"]).and_then(Value::as_array).unwrap_or_default();
    let bad: Vec<&str> = set.iter().map(name).filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { violation("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn windows_host_process(pod: Pod<'_>, _: Version) -> Option<Violation> {
    let path = ["windowsOptions", "hostProcess"];
    let own = pod.security(&path).and_then(Value::as_bool) == Some(true);
    let containers = pod.containers_where(|c| security(c, &path).and_then(Value::as_bool) == Some(true));
    let who = setters(own, &containers);
    let detail = format!("{} must not set securityContext.windowsOptions.hostProcess=true", who.join(" and "));
    if who.is_empty() { None } else { violation("hostProcess", detail) }
}
