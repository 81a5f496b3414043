//! What the runtime is told of a container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{expand::expand, labels};
use crate::directories;
use crate::proto::cri::*;

/// The parts of a container's configuration that were worked out before.
#[derive(Debug, Clone)]
pub struct Parts {
    /// How often the container was started before.
    pub restart_count: i32,
    /// The image by its content.
    pub image_ref: String,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// Devices of the node.
    pub devices: Vec<Device>,
    /// Its cgroup.
    pub resources: LinuxContainerResources,
    /// Its users and profiles.
    pub security: LinuxContainerSecurityContext,
}

/// The configuration of one run of a container.
#[must_use]
pub fn container_config(pod: &Pod, container: &Container, parts: Parts) -> ContainerConfig {
    let variables = &parts.variables;
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        let words = words.iter().flatten();
        words.map(|word| expand(word, |name| variables.get(name).map(String::as_str))).collect()
    };
    let envs = variables.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone().into_bytes() });
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: container.name.clone(),
            attempt: parts.restart_count.cast_unsigned(),
        }),
        image: Some(ImageSpec {
            image: parts.image_ref.clone(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..ImageSpec::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: envs.collect(),
        mounts: parts.mounts,
        devices: parts.devices,
        labels: labels::container_labels(pod, container),
        annotations: labels::container_annotations(pod, container, parts.restart_count),
        log_path: directories::log_name(&container.name, parts.restart_count).to_string_lossy().into_owned(),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig { resources: Some(parts.resources), security_context: Some(parts.security) }),
        stop_signal: stop_signal(container) as i32,
        ..ContainerConfig::default()
    }
}

/// The signal that asks the container to end; the image's own unless the pod names one.
fn stop_signal(container: &Container) -> Signal {
    let name = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref()).unwrap_or_default();
    let name = name.replace('+', "PLUS").replace('-', "MINUS");
    Signal::from_str_name(&name).unwrap_or(Signal::RuntimeDefault)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Lifecycle;

    use super::*;

    #[test]
    fn stop_signals_by_their_names() {
        let cases = [
            (None, Signal::RuntimeDefault),
            (Some("SIGUSR1"), Signal::Sigusr1),
            (Some("SIGRTMIN+3"), Signal::Sigrtminplus3),
            (Some("SIGRTMAX-1"), Signal::Sigrtmaxminus1),
        ];
        for (name, expected) in cases {
            let lifecycle = Lifecycle { stop_signal: name.map(str::to_owned), ..Lifecycle::default() };
            let container = Container { lifecycle: Some(lifecycle), ..Container::default() };
            assert_eq!(stop_signal(&container), expected);
        }
    }
}
