//! Speaking to the API server as clients do: HTTP/2 over TLS with the admin's certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// So many bytes may be on their way before the server waits: a list is not to wait for its reader's window.
const WINDOW_BYTES: u32 = 16 << 20;
/// How often something that is not there yet is asked for again.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority_data: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: UserEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    client_certificate_data: String,
    client_key_data: String,
}

/// An API server and how to prove who we are.
#[derive(Clone)]
pub struct Cluster {
    authority: String,
    tls: TlsConnector,
}

impl Cluster {
    /// Reads a kubeconfig that cox wrote.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn open(kubeconfig: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(kubeconfig).context("reading the kubeconfig")?;
        let Kubeconfig { clusters, users } = serde_saphyr::from_str(&text).context("reading the kubeconfig")?;
        let cluster = &clusters.first().context("the kubeconfig names no cluster")?.cluster;
        let user = &users.first().context("the kubeconfig names no user")?.user;
        let authority = cluster.server.strip_prefix("https://").context("not an https server")?.to_owned();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem(&cluster.certificate_authority_data)?) {
            roots.add(certificate.context("the CA")?).context("the CA")?;
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem(&user.client_certificate_data)?).collect();
        let key = PrivateKeyDer::from_pem_slice(&pem(&user.client_key_data)?).context("the client's key")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.context("the client's certificate")?, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { authority, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Waits until the kubeconfig is there and the API server says that it is ready.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub async fn ready(kubeconfig: &Path, limit: Duration) -> Result<Self> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Ok(cluster) = Self::open(kubeconfig)
                && let Ok(connection) = cluster.connect().await
                && connection.get("/readyz").await.is_ok()
            {
                return Ok(cluster);
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("the API server is not ready after {limit:?}")
    }

    /// Opens a connection of its own.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(&self.authority).await.context("connecting")?;
        tcp.set_nodelay(true)?;
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).context("the server's name")?;
        let tls = self.tls.connect(name, tcp).await.context("the TLS handshake")?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(tls))
            .await
            .context("the HTTP/2 handshake")?;
        // It ends with the last sender.
        tokio::spawn(connection);
        Ok(Connection { sender, base: format!("https://{}", self.authority) })
    }
}

/// One connection; clones share it.
#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    base: String,
}

impl Connection {
    /// Sends a request; the answer's body is still to come.
    ///
    /// # Errors
    /// The connection broke, or the server answered with an error, which is told.
    pub async fn send(&self, method: Method, path: &str, body: Option<(&str, Bytes)>) -> Result<Response<Incoming>> {
        let mut request =
            Request::builder().method(&method).uri(format!("{}{path}", self.base)).header("accept", "application/json");
        let mut bytes = Bytes::new();
        if let Some((content_type, content)) = body {
            request = request.header("content-type", content_type);
            bytes = content;
        }
        let request = request.body(Full::new(bytes)).context("a request")?;
        let response = self.sender.clone().send_request(request).await.with_context(|| format!("{method} {path}"))?;
        if !response.status().is_success() {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(response)
    }

    /// The whole answer.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn bytes(&self, method: Method, path: &str, body: Option<(&str, Bytes)>) -> Result<Bytes> {
        Ok(self.send(method, path, body).await?.into_body().collect().await?.to_bytes())
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        self.bytes(Method::GET, path, None).await
    }

    /// Reads `path` as JSON.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn get_json(&self, path: &str) -> Result<Value> {
        serde_json::from_slice(&self.get(path).await?).context("an answer that is not JSON")
    }

    /// Creates an object.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn create(&self, path: &str, object: &Value) -> Result<Bytes> {
        self.bytes(Method::POST, path, Some(("application/json", object.to_string().into()))).await
    }

    /// Opens a watch on `path`, from what a list of it says now.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn watch(&self, path: &str, resource_version: &str) -> Result<Incoming> {
        let path = format!("{path}?watch=true&resourceVersion={resource_version}");
        Ok(self.send(Method::GET, &path, None).await?.into_body())
    }

    /// The resourceVersion of a list.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn version(&self, path: &str) -> Result<String> {
        let list = self.get_json(&format!("{path}?limit=1")).await?;
        Ok(list["metadata"]["resourceVersion"].as_str().context("a list without resourceVersion")?.to_owned())
    }
}

fn pem(base64: &str) -> Result<Vec<u8>> {
    base64::engine::general_purpose::STANDARD.decode(base64).context("the kubeconfig's certificates")
}
