//! What the runtime has of one pod: plain data, newest first.

use jiff::Timestamp;

use super::labels;
use crate::proto::cri::{self, ContainerState, PodSandboxState};

/// A pod's sandboxes and containers as the runtime tells them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Every run of every container, newest first.
    pub instances: Vec<Instance>,
}

/// A pod's network, IPC and (if shared) PID namespaces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: String,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// Whether it works.
    pub ready: bool,
    /// Since when it exists.
    pub created: Timestamp,
    /// The pod's addresses; empty with the node's network.
    pub ips: Vec<String>,
    /// Whether it has the node's network.
    pub host_network: bool,
}

/// Where one run of a container stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Made, not started.
    #[default]
    Created,
    /// Started, not ended.
    Running,
    /// Ended.
    Exited,
    /// The runtime lost sight of it.
    Unknown,
}

/// One run of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instance {
    /// The runtime's id.
    pub id: String,
    /// The container's name in the pod.
    pub name: String,
    /// The sandbox it lives in.
    pub sandbox: String,
    /// How many runs there were before.
    pub restart_count: i32,
    /// What it was made from; see [`labels::hash`].
    pub hash: String,
    /// Where it stands.
    pub phase: Phase,
    /// The image as the pod names it.
    pub image: String,
    /// The image by its content.
    pub image_id: String,
    /// When it was made, started, ended.
    pub created: Timestamp,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub exit_code: i32,
    /// The runtime's word for how it ended: `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// The runtime's explanation.
    pub message: String,
    /// Its log file.
    pub log_path: String,
    /// The annotations it was made with.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// The host's file with its last words.
    pub termination_log: Option<String>,
    /// What its cgroup was told, as the runtime knows it.
    pub user: Option<cri::LinuxContainerUser>,
}

impl Observed {
    /// The newest sandbox.
    #[must_use]
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The newest run of a container.
    #[must_use]
    pub fn latest(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// The newest run of a container in the newest sandbox.
    #[must_use]
    pub fn current(&self, name: &str) -> Option<&Instance> {
        let sandbox = self.sandbox()?;
        self.instances.iter().find(|instance| instance.name == name && instance.sandbox == sandbox.id)
    }

    /// Every run that has not ended.
    pub fn alive(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| matches!(instance.phase, Phase::Running | Phase::Unknown))
    }
}

impl Sandbox {
    /// From what the runtime says.
    #[must_use]
    pub fn from_status(status: cri::PodSandboxStatus) -> Self {
        let network = status.network.unwrap_or_default();
        let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
        let more = network.additional_ips.into_iter().map(|ip| ip.ip);
        Self {
            ready: status.state == PodSandboxState::SandboxReady as i32,
            attempt: status.metadata.map(|metadata| metadata.attempt).unwrap_or_default(),
            created: timestamp(status.created_at).unwrap_or_default(),
            ips: [network.ip].into_iter().chain(more).filter(|ip| !ip.is_empty()).collect(),
            host_network: options.is_some_and(|options| options.network == cri::NamespaceMode::Node as i32),
            id: status.id,
        }
    }
}

impl Instance {
    /// From what the runtime says; `sandbox` is not part of that.
    #[must_use]
    pub fn from_status(status: cri::ContainerStatus, sandbox: String) -> Self {
        let number = |key: &str| status.annotations.get(key).and_then(|text| text.parse().ok());
        let attempt = status.metadata.as_ref().map(|metadata| metadata.attempt.cast_signed()).unwrap_or_default();
        let path = status.annotations.get(labels::TERMINATION_MESSAGE_PATH);
        let mount = status.mounts.iter().find(|mount| Some(&mount.container_path) == path);
        Self {
            name: status.labels.get(labels::CONTAINER_NAME).cloned().unwrap_or_default(),
            restart_count: number(labels::RESTART_COUNT).unwrap_or(attempt),
            hash: status.annotations.get(labels::HASH).cloned().unwrap_or_default(),
            phase: Phase::from_cri(status.state),
            image: status.image.map(|image| image.image).unwrap_or_default(),
            image_id: if status.image_id.is_empty() { status.image_ref } else { status.image_id },
            created: timestamp(status.created_at).unwrap_or_default(),
            started: timestamp(status.started_at),
            finished: timestamp(status.finished_at),
            termination_log: mount.map(|mount| mount.host_path.clone()),
            annotations: status.annotations.into_iter().collect(),
            exit_code: status.exit_code,
            reason: status.reason,
            message: status.message,
            log_path: status.log_path,
            user: status.user.and_then(|user| user.linux),
            id: status.id,
            sandbox,
        }
    }
}

impl Phase {
    /// From the runtime's number.
    #[must_use]
    pub fn from_cri(state: i32) -> Self {
        match ContainerState::try_from(state) {
            Ok(ContainerState::ContainerCreated) => Self::Created,
            Ok(ContainerState::ContainerRunning) => Self::Running,
            Ok(ContainerState::ContainerExited) => Self::Exited,
            Ok(ContainerState::ContainerUnknown) | Err(_) => Self::Unknown,
        }
    }
}

/// CRI counts nanoseconds; 0 is never.
fn timestamp(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds > 0).then(|| Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()).flatten()
}
