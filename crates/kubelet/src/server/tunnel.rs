//! What runtimes do not speak, translated: SPDY inside WebSocket for port-forward, and version 5 of the WebSocket
//! channels for commands (KEP-4006), whose end of standard input only SPDY can carry on.

use std::sync::Arc;

use bytes::Bytes;
use client::Body;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::{detach, streams};
use crate::node::Node;
use crate::spdy::{Event, Reader, Writer};

/// SPDY for port-forward inside WebSocket messages.
pub(super) const PORT_FORWARD: &str = "SPDY/3.1+portforward.k8s.io";
/// The channels with an end of each.
pub(super) const V5: &str = "v5.channel.k8s.io";

const STREAM_VERSION: &str = "x-stream-protocol-version";
const BLOCK: usize = 32 << 10;

/// A channel's number is its place here; SPDY's servers expect them in the order of [`OPENING`].
const CHANNELS: [&str; 5] = ["stdin", "stdout", "stderr", "error", "resize"];
const OPENING: [u8; 5] = [3, 0, 1, 2, 4];
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// The message that ends a channel.
const CLOSE: u8 = 255;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The WebSocket protocols that a client offers.
pub(super) fn protocols(headers: &HeaderMap) -> Vec<String> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect()
}

/// Port-forward: what is inside the WebSocket goes to the runtime as it is.
pub(super) async fn port_forward(
    node: &Arc<Node>,
    url: &Uri,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, String> {
    let runtime = spdy(node, url, "portforward.k8s.io").await?;
    let (answer, socket) = accept(&mut request, PORT_FORWARD)?;
    detach(node.cancel(), "port-forward", async move {
        let Some(socket) = socket.await else { return };
        let (mut to_client, mut from_client) = socket.split();
        let (mut from_runtime, mut to_runtime) = tokio::io::split(TokioIo::new(runtime));
        let up = async {
            while let Some(Ok(message)) = from_client.next().await {
                if message.is_close() || !message.is_binary() && !message.is_text() {
                    continue;
                }
                if to_runtime.write_all(&message.into_data()).await.is_err() || to_runtime.flush().await.is_err() {
                    break;
                }
            }
        };
        let down = async {
            let mut block = vec![0; BLOCK];
            while let Ok(count @ 1..) = from_runtime.read(&mut block).await {
                if to_client.send(Message::Binary(Bytes::copy_from_slice(&block[..count]))).await.is_err() {
                    return;
                }
            }
            let _gone = to_client.send(good_end()).await;
        };
        futures::future::select(std::pin::pin!(up), std::pin::pin!(down)).await;
    });
    Ok(answer)
}

/// A command or attachment over version 5 of the channels.
pub(super) async fn exec(
    node: &Arc<Node>,
    url: &Uri,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, String> {
    let wanted = wanted(request.uri().query().unwrap_or_default());
    let runtime = spdy(node, url, "v4.channel.k8s.io").await?;
    let (answer, socket) = accept(&mut request, V5)?;
    detach(node.cancel(), "exec", async move {
        let Some(socket) = socket.await else { return };
        if let Err(error) = translate(socket, runtime, wanted).await {
            tracing::debug!(%error, "a command's stream broke");
        }
    });
    Ok(answer)
}

/// Clients take an end without code 1000 (RFC 6455, 7.4.1) for a broken connection.
fn good_end() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// The channels that the query asks for.
fn wanted(query: &str) -> Vec<u8> {
    let pairs: Vec<(String, String)> = streams::pairs(query).collect();
    let on = |names: [&str; 2]| {
        pairs.iter().any(|(name, value)| names.contains(&name.as_str()) && matches!(value.as_str(), "1" | "true"))
    };
    let tty = on(["tty", "tty"]);
    let has = |channel: &u8| match CHANNELS[usize::from(*channel)] {
        "stdin" => on(["stdin", "input"]),
        "stdout" => on(["stdout", "output"]),
        "stderr" => on(["stderr", "error"]) && !tty,
        "resize" => tty,
        _ => true,
    };
    OPENING.into_iter().filter(has).collect()
}

async fn translate(socket: Socket, runtime: Upgraded, wanted: Vec<u8>) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let (mut to_client, mut from_client) = socket.split();
    let (from_runtime, to_runtime) = tokio::io::split(TokioIo::new(runtime));
    let (mut reader, mut writer) = (Reader::new(from_runtime), Writer::new(to_runtime).map_err(text)?);
    let mut opened = Vec::new();
    for channel in wanted {
        let stream = writer.open("streamtype", CHANNELS[usize::from(channel)]).await.map_err(text)?;
        opened.push((channel, stream));
    }
    let stream_of = |channel: u8| opened.iter().find(|(known, _)| *known == channel).map(|(_, stream)| *stream);
    let channel_of = |stream: u32| opened.iter().find(|(_, known)| *known == stream).map(|(channel, _)| *channel);
    // The client waits for a first word before it believes that it is connected.
    let first = [STDOUT, STDERR].into_iter().find(|channel| stream_of(*channel).is_some()).unwrap_or(ERROR);
    to_client.send(Message::Binary(Bytes::copy_from_slice(&[first]))).await.map_err(|error| error.to_string())?;
    // Reading a frame takes several steps, so one task reads: a step half done is never dropped.
    let (sender, mut events) = tokio::sync::mpsc::channel(1);
    let reading = async move {
        loop {
            let event = reader.next().await.unwrap_or(Event::End);
            let end = event == Event::End;
            if sender.send(event).await.is_err() || end {
                return;
            }
        }
    };
    let talking = async {
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(Event::Data { stream, data, last: _ }) => {
                        let Some(channel) = channel_of(stream).filter(|_| !data.is_empty()) else { continue };
                        let message = [&[channel], data.as_ref()].concat();
                        to_client.send(Message::Binary(message.into())).await.map_err(|error| error.to_string())?;
                    }
                    Some(Event::Ping { id }) => writer.pong(id).await.map_err(text)?,
                    Some(Event::Reset { .. }) => {}
                    Some(Event::End) | None => {
                        let _gone = to_client.send(good_end()).await;
                        return Ok(());
                    }
                },
                message = from_client.next() => {
                    let Some(Ok(message)) = message else { return Ok(()) };
                    if !message.is_binary() {
                        continue;
                    }
                    let data = message.into_data();
                    match data.split_first() {
                        Some((&CLOSE, [channel, ..])) => {
                            if let Some(stream) = stream_of(*channel) {
                                writer.data(stream, &[], true).await.map_err(text)?;
                            }
                        }
                        Some((channel, data)) if !data.is_empty() => {
                            if let Some(stream) = stream_of(*channel) {
                                writer.data(stream, data, false).await.map_err(text)?;
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    };
    let (talked, ()) = tokio::select! {
        biased;
        talked = talking => (talked, ()),
        never = async { reading.await; std::future::pending().await } => never,
    };
    talked
}

/// Upgrades to SPDY with the runtime's streaming server.
async fn spdy(node: &Arc<Node>, url: &Uri, version: &'static str) -> Result<Upgraded, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(STREAM_VERSION, HeaderValue::from_static(version));
    let mut answer = streams::ask(node, url, Method::POST, &headers).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let code = answer.status();
        let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(format!("the runtime's streaming server answered {code}: {}", String::from_utf8_lossy(&body)));
    }
    hyper::upgrade::on(&mut answer).await.map_err(|error| error.to_string())
}

/// Accepts the client's WebSocket (RFC 6455); the socket is there once the answer has gone.
fn accept(
    request: &mut Request<Incoming>,
    protocol: &'static str,
) -> Result<(Response<Body>, impl Future<Output = Option<Socket>> + use<>), String> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).ok_or("Sec-WebSocket-Key is missing")?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|error| error.to_string())?;
    let upgrade = hyper::upgrade::on(request);
    let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    let socket = async move {
        let upgraded = upgrade.await.ok()?;
        Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
    };
    Ok((answer, socket))
}
