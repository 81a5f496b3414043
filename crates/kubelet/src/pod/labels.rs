//! The labels and annotations that a pod's sandboxes and containers carry in the runtime: the kubelet's only memory
//! of them across restarts, with upstream's names, so that either kubelet can take over from the other.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::spec;

/// The pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// The pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The pod's uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// The container's name in its pod.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// The hash of what a running container may not change: name and image.
pub const HASH: &str = "io.kubernetes.container.hash";
/// How often the container was started before.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Where the container leaves its last words.
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Whether the last lines of the log stand in for last words.
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// The pod's grace period when the container was made.
pub const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
/// The pod's own deletion grace period, if it was being deleted.
pub const DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";
/// The container's ports.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// The container's preStop hook, so that it runs even when the pod is forgotten.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";

/// The labels of a pod's sandbox: the pod's own and who it is.
#[must_use]
pub fn sandbox_labels(pod: &Pod) -> HashMap<String, String> {
    let own = pod.metadata.labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
    own.chain(identity(pod)).collect()
}

/// The labels of a container.
#[must_use]
pub fn container_labels(pod: &Pod, container: &Container) -> HashMap<String, String> {
    identity(pod).into_iter().chain([(CONTAINER_NAME.to_owned(), container.name.clone())]).collect()
}

/// The annotations of a container.
#[must_use]
pub fn container_annotations(pod: &Pod, container: &Container, restart_count: i32) -> HashMap<String, String> {
    let path = container.termination_message_path.as_deref().unwrap_or(spec::TERMINATION_MESSAGE_PATH);
    let policy = container.termination_message_policy.as_deref().unwrap_or("File");
    let mut annotations = HashMap::from([
        (HASH.to_owned(), hash(container)),
        (RESTART_COUNT.to_owned(), restart_count.to_string()),
        (TERMINATION_MESSAGE_PATH.to_owned(), path.to_owned()),
        (TERMINATION_MESSAGE_POLICY.to_owned(), policy.to_owned()),
        (GRACE_PERIOD.to_owned(), spec::grace_seconds(pod).to_string()),
    ]);
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        annotations.insert(DELETION_GRACE_PERIOD.to_owned(), seconds.to_string());
    }
    let mut add = |key: &str, value: Option<String>| value.map(|value| annotations.insert(key.to_owned(), value));
    add(PRE_STOP, spec::pre_stop(container).and_then(|hook| serde_json::to_string(hook).ok()));
    add(
        PORTS,
        container.ports.as_ref().filter(|ports| !ports.is_empty()).and_then(|ports| serde_json::to_string(ports).ok()),
    );
    annotations
}

/// The hash that tells whether a running container still is what the pod asks for: FNV-1a over name and image.
#[must_use]
pub fn hash(container: &Container) -> String {
    let text = serde_json::json!({"image": container.image, "name": container.name}).to_string();
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:x}")
}

fn identity(pod: &Pod) -> [(String, String); 3] {
    [
        (POD_NAME.to_owned(), spec::name(pod).to_owned()),
        (POD_NAMESPACE.to_owned(), spec::namespace(pod).to_owned()),
        (POD_UID.to_owned(), spec::uid(pod).to_owned()),
    ]
}
