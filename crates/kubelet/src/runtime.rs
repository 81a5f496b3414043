//! The container runtime as the kubelet sees it: a client of CRI v1, one method a call.

mod error;
pub mod events;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

pub use self::error::{Result, RuntimeError};
use crate::proto::cri::image_service_client::ImageServiceClient;
use crate::proto::cri::runtime_service_client::RuntimeServiceClient;
use crate::proto::cri::{self, *};

/// Calls that only look, or that are quick, end after this (upstream's `runtimeRequestTimeout`).
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// A list of all containers of a full node stays far below this.
const MESSAGE_LIMIT_BYTES: usize = 16 << 20;

/// A runtime behind a Unix socket. Cheap to clone; reconnects by itself.
#[derive(Debug, Clone)]
pub struct Runtime {
    socket: PathBuf,
    channel: Channel,
}

impl Runtime {
    /// The runtime at `endpoint`: a path or `unix://` and a path. Nothing is connected yet.
    ///
    /// # Errors
    /// When the endpoint is of another kind.
    pub fn new(endpoint: &str) -> Result<Self> {
        let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
        if !path.starts_with('/') {
            return Err(RuntimeError::Endpoint(endpoint.to_owned()));
        }
        let socket = PathBuf::from(path);
        let target = socket.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let target = target.clone();
            async move { UnixStream::connect(target).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://runtime").connect_with_connector_lazy(connector);
        Ok(Self { socket, channel })
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT_BYTES)
    }

    fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT_BYTES)
    }

    /// Name and version of the runtime.
    pub async fn version(&self) -> Result<VersionResponse> {
        let request = VersionRequest { version: "0.1.0".into() };
        Ok(self.runtime().version(timed(request)).await?.into_inner())
    }

    /// Whether runtime and network are ready.
    pub async fn status(&self) -> Result<RuntimeStatus> {
        let request = StatusRequest { verbose: false };
        Ok(self.runtime().status(timed(request)).await?.into_inner().status.unwrap_or_default())
    }

    /// What the runtime's handler `name` can do (the default one is called "").
    pub async fn handler_features(&self, name: &str) -> Result<RuntimeHandlerFeatures> {
        let request = StatusRequest { verbose: false };
        let handlers = self.runtime().status(timed(request)).await?.into_inner().runtime_handlers;
        Ok(handlers.into_iter().find(|handler| handler.name == name).and_then(|h| h.features).unwrap_or_default())
    }

    /// Makes and starts a sandbox; gives its id.
    pub async fn run_pod_sandbox(&self, config: PodSandboxConfig, handler: String) -> Result<String> {
        let request = RunPodSandboxRequest { config: Some(config), runtime_handler: handler };
        let long = timed_for(request, CALL_TIMEOUT * 2);
        Ok(self.runtime().run_pod_sandbox(long).await?.into_inner().pod_sandbox_id)
    }

    /// Stops a sandbox and takes its network away. Stopping twice is fine.
    pub async fn stop_pod_sandbox(&self, id: &str) -> Result<()> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.into() };
        gone_is_fine(self.runtime().stop_pod_sandbox(timed(request)).await)
    }

    /// Removes a sandbox and all its containers.
    pub async fn remove_pod_sandbox(&self, id: &str) -> Result<()> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        gone_is_fine(self.runtime().remove_pod_sandbox(timed(request)).await)
    }

    /// All sandboxes that `labels` fit.
    pub async fn list_pod_sandboxes(&self, labels: &[(&str, &str)]) -> Result<Vec<PodSandbox>> {
        let filter = PodSandboxFilter { label_selector: selector(labels), ..Default::default() };
        let request = ListPodSandboxRequest { filter: Some(filter) };
        Ok(self.runtime().list_pod_sandbox(timed(request)).await?.into_inner().items)
    }

    /// A sandbox in full; `None` when the runtime has none of that id.
    pub async fn pod_sandbox_status(&self, id: &str) -> Result<Option<PodSandboxStatus>> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.into(), verbose: false };
        let found = absent_is_none(self.runtime().pod_sandbox_status(timed(request)).await)?;
        Ok(found.and_then(|response| response.status))
    }

    /// Makes a container in a sandbox; gives its id.
    pub async fn create_container(
        &self,
        sandbox: &str,
        config: ContainerConfig,
        sandbox_config: PodSandboxConfig,
    ) -> Result<String> {
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        Ok(self.runtime().create_container(timed(request)).await?.into_inner().container_id)
    }

    /// Starts a container that was made.
    pub async fn start_container(&self, id: &str) -> Result<()> {
        let request = StartContainerRequest { container_id: id.into() };
        self.runtime().start_container(timed(request)).await?;
        Ok(())
    }

    /// Asks a container to end, kills it after `grace`. Stopping twice is fine.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = StopContainerRequest { container_id: id.into(), timeout: seconds };
        gone_is_fine(self.runtime().stop_container(timed_for(request, CALL_TIMEOUT.saturating_add(grace))).await)
    }

    /// Removes a container, running or not.
    pub async fn remove_container(&self, id: &str) -> Result<()> {
        let request = RemoveContainerRequest { container_id: id.into() };
        gone_is_fine(self.runtime().remove_container(timed(request)).await)
    }

    /// All containers that `labels` fit.
    pub async fn list_containers(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>> {
        let filter = ContainerFilter { label_selector: selector(labels), ..Default::default() };
        let request = ListContainersRequest { filter: Some(filter) };
        Ok(self.runtime().list_containers(timed(request)).await?.into_inner().containers)
    }

    /// A container in full; `None` when the runtime has none of that id.
    pub async fn container_status(&self, id: &str) -> Result<Option<ContainerStatus>> {
        let request = ContainerStatusRequest { container_id: id.into(), verbose: false };
        let found = absent_is_none(self.runtime().container_status(timed(request)).await)?;
        Ok(found.and_then(|response| response.status))
    }

    /// Makes the runtime open the container's log file anew, after it was moved away.
    pub async fn reopen_container_log(&self, id: &str) -> Result<()> {
        let request = ReopenContainerLogRequest { container_id: id.into() };
        self.runtime().reopen_container_log(timed(request)).await?;
        Ok(())
    }

    /// Runs a command in a container and gives its output and exit code. A `timeout` of zero is none.
    pub async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> Result<ExecSyncResponse> {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let request = ExecSyncRequest { container_id: id.into(), cmd: command.to_vec(), timeout: seconds };
        let mut request = Request::new(request);
        if !timeout.is_zero() {
            request.set_timeout(CALL_TIMEOUT.saturating_add(timeout));
        }
        Ok(self.runtime().exec_sync(request).await?.into_inner())
    }

    /// Where to connect to for an interactive command.
    pub async fn exec(&self, request: ExecRequest) -> Result<String> {
        Ok(self.runtime().exec(timed(request)).await?.into_inner().url)
    }

    /// Where to connect to for a container's own streams.
    pub async fn attach(&self, request: AttachRequest) -> Result<String> {
        Ok(self.runtime().attach(timed(request)).await?.into_inner().url)
    }

    /// Where to connect to for a sandbox's ports.
    pub async fn port_forward(&self, sandbox: &str, ports: Vec<i32>) -> Result<String> {
        let request = PortForwardRequest { pod_sandbox_id: sandbox.into(), port: ports };
        Ok(self.runtime().port_forward(timed(request)).await?.into_inner().url)
    }

    /// CPU, memory and disk use of every container.
    pub async fn list_container_stats(&self) -> Result<Vec<ContainerStats>> {
        let request = ListContainerStatsRequest { filter: None };
        Ok(self.runtime().list_container_stats(timed(request)).await?.into_inner().stats)
    }

    /// Every image the runtime has.
    pub async fn list_images(&self) -> Result<Vec<Image>> {
        let request = ListImagesRequest { filter: None };
        Ok(self.images().list_images(timed(request)).await?.into_inner().images)
    }

    /// One image; `None` when the runtime does not have it.
    pub async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        let request = ImageStatusRequest { image: Some(image_spec(image)), verbose: false };
        Ok(self.images().image_status(timed(request)).await?.into_inner().image)
    }

    /// Fetches an image, however long it takes; gives its reference.
    pub async fn pull_image(&self, image: &str, auth: Option<AuthConfig>, sandbox: PodSandboxConfig) -> Result<String> {
        let request = PullImageRequest { image: Some(image_spec(image)), auth, sandbox_config: Some(sandbox) };
        Ok(self.images().pull_image(request).await?.into_inner().image_ref)
    }

    /// Forgets an image.
    pub async fn remove_image(&self, image: &str) -> Result<()> {
        let request = RemoveImageRequest { image: Some(image_spec(image)) };
        self.images().remove_image(timed(request)).await?;
        Ok(())
    }

    /// How full the disk of the images is.
    pub async fn image_fs_info(&self) -> Result<ImageFsInfoResponse> {
        Ok(self.images().image_fs_info(timed(ImageFsInfoRequest {})).await?.into_inner())
    }

    /// Tells the runtime the node's range of pod addresses.
    pub async fn update_runtime_config(&self, pod_cidr: &str) -> Result<()> {
        let network = NetworkConfig { pod_cidr: pod_cidr.into() };
        let config = cri::RuntimeConfig { network_config: Some(network) };
        self.runtime()
            .update_runtime_config(timed(UpdateRuntimeConfigRequest { runtime_config: Some(config) }))
            .await?;
        Ok(())
    }
}

fn timed<T>(message: T) -> Request<T> {
    timed_for(message, CALL_TIMEOUT)
}

fn timed_for<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

fn selector(labels: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn image_spec(image: &str) -> ImageSpec {
    ImageSpec { image: image.into(), ..Default::default() }
}

fn gone_is_fine<T>(answer: std::result::Result<tonic::Response<T>, tonic::Status>) -> Result<()> {
    absent_is_none(answer).map(|_| ())
}

fn absent_is_none<T>(answer: std::result::Result<tonic::Response<T>, tonic::Status>) -> Result<Option<T>> {
    match answer {
        Ok(response) => Ok(Some(response.into_inner())),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}
