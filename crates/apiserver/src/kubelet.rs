//! How the server reaches kubelets (and, for `proxy`, pods and services): one connection a request, over TLS, upgraded
//! ones handed through byte by byte.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::status::In;
use machinery::{Status, Value};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::call::Call;
use crate::objects::Objects;
use crate::reply::{self, Body, Reply};
use crate::server::Server;

/// A connection must stand within this time.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// An error of a kubelet is read up to this many bytes.
const ERROR_BYTES: usize = 50_000;

/// The port of a kubelet that does not say.
const KUBELET_PORT: u16 = 10_250;

/// The addresses of a node, the most wanted kind first.
const ADDRESS_TYPES: [&str; 5] = ["InternalIP", "Hostname", "InternalDNS", "ExternalIP", "ExternalDNS"];

/// Where to connect, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How TLS is spoken; `None`: not at all.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// The kubelet of a node.
    ///
    /// # Errors
    /// 404 when there is no such node, 500 when it has no address yet.
    pub async fn of(server: &Server, node: &str) -> Result<Self, Status> {
        let kind = kinds::lookup("", "v1", "nodes").ok_or_else(Status::no_such_resource)?;
        let object = Objects::new(server, kind).get("", node).await?.object;
        let host = address(&object).ok_or_else(|| {
            Status::unknown(format!("no preferred addresses found; known addresses: [] (node {node})"))
        })?;
        let port = object.int_at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT);
        let tls = server.options.kubelet_tls.clone();
        let tls = tls.ok_or_else(|| Status::unknown("this server has no credentials for kubelets"))?;
        Ok(Self { host, port, tls: Some(tls) })
    }

    /// The host and the port as URLs have them.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

fn address(node: &Value) -> Option<String> {
    let addresses = node.items_at(&["status", "addresses"]);
    let of_kind = |kind: &&str| {
        let found = addresses.iter().find(|one| one.str_at(&["type"]) == Some(kind));
        found.and_then(|one| one.str_at(&["address"])).map(str::to_owned)
    };
    ADDRESS_TYPES.iter().find_map(of_kind)
}

/// Asks without a body.
///
/// # Errors
/// 500 when the target cannot be reached.
pub async fn ask(
    server: &Arc<Server>,
    target: &Target,
    method: Method,
    path: &str,
) -> Result<Response<Incoming>, Status> {
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    send(server, target, method, path, HeaderMap::new(), empty).await
}

/// Hands a client's request on and the answer back; where both sides agree on another protocol, its bytes too.
///
/// # Errors
/// 500 when the target cannot be reached.
pub async fn connect(
    server: &Arc<Server>,
    call: &mut Call,
    target: &Target,
    path: &str,
    body: Body,
) -> Result<Reply, Status> {
    let mut headers = call.parts.headers.clone();
    for own in [header::HOST, header::AUTHORIZATION, header::ACCEPT_ENCODING] {
        headers.remove(own);
    }
    let client = call.parts.extensions.remove::<OnUpgrade>();
    let mut answer = send(server, target, call.parts.method.clone(), path, headers, body).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(stream(server, call, answer));
    }
    let Some(client) = client else { return Err(Status::bad_request("Upgrade request required")) };
    let backend = hyper::upgrade::on(&mut answer);
    let (stop, open) = (server.stop.clone(), server.metrics.open(call));
    server.tunnels.lock().spawn("tunnel", async move {
        let _open = open;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = tunnel(client, backend) => {}
        }
    });
    let (parts, _) = answer.into_parts();
    let mut reply = Reply::new(reply::full(Bytes::new()));
    *reply.status_mut() = parts.status;
    *reply.headers_mut() = parts.headers;
    Ok(reply)
}

async fn tunnel(client: OnUpgrade, backend: OnUpgrade) {
    match tokio::try_join!(client, backend) {
        Ok((client, backend)) => copy(TokioIo::new(client), TokioIo::new(backend)).await,
        Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
    }
}

/// Copies both ways until either side ends. A side that breaks takes nothing with it of what it said before.
async fn copy<C, B>(mut client: C, mut backend: B)
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await else { return };
    tracing::debug!(%error, "a tunnel ended early");
    let (to_client, to_backend) = tokio::join!(client.shutdown(), backend.shutdown());
    for error in [to_client, to_backend].into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a side of the tunnel was gone");
    }
}

/// The answer, its body as it comes, counted as open until it ends.
pub fn stream(server: &Server, call: &Call, answer: Response<Incoming>) -> Reply {
    let open = server.metrics.open(call);
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::CONNECTION);
    parts.headers.remove(header::TRANSFER_ENCODING);
    let body = body
        .map_frame(move |frame| {
            let _open = &open;
            frame
        })
        .map_err(Into::into);
    Response::from_parts(parts, body.boxed_unsync())
}

/// What the client is told when the kubelet refuses.
pub async fn failure(answer: Response<Incoming>, resource: In<'_>, name: &str) -> Status {
    let code = answer.status().as_u16();
    let text = match Limited::new(answer.into_body(), ERROR_BYTES).collect().await {
        Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).into_owned(),
        Err(_) => String::new(),
    };
    match code {
        400 => Status::bad_request(text),
        404 => Status { message: text, ..Status::not_found(resource, name) },
        500 => Status::internal(text),
        _ => Status::new(code, "", text),
    }
}

async fn send(
    server: &Arc<Server>,
    target: &Target,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Incoming>, Status> {
    let authority = target.authority();
    let failed = |error: &dyn std::fmt::Display| Status::unknown(format!("error dialing backend: {error}"));
    let dialed = server.clock.timeout(DIAL_LIMIT, dial(server, target)).await;
    let mut sender = dialed
        .map_err(|_| failed(&format_args!("dial tcp {authority}: i/o timeout")))?
        .map_err(|error| failed(&format_args!("dial tcp {authority}: {}", dial_error(&error))))?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    *request.uri_mut() = path.parse().map_err(|error| failed(&error))?;
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&authority).map_err(|error| failed(&error))?);
    sender.send_request(request).await.map_err(|error| failed(&error))
}

/// The words of Go's dialer for what clients look for.
fn dial_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

async fn dial(server: &Arc<Server>, target: &Target) -> std::io::Result<http1::SendRequest<Body>> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    match &target.tls {
        None => handshake(server, stream).await,
        Some(config) => {
            let name = ServerName::try_from(target.host.clone()).map_err(std::io::Error::other)?;
            handshake(server, TlsConnector::from(config.clone()).connect(name, stream).await?).await
        }
    }
}

async fn handshake<S>(server: &Arc<Server>, stream: S) -> std::io::Result<http1::SendRequest<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    let stop = server.stop.clone();
    server.tunnels.lock().spawn("connection to a kubelet", async move {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            ended = connection.with_upgrades() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to a kubelet ended early");
                }
            }
        }
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncReadExt as _, ReadBuf};

    use super::*;
    use crate::http::Gather;

    /// A side that ends without a farewell, as TLS calls it.
    struct Broken;

    impl AsyncRead for Broken {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
        }
    }

    #[tokio::test]
    async fn the_last_words_of_a_broken_side_arrive() {
        let (near, mut client) = tokio::io::duplex(1000);
        let backend = tokio::io::join((&b"exit code 0"[..]).chain(Broken), tokio::io::sink());
        copy(Gather::new(near), backend).await;
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "exit code 0");
    }
}
