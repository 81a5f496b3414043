//! Starts one container: image, environment, mounts, the runtime's create and start, the postStart hook.

mod mounts;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use super::{START_RETRY, Step};
use crate::directories;
use crate::pod::container_config::{Parts, container_config};
use crate::pod::memory::Waiting;
use crate::pod::plan::crash_key;
use crate::pod::security::{self, ImageUser};
use crate::pod::{environment, resources, spec};
use crate::proto::cri::{ContainerConfig, Image, PodSandboxConfig};

impl Step {
    /// Starts a container; why it did not start is remembered as what it waits for.
    pub(super) async fn start(&self, name: &str, restart_count: i32, finished: Option<Timestamp>) {
        let Some((_, container)) = spec::container(&self.pod, name) else { return };
        match self.try_start(container, restart_count, finished).await {
            Ok(()) => drop(self.memory.lock().waiting.remove(name)),
            Err(waiting) => {
                tracing::info!(pod = spec::full_name(&self.pod), name, waiting.reason, waiting.message, "cannot start");
                self.memory.lock().waiting.insert(name.to_owned(), waiting);
            }
        }
    }

    async fn try_start(
        &self,
        container: &Container,
        restart_count: i32,
        finished: Option<Timestamp>,
    ) -> Result<(), Waiting> {
        let node = &self.node;
        let Some(sandbox) = self.observed.sandbox() else { return Ok(()) };
        let sandbox_config = self.sandbox_config(sandbox.attempt);
        let secrets = node.objects.secrets(&self.pod).await;
        let image = node.puller.ensure(node, &self.pod, container, &secrets, sandbox_config.clone()).await;
        let image = image.inspect_err(|waiting| {
            let text = if waiting.reason.starts_with("ErrImage") || waiting.reason.starts_with("ImagePull") {
                format!("Error: {}", waiting.reason)
            } else {
                format!("Error: {}", waiting.message)
            };
            node.event(&self.pod, container, "Warning", "Failed", text);
        })?;
        let config = self.container_config(container, restart_count, &image).await;
        let config = config.map_err(|message| self.failure(container, "CreateContainerConfigError", message))?;
        let id = self.create(container, &sandbox.id, config, sandbox_config).await?;
        if let Some(finished) = finished {
            self.memory.lock().crashes.count(crash_key(container), finished, node.clock().now());
        }
        if container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some()) {
            self.memory.lock().starting.insert(id.clone());
        }
        if let Err(error) = node.runtime.start_container(&id).await {
            return Err(self.failure(container, "RunContainerError", error.message()));
        }
        node.event(&self.pod, container, "Normal", "Started", "Container started");
        self.link_log(container, restart_count, &id);
        self.post_start(container, &id).await
    }

    async fn create(
        &self,
        container: &Container,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Result<String, Waiting> {
        match self.node.runtime.create_container(sandbox, config, sandbox_config).await {
            Ok(id) => {
                self.node.event(&self.pod, container, "Normal", "Created", "Container created");
                Ok(id)
            }
            Err(error) => Err(self.failure(container, "CreateContainerError", error.message())),
        }
    }

    pub(super) fn failure(&self, container: &Container, reason: &str, message: String) -> Waiting {
        self.node.event(&self.pod, container, "Warning", "Failed", format!("Error: {message}"));
        Waiting { reason: reason.to_owned(), message, retry: self.node.clock().now() + START_RETRY }
    }

    async fn container_config(
        &self,
        container: &Container,
        restart_count: i32,
        image: &Image,
    ) -> Result<ContainerConfig, String> {
        let (node, pod) = (&self.node, &self.pod);
        let sources = environment::Sources {
            config_maps: node.objects.config_maps(pod).await,
            secrets: node.objects.secrets(pod).await,
            services: node.services_for(pod).await,
            addresses: self.addresses(),
            allocatable: node.allocatable.clone(),
        };
        let variables = environment::environment(pod, container, &sources).map_err(|error| error.to_string())?;
        let known = self.volumes.lock().clone();
        let volumes = match known {
            Some(volumes) => volumes,
            None => self.set_up_volumes().await.map_err(|error| error.to_string())?,
        };
        let recursive = self.can_mount_recursively(container).await?;
        let mounts = self.mounts(container, &volumes, &variables, recursive)?;
        let user = ImageUser { uid: image.uid.map(|uid| uid.value), name: image.username.clone() };
        let user = if user.name.is_empty() && user.uid.is_none() { ImageUser { uid: Some(0), ..user } } else { user };
        let security = security::container(pod, container, &user, &node.directories.seccomp(), &[])?;
        let dir = node.directories.logs_of(pod).join(&container.name);
        std::fs::create_dir_all(&dir).map_err(|error| format!("making {}: {error}", dir.display()))?;
        let parts = Parts {
            restart_count,
            image_ref: image.id.clone(),
            variables,
            mounts,
            devices: Vec::new(),
            resources: resources::container_resources(pod, container, node.memory_bytes),
            security,
        };
        Ok(container_config(pod, container, parts))
    }

    /// Whether the pod's runtime makes read-only mounts read-only all the way down; asked only where it matters.
    async fn can_mount_recursively(&self, container: &Container) -> Result<bool, String> {
        let mut mounts = container.volume_mounts.iter().flatten();
        if !mounts.any(|mount| mount.recursive_read_only.is_some()) {
            return Ok(false);
        }
        let handler = self.runtime_handler().await?;
        let features = self.node.runtime.handler_features(&handler).await.map_err(|error| error.to_string())?;
        Ok(features.recursive_read_only_mounts)
    }

    /// Log collectors look for containers' logs here.
    fn link_log(&self, container: &Container, restart_count: i32, id: &str) {
        let log = self.node.directories.logs_of(&self.pod).join(directories::log_name(&container.name, restart_count));
        let link = self.node.directories.log_link(&self.pod, &container.name, id);
        let made = link.parent().map(std::fs::create_dir_all).transpose();
        if let Err(error) = made.and_then(|_| std::os::unix::fs::symlink(&log, &link)) {
            tracing::debug!(%error, link = %link.display(), "cannot link a log");
        }
    }
}
