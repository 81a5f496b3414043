//! The container runtime asked directly over CRI (cri-api's `runtime.v1`): what a pod costs before Kubernetes adds its own.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;

#[derive(Message)]
struct SandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Message)]
struct SandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<SandboxMetadata>,
    #[prost(string, tag = "2")]
    hostname: String,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
}

#[derive(Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<SandboxConfig>,
}

#[derive(Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
}

#[derive(Message)]
struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    sandbox: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<SandboxConfig>,
}

/// `StartContainerRequest`, `StopPodSandboxRequest`, `RemovePodSandboxRequest`, and the answers that are one id.
#[derive(Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

/// A connection to the runtime's socket.
pub struct Runtime {
    sender: SendRequest<Full<Bytes>>,
}

impl Runtime {
    /// Connects to containerd's socket.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let stream =
            UnixStream::connect(socket).await.with_context(|| format!("connecting to {}", socket.display()))?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // It ends with the last sender.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// RunPodSandbox, CreateContainer and StartContainer one after the other, timed; then the sandbox is removed.
    ///
    /// # Errors
    /// What the runtime says.
    pub async fn start_pod(&self, number: usize, image: &str) -> Result<Duration> {
        let config = || SandboxConfig {
            metadata: Some(SandboxMetadata {
                name: format!("raw-{number}"),
                uid: format!("00000000-0000-4000-8000-{number:012}"),
                namespace: "bench".to_owned(),
            }),
            hostname: "raw".to_owned(),
            labels: HashMap::new(),
        };
        let begun = Instant::now();
        let sandbox: Id = self.call("RunPodSandbox", &RunPodSandboxRequest { config: Some(config()) }).await?;
        let container = CreateContainerRequest {
            sandbox: sandbox.id.clone(),
            config: Some(ContainerConfig {
                metadata: Some(ContainerMetadata { name: "main".to_owned() }),
                image: Some(ImageSpec { image: image.to_owned() }),
                command: vec!["sleep".to_owned(), "3600".to_owned()],
            }),
            sandbox_config: Some(config()),
        };
        let started = async {
            let container: Id = self.call("CreateContainer", &container).await?;
            self.call::<Id>("StartContainer", &container).await
        };
        let started = started.await;
        let took = begun.elapsed();
        self.call::<Id>("StopPodSandbox", &sandbox).await?;
        self.call::<Id>("RemovePodSandbox", &sandbox).await?;
        started.map(|_| took)
    }

    /// One gRPC call: a message with five bytes before it each way, the outcome in the trailers.
    async fn call<Answer: Message + Default>(&self, method: &str, message: &impl Message) -> Result<Answer> {
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len()).context("a small message")?);
        message.encode(&mut body).context("room grows")?;
        let request = Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body.freeze()))?;
        let response = self.sender.clone().send_request(request).await.with_context(|| method.to_owned())?;
        let mut said = response.headers().clone();
        let answer = response.into_body().collect().await?;
        said.extend(answer.trailers().cloned().unwrap_or_default());
        let header = |name: &str| said.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if header("grpc-status") != "0" {
            bail!("{method}: {}", header("grpc-message"));
        }
        let bytes = answer.to_bytes();
        ensure!(bytes.len() >= 5, "{method}: a short answer");
        Ok(Answer::decode(bytes.slice(5..))?)
    }
}
