//! What a pod asks for, read from its spec with the defaults that an API server would have written.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodSpec};

use crate::quantity;

/// The default place of a container's last words.
pub const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// What part a container plays in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that keeps running beside the others (KEP-753).
    Sidecar,
    /// One of the pod's containers proper.
    Main,
}

/// When to start a container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whenever it ends.
    Always,
    /// When it ends with another exit code than 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// The pod's class for the kernel's choice of whom to hurt first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has equal requests and limits.
    Guaranteed,
    /// Some container has a request or limit.
    Burstable,
    /// None has.
    BestEffort,
}

impl QosClass {
    /// The API's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// The pod's name.
#[must_use]
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The pod's namespace.
#[must_use]
pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// The pod's uid.
#[must_use]
pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// `name_namespace(uid)`, as upstream names a pod in messages.
#[must_use]
pub fn full_name(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// The pod's spec; a pod of the API always has one.
#[must_use]
pub fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// All containers in the order in which they start, each with its role.
pub fn containers(pod: &Pod) -> impl Iterator<Item = (Role, &Container)> {
    let init = spec(pod).init_containers.iter().flatten().map(|container| (init_role(container), container));
    init.chain(spec(pod).containers.iter().map(|container| (Role::Main, container)))
}

/// The container of this name and its role.
#[must_use]
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<(Role, &'a Container)> {
    containers(pod).find(|(_, container)| container.name == name)
}

/// The init containers and sidecars in order.
pub fn init_containers(pod: &Pod) -> impl Iterator<Item = (Role, &Container)> {
    containers(pod).filter(|(role, _)| *role != Role::Main)
}

fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// The pod's restart policy.
#[must_use]
pub fn restart_policy(pod: &Pod) -> RestartPolicy {
    policy(spec(pod).restart_policy.as_deref())
}

fn policy(text: Option<&str>) -> RestartPolicy {
    match text {
        Some("Never") => RestartPolicy::Never,
        Some("OnFailure") => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    }
}

/// Whether a container that ended with `exit_code` starts again. A container's own policy and rules (KEP-5307) go
/// before the pod's.
#[must_use]
pub fn restarts_after(pod: &Pod, role: Role, container: &Container, exit_code: i32) -> bool {
    if role == Role::Sidecar {
        return true;
    }
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        let fits = if codes.operator == "NotIn" { !listed } else { listed };
        if fits && rule.action == "Restart" {
            return true;
        }
    }
    let own = container.restart_policy.as_deref().map(|text| policy(Some(text)));
    match own.unwrap_or_else(|| restart_policy(pod)) {
        // An init container that succeeded is done, whatever the pod's policy.
        RestartPolicy::Always => role == Role::Main || exit_code != 0,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

/// Whether the pod shares the node's network.
#[must_use]
pub fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

/// The pod's grace period.
#[must_use]
pub fn grace_seconds(pod: &Pod) -> i64 {
    spec(pod).termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS)
}

/// The container's preStop hook.
#[must_use]
pub fn pre_stop(container: &Container) -> Option<&LifecycleHandler> {
    container.lifecycle.as_ref()?.pre_stop.as_ref()
}

/// The container's postStart hook.
#[must_use]
pub fn post_start(container: &Container) -> Option<&LifecycleHandler> {
    container.lifecycle.as_ref()?.post_start.as_ref()
}

/// Whether the pod comes from a file of the node rather than from the API; then its mirror is what the API has.
#[must_use]
pub fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.iter().flatten().any(|(key, _)| key == "kubernetes.io/config.mirror")
}

/// The pod's quality of service class.
#[must_use]
pub fn qos_class(pod: &Pod) -> QosClass {
    let (mut any, mut guaranteed) = (false, true);
    for (_, container) in containers(pod) {
        let resources = container.resources.as_ref();
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        let limits = resources.and_then(|resources| resources.limits.as_ref());
        for name in ["cpu", "memory"] {
            let of = |list| quantity::milli(list, name).filter(|amount| *amount > 0);
            let (request, limit) = (of(requests), of(limits));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"spec": {"containers": [{"name": "a", "resources": resources}]}}))
            .unwrap()
    }

    #[test]
    fn classes_of_service() {
        let cases = [
            (serde_json::json!({}), "BestEffort"),
            (serde_json::json!({"requests": {"cpu": "1"}}), "Burstable"),
            (serde_json::json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
            (serde_json::json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}), "Guaranteed"),
            (serde_json::json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Burstable"),
            (serde_json::json!({"limits": {"memory": "1Gi"}}), "Burstable"),
        ];
        for (resources, class) in cases {
            assert_eq!(qos_class(&pod(resources.clone())).as_str(), class, "{resources}");
        }
    }
}
