//! exec, attach, run and port-forward: the runtime names an address for the streams, and what the client says goes
//! there byte for byte; only what the runtime does not speak is translated.

use std::sync::Arc;

use client::{Body, serving};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use tokio::net::TcpStream;

use super::{detach, tunnel};
use crate::node::Node;
use crate::pod::{labels, spec};
use crate::proto::cri::{AttachRequest, ContainerState, ExecRequest, PodSandboxState};

/// What a stream request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    command: Vec<String>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

pub(super) async fn serve(
    node: &Arc<Node>,
    pod: &Pod,
    kind: &str,
    container: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    if kind == "run" {
        return run(node, pod, container, request.uri().query().unwrap_or_default()).await;
    }
    let url = match url(node, pod, kind, container, request.uri().query().unwrap_or_default()).await {
        Ok(url) => url,
        Err(refusal) => return refusal,
    };
    let protocols = tunnel::protocols(request.headers());
    let upgraded = if protocols.iter().any(|name| name == tunnel::PORT_FORWARD) {
        tunnel::port_forward(node, &url, request).await
    } else if protocols.iter().any(|name| name == tunnel::V5) {
        tunnel::exec(node, &url, request).await
    } else {
        pass(node, &url, request).await
    };
    upgraded.unwrap_or_else(|error| serving::text(StatusCode::BAD_GATEWAY, format!("{error}\n")))
}

/// The runtime's address for the streams.
async fn url(node: &Node, pod: &Pod, kind: &str, container: &str, query: &str) -> Result<Uri, Response<Body>> {
    let failed =
        |error: crate::runtime::RuntimeError| serving::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
    let url = if kind == "portForward" {
        let ports = pairs(query).filter(|(name, _)| name == "port").filter_map(|(_, value)| value.parse().ok());
        let sandbox = sandbox(node, pod).await?;
        node.runtime.port_forward(&sandbox, ports.collect()).await.map_err(failed)?
    } else {
        let asked = asked(query);
        if !asked.stdin && !asked.stdout && !asked.stderr {
            let text = "you must specify at least 1 of stdin, stdout, stderr";
            return Err(serving::text(StatusCode::BAD_REQUEST, text));
        }
        let container_id = running(node, pod, container).await?;
        // With a terminal there is no standard error of its own.
        let (tty, stdin, stdout, stderr) = (asked.tty, asked.stdin, asked.stdout, asked.stderr && !asked.tty);
        if kind == "exec" {
            let request = ExecRequest { container_id, cmd: asked.command, tty, stdin, stdout, stderr };
            node.runtime.exec(request).await.map_err(failed)?
        } else {
            let request = AttachRequest { container_id, stdin, tty, stdout, stderr };
            node.runtime.attach(request).await.map_err(failed)?
        }
    };
    url.parse().map_err(|error| {
        serving::text(StatusCode::INTERNAL_SERVER_ERROR, format!("the runtime's address {url}: {error}\n"))
    })
}

fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    let is_true = |value: &str| matches!(value, "1" | "true");
    for (name, value) in pairs(query) {
        match name.as_str() {
            "command" => asked.command.push(value),
            "input" | "stdin" => asked.stdin = is_true(&value),
            "output" | "stdout" => asked.stdout = is_true(&value),
            "error" | "stderr" => asked.stderr = is_true(&value),
            "tty" => asked.tty = is_true(&value),
            _ => {}
        }
    }
    asked
}

async fn running(node: &Node, pod: &Pod, container: &str) -> Result<String, Response<Body>> {
    let selector = [(labels::POD_UID, spec::uid(pod)), (labels::CONTAINER_NAME, container)];
    let runs = node.runtime.list_containers(&selector).await;
    let runs = runs.map_err(|error| serving::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
    let run = runs.into_iter().find(|run| run.state == ContainerState::ContainerRunning as i32);
    run.map(|run| run.id).ok_or_else(|| {
        let name = format!("{}_{}", spec::name(pod), spec::namespace(pod));
        serving::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("container not found (\"{container}\") in pod {name}\n"),
        )
    })
}

async fn sandbox(node: &Node, pod: &Pod) -> Result<String, Response<Body>> {
    let found = node.runtime.list_pod_sandboxes(&[(labels::POD_UID, spec::uid(pod))]).await;
    let found = found.map_err(|error| serving::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
    let ready = found.into_iter().find(|sandbox| sandbox.state == PodSandboxState::SandboxReady as i32);
    ready.map(|sandbox| sandbox.id).ok_or_else(|| {
        let text = format!("failed to find sandbox for pod \"{}\"\n", spec::full_name(pod));
        serving::text(StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}

/// A command without streams: its output is the answer.
async fn run(node: &Node, pod: &Pod, container: &str, query: &str) -> Response<Body> {
    let id = match running(node, pod, container).await {
        Ok(id) => id,
        Err(refusal) => return refusal,
    };
    let command = pairs(query).find(|(name, _)| name == "cmd").map(|(_, value)| value).unwrap_or_default();
    let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
    match node.runtime.exec_sync(&id, &words, std::time::Duration::ZERO).await {
        Ok(output) => {
            let all = [output.stdout, output.stderr].concat();
            serving::text(StatusCode::OK, String::from_utf8_lossy(&all).into_owned())
        }
        Err(error) => serving::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Lets the client and the runtime upgrade with one another.
async fn pass(node: &Arc<Node>, url: &Uri, mut request: Request<Incoming>) -> Result<Response<Body>, String> {
    let client = hyper::upgrade::on(&mut request);
    let mut answer = ask(node, url, request.method().clone(), request.headers()).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (parts, body) = answer.into_parts();
        return Ok(Response::from_parts(parts, body.map_err(Into::into).boxed_unsync()));
    }
    let runtime = hyper::upgrade::on(&mut answer);
    detach(node.cancel(), "stream", async move {
        let (Ok(client), Ok(runtime)) = futures::future::join(client, runtime).await else { return };
        let copied = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(runtime)).await;
        if let Err(error) = copied {
            tracing::debug!(%error, "a stream broke");
        }
    });
    let mut switched = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    switched.headers_mut().clone_from(answer.headers());
    Ok(switched)
}

/// Asks the runtime's streaming server for an upgrade with the client's own headers.
pub(super) async fn ask(
    node: &Arc<Node>,
    url: &Uri,
    method: http::Method,
    headers: &HeaderMap,
) -> Result<Response<Incoming>, String> {
    let (host, port) = (url.host().unwrap_or("127.0.0.1"), url.port_u16().unwrap_or(80));
    let text = |error: hyper::Error| format!("the runtime's streaming server: {error}");
    let stream =
        TcpStream::connect((host, port)).await.map_err(|error| format!("the runtime's streaming server: {error}"))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(text)?;
    detach(node.cancel(), "streaming connection", async move {
        let _broken = connection.with_upgrades().await;
    });
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut ask = Request::builder()
        .method(method)
        .uri(path)
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    let hop = |name: &header::HeaderName| {
        *name == header::HOST || *name == header::AUTHORIZATION || *name == header::CONTENT_LENGTH
    };
    for (name, value) in headers.iter().filter(|(name, _)| !hop(name)) {
        ask.headers_mut().append(name, value.clone());
    }
    let host = header::HeaderValue::try_from(format!("{host}:{port}")).map_err(|error| error.to_string())?;
    ask.headers_mut().insert(header::HOST, host);
    sender.send_request(ask).await.map_err(text)
}

/// The names and values of a query, decoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries() {
        let asked = asked("command=sh&command=-c&command=echo+a%26b&input=1&stdout=true&tty=0");
        assert_eq!(asked.command, ["sh", "-c", "echo a&b"]);
        assert_eq!((asked.stdin, asked.stdout, asked.stderr, asked.tty), (true, true, false, false));
    }
}
