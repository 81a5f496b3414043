//! Users, capabilities, namespaces and profiles of sandboxes and containers.

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, PodSecurityContext, SELinuxOptions, SeccompProfile};

use super::spec;
use crate::proto::cri::security_profile::ProfileType;
use crate::proto::cri::*;

/// Paths of /proc and /sys that a container without privilege does not see, and those that it may not write.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
];
const MASKED_SYS: [&str; 2] = ["/sys/firmware", "/sys/devices/virtual/powercap"];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the image says about its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// A number.
    pub uid: Option<i64>,
    /// Or a name.
    pub name: String,
}

/// The sandbox's security.
#[must_use]
pub fn sandbox(pod: &Pod) -> LinuxSandboxSecurityContext {
    let context = pod_context(pod);
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        run_as_user: context.run_as_user.map(|value| Int64Value { value }),
        run_as_group: context.run_as_group.filter(|_| context.run_as_user.is_some()).map(|value| Int64Value { value }),
        supplemental_groups: groups(context, &[]),
        supplemental_groups_policy: groups_policy(context),
        privileged: spec::containers(pod).any(|(_, container)| is_privileged(container)),
        seccomp: Some(profile(ProfileType::RuntimeDefault, "")),
        selinux_options: selinux(context.se_linux_options.as_ref()),
        ..LinuxSandboxSecurityContext::default()
    }
}

/// A container's security.
///
/// # Errors
/// The message of `CreateContainerConfigError` when the container must not run as root and would.
pub fn container(
    pod: &Pod,
    container: &Container,
    image: &ImageUser,
    seccomp_dir: &std::path::Path,
    volume_groups: &[i64],
) -> Result<LinuxContainerSecurityContext, String> {
    let shared = pod_context(pod);
    let own = container.security_context.as_ref();
    let user = own.and_then(|own| own.run_as_user).or(shared.run_as_user);
    let group = own.and_then(|own| own.run_as_group).or(shared.run_as_group);
    if own.and_then(|own| own.run_as_non_root).or(shared.run_as_non_root) == Some(true) {
        verify_not_root(pod, container, user, image)?;
    }
    let privileged = is_privileged(container);
    let seccomp = own.and_then(|own| own.seccomp_profile.as_ref()).or(shared.seccomp_profile.as_ref());
    let apparmor = own.and_then(|own| own.app_armor_profile.as_ref()).or(shared.app_armor_profile.as_ref());
    let unmasked = privileged || own.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked");
    let paths =
        |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(|path| (*path).to_owned()).collect() };
    Ok(LinuxContainerSecurityContext {
        capabilities: Some(capabilities(container)),
        privileged,
        namespace_options: Some(namespaces(pod)),
        run_as_user: user.or(image.uid).map(|value| Int64Value { value }),
        run_as_username: if user.or(image.uid).is_none() { image.name.clone() } else { String::new() },
        run_as_group: group.map(|value| Int64Value { value }),
        readonly_rootfs: own.and_then(|own| own.read_only_root_filesystem).unwrap_or(false),
        supplemental_groups: groups(shared, volume_groups),
        supplemental_groups_policy: groups_policy(shared),
        no_new_privs: own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        masked_paths: paths(&[MASKED.as_slice(), &MASKED_SYS].concat()),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(seccomp_profile(seccomp, privileged, seccomp_dir)),
        selinux_options: selinux(
            own.and_then(|own| own.se_linux_options.as_ref()).or(shared.se_linux_options.as_ref()),
        ),
        apparmor: apparmor.filter(|_| !privileged).map(apparmor_profile),
        apparmor_profile: apparmor.filter(|_| !privileged).map(apparmor_name).unwrap_or_default(),
        ..LinuxContainerSecurityContext::default()
    })
}

/// Whether the container has all of the node's powers.
#[must_use]
pub fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|own| own.privileged).unwrap_or(false)
}

/// The namespaces that the pod shares with the node or among its containers.
#[must_use]
pub fn namespaces(pod: &Pod) -> NamespaceOption {
    let pod_spec = spec::spec(pod);
    let node_or = |host: Option<bool>, other: NamespaceMode| {
        if host.unwrap_or(false) { NamespaceMode::Node as i32 } else { other as i32 }
    };
    let shared = pod_spec.share_process_namespace.unwrap_or(false);
    let pid = if shared { NamespaceMode::Pod } else { NamespaceMode::Container };
    NamespaceOption {
        network: node_or(pod_spec.host_network, NamespaceMode::Pod),
        ipc: node_or(pod_spec.host_ipc, NamespaceMode::Pod),
        pid: node_or(pod_spec.host_pid, pid),
        ..NamespaceOption::default()
    }
}

fn verify_not_root(pod: &Pod, container: &Container, user: Option<i64>, image: &ImageUser) -> Result<(), String> {
    let tail = format!("(pod: \"{}\", container: {})", spec::full_name(pod), container.name);
    match (user, image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {tail}")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(format!("container has runAsNonRoot and image will run as root {tail}")),
        (None, None) if !image.name.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {tail}",
            image.name
        )),
        (None, None) => Err(format!("container has runAsNonRoot and image will run as root {tail}")),
        (None, Some(_)) => Ok(()),
    }
}

fn pod_context(pod: &Pod) -> &PodSecurityContext {
    static EMPTY: std::sync::LazyLock<PodSecurityContext> = std::sync::LazyLock::new(PodSecurityContext::default);
    spec::spec(pod).security_context.as_ref().unwrap_or(&EMPTY)
}

fn groups(context: &PodSecurityContext, more: &[i64]) -> Vec<i64> {
    let listed = context.supplemental_groups.iter().flatten().chain(context.fs_group.as_ref()).chain(more);
    let mut groups = Vec::new();
    for group in listed {
        if !groups.contains(group) {
            groups.push(*group);
        }
    }
    groups
}

fn groups_policy(context: &PodSecurityContext) -> i32 {
    match context.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict as i32,
        _ => SupplementalGroupsPolicy::Merge as i32,
    }
}

fn capabilities(container: &Container) -> Capability {
    let listed = container.security_context.as_ref().and_then(|own| own.capabilities.as_ref());
    Capability {
        add_capabilities: listed.and_then(|list| list.add.clone()).unwrap_or_default(),
        drop_capabilities: listed.and_then(|list| list.drop.clone()).unwrap_or_default(),
        add_ambient_capabilities: Vec::new(),
    }
}

fn seccomp_profile(asked: Option<&SeccompProfile>, privileged: bool, dir: &std::path::Path) -> SecurityProfile {
    if privileged {
        return profile(ProfileType::Unconfined, "");
    }
    match asked.map(|asked| asked.type_.as_str()) {
        Some("RuntimeDefault") => profile(ProfileType::RuntimeDefault, ""),
        Some("Localhost") => {
            let name = asked.and_then(|asked| asked.localhost_profile.as_deref()).unwrap_or_default();
            profile(ProfileType::Localhost, &dir.join(name).to_string_lossy())
        }
        _ => profile(ProfileType::Unconfined, ""),
    }
}

fn selinux(asked: Option<&SELinuxOptions>) -> Option<SeLinuxOption> {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    asked.map(|asked| SeLinuxOption {
        user: part(&asked.user),
        role: part(&asked.role),
        r#type: part(&asked.type_),
        level: part(&asked.level),
    })
}

fn apparmor_profile(asked: &AppArmorProfile) -> SecurityProfile {
    match asked.type_.as_str() {
        "RuntimeDefault" => profile(ProfileType::RuntimeDefault, ""),
        "Localhost" => profile(ProfileType::Localhost, asked.localhost_profile.as_deref().unwrap_or_default()),
        _ => profile(ProfileType::Unconfined, ""),
    }
}

/// The profile in the form that runtimes read before they knew `apparmor`.
fn apparmor_name(asked: &AppArmorProfile) -> String {
    match asked.type_.as_str() {
        "RuntimeDefault" => "runtime/default".to_owned(),
        "Localhost" => format!("localhost/{}", asked.localhost_profile.as_deref().unwrap_or_default()),
        _ => "unconfined".to_owned(),
    }
}

fn profile(kind: ProfileType, reference: &str) -> SecurityProfile {
    SecurityProfile { profile_type: kind as i32, localhost_ref: reference.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn root_is_refused_where_it_must_not_be() {
        let image = |uid, name: &str| ImageUser { uid, name: name.into() };
        let cases = [
            (
                json!({"runAsNonRoot": true}),
                image(Some(0), ""),
                Err("container has runAsNonRoot and image will run as root"),
            ),
            (json!({"runAsNonRoot": true}), image(Some(7), ""), Ok(7)),
            (json!({"runAsNonRoot": true, "runAsUser": 5}), image(Some(0), ""), Ok(5)),
            (
                json!({"runAsNonRoot": true, "runAsUser": 0}),
                image(None, ""),
                Err("container's runAsUser breaks non-root policy"),
            ),
            (
                json!({"runAsNonRoot": true}),
                image(None, "web"),
                Err("container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root"),
            ),
        ];
        for (context, image, expected) in cases {
            let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
                "spec": {"containers": [{"name": "c", "securityContext": context}]}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            let found = container(&pod, &spec::spec(&pod).containers[0], &image, "/s".as_ref(), &[]);
            let found = found.map(|found| found.run_as_user.unwrap().value);
            let expected = expected.map_err(|text| format!("{text} (pod: \"p_n(u)\", container: c)"));
            assert_eq!(found, expected);
        }
    }
    #[test]
    fn labels_and_profiles_come_from_the_container_then_from_the_pod() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {
            "securityContext": {
                "seLinuxOptions": {"level": "s0:c1"},
                "appArmorProfile": {"type": "Localhost", "localhostProfile": "rower"}},
            "containers": [
                {"name": "plain"},
                {"name": "own", "securityContext": {
                    "seLinuxOptions": {"type": "spc_t"}, "appArmorProfile": {"type": "RuntimeDefault"}}},
                {"name": "mighty", "securityContext": {"privileged": true}}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let found: Vec<String> = spec::spec(&pod)
            .containers
            .iter()
            .map(|one| {
                let found = container(&pod, one, &ImageUser::default(), "/s".as_ref(), &[]).unwrap();
                let selinux = found.selinux_options.unwrap();
                format!("{}: {} {} {:?}", one.name, selinux.r#type, selinux.level, found.apparmor_profile)
            })
            .collect();
        assert_eq!(
            found,
            [r#"plain:  s0:c1 "localhost/rower""#, r#"own: spc_t  "runtime/default""#, r#"mighty:  s0:c1 """#]
        );
    }
}
