//! Makes a pod's surroundings: directories, volumes, cgroup, sandbox.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::node::v1::RuntimeClass;

use super::{START_RETRY, Step};
use crate::pod::downward::Addresses;
use crate::pod::sandbox_config::sandbox_config;
use crate::pod::spec;
use crate::proto::cri::PodSandboxConfig;
use crate::volume::{self, VolumeError, Volumes, payload};

/// A new node's network is there a moment after the node.
const NETWORK_RETRY: SignedDuration = SignedDuration::from_millis(500);

impl Step {
    pub(super) async fn create_sandbox(&self, attempt: u32) {
        let result = self.try_create_sandbox(attempt).await;
        let wait = |reason: &str| if reason == "NetworkNotReady" { NETWORK_RETRY } else { START_RETRY };
        let retry = result.as_ref().err().map(|(reason, _)| self.node.clock().now() + wait(reason));
        if let Err((reason, message)) = result {
            tracing::warn!(pod = spec::full_name(&self.pod), reason, message);
            self.node.pod_event(&self.pod, "Warning", reason, message);
        }
        self.memory.lock().sandbox_retry = retry;
    }

    async fn try_create_sandbox(&self, attempt: u32) -> Result<(), (&'static str, String)> {
        self.network_is_ready().await.map_err(|message| ("NetworkNotReady", message))?;
        self.set_up_volumes().await.map_err(|error| ("FailedMount", error.to_string()))?;
        let failed = |error: String| ("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"));
        let node = &self.node;
        node.cgroups
            .make(&self.pod)
            .map_err(|error| ("FailedCreatePodContainer", format!("unable to ensure pod container exists: {error}")))?;
        if let Err(error) = node.cgroups.weigh(node.pods.list().iter().map(AsRef::as_ref)) {
            tracing::warn!(%error, "cannot weigh the classes of pods");
        }
        let logs = node.directories.logs_of(&self.pod);
        std::fs::create_dir_all(&logs).map_err(|error| failed(format!("making {}: {error}", logs.display())))?;
        let handler = self.runtime_handler().await.map_err(failed)?;
        if spec::spec(&self.pod).host_users == Some(false) {
            return Err(failed(
                "can't set `spec.hostUsers: false`, runtime does not support user namespaces".to_owned(),
            ));
        }
        let config = self.sandbox_config(attempt);
        node.runtime.run_pod_sandbox(config, handler).await.map(drop).map_err(|error| failed(error.to_string()))
    }

    /// The runtime's handler that the pod's RuntimeClass names; "" is the default one.
    pub(super) async fn runtime_handler(&self) -> Result<String, String> {
        let class = spec::spec(&self.pod).runtime_class_name.as_deref().unwrap_or_default();
        if class.is_empty() {
            return Ok(String::new());
        }
        let class = self.node.client().get::<RuntimeClass>("", class).await.map_err(|error| error.to_string())?;
        Ok(class.handler)
    }

    /// A pod without the node's network waits until there is one.
    async fn network_is_ready(&self) -> Result<(), String> {
        if spec::host_network(&self.pod) {
            return Ok(());
        }
        let status = self.node.runtime.status().await.map_err(|error| error.to_string())?;
        let network = status.conditions.into_iter().find(|condition| condition.r#type == "NetworkReady");
        match network.filter(|network| !network.status) {
            None => Ok(()),
            Some(network) => Err(format!(
                "network is not ready: container runtime network not ready: NetworkReady=false reason:{} message:{}",
                network.reason, network.message
            )),
        }
    }

    pub(super) fn sandbox_config(&self, attempt: u32) -> PodSandboxConfig {
        let node = &self.node;
        let parent = node.cgroups.of_pod(spec::uid(&self.pod), spec::qos_class(&self.pod));
        sandbox_config(&self.pod, attempt, &node.dns, &node.directories.logs_of(&self.pod), &parent)
    }

    /// The pod's addresses, once it has a sandbox.
    pub(super) fn addresses(&self) -> Addresses {
        let host = self.node.host_ips.clone();
        let pod = match self.observed.sandbox() {
            _ if spec::host_network(&self.pod) => host.clone(),
            Some(sandbox) => sandbox.ips.clone(),
            None => Vec::new(),
        };
        Addresses { pod, host }
    }

    /// Brings the volumes up to date after an object changed or a token grew old.
    pub(super) async fn refresh_volumes(&self) {
        if self.volumes.lock().is_none() {
            // Nothing was made yet, so what was missing may be there now: try at once.
            self.memory.lock().sandbox_retry = None;
            self.memory.lock().waiting.retain(|_, waiting| waiting.reason != "CreateContainerConfigError");
            return;
        }
        self.memory.lock().waiting.retain(|_, waiting| waiting.reason != "CreateContainerConfigError");
        if let Err(error) = self.set_up_volumes().await {
            self.node.pod_event(&self.pod, "Warning", "FailedMount", error.to_string());
        }
    }

    pub(super) async fn set_up_volumes(&self) -> Result<Volumes, VolumeError> {
        let (node, pod) = (&self.node, &self.pod);
        let (tokens, refresh) = self.tokens().await?;
        let sources = volume::Sources {
            config_maps: node.objects.config_maps(pod).await,
            secrets: node.objects.secrets(pod).await,
            tokens,
            addresses: self.addresses(),
            allocatable: node.allocatable.clone(),
        };
        let volumes = volume::set_up(pod, &node.directories, &sources)?;
        *self.refresh.lock() = refresh;
        *self.volumes.lock() = Some(volumes.clone());
        Ok(volumes)
    }

    async fn tokens(
        &self,
    ) -> Result<(std::collections::BTreeMap<(String, String), String>, Option<Timestamp>), VolumeError> {
        let mut tokens = std::collections::BTreeMap::new();
        let mut refresh: Option<Timestamp> = None;
        for (volume, projection) in payload::tokens(&self.pod) {
            let token = self.node.tokens.get(&self.pod, projection).await.map_err(|error| VolumeError {
                volume: volume.to_owned(),
                detail: format!("failed to fetch token: {error}"),
            })?;
            refresh = Some(refresh.map_or(token.refresh, |refresh| refresh.min(token.refresh)));
            tokens.insert((volume.to_owned(), projection.path.clone()), token.text);
        }
        Ok((tokens, refresh))
    }
}
