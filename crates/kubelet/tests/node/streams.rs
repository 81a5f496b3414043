//! The kubelet's server: logs, commands with standard input, forwarded ports; and who may not ask.

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::lifecycle::{pod, ready, shell};
use crate::machine::Machine;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn get(machine: &Machine, path: &str, trusted: bool) -> (StatusCode, String) {
    let stream = machine.connect(trusted).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let task = base::spawn("connection", async move { drop(connection.await) });
    let request = Request::get(path).header("host", "node").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    task.await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn socket(machine: &Machine, path: &str, protocol: &str) -> Socket {
    let stream = machine.connect(true).await;
    let mut request = format!("wss://node{path}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], protocol);
    socket
}

/// All that comes on each channel until the end.
async fn channels(mut socket: Socket) -> [String; 5] {
    let mut all: [String; 5] = Default::default();
    while let Some(Ok(message)) = socket.next().await {
        let data = message.into_data();
        let Some((channel, data)) = data.split_first() else { continue };
        if let Some(text) = all.get_mut(usize::from(*channel)) {
            text.push_str(&String::from_utf8_lossy(data));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_commands_and_ports() {
    let machine = Machine::start().await;
    let api = machine.api.clone();
    let script = "echo one; echo two >&2; mkdir -p /tmp/www; echo hello > /tmp/www/index.html; httpd -p 8080 -h /tmp/www; sleep 1000";
    let mut container = shell("main", script);
    container["readinessProbe"] = json!({"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1});
    let (path, object) = pod("web", json!({"terminationGracePeriodSeconds": 1, "containers": [container]}));
    api.put(&path, object);
    api.until(&path, "ready", ready).await;

    let (status, _) = get(&machine, "/containerLogs/default/web/main", false).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (_, text) = get(&machine, "/containerLogs/default/web/main", true).await;
    assert!(text == "one\ntwo\n" || text == "two\none\n", "{text}");
    let (_, text) = get(&machine, "/containerLogs/default/web/main?tailLines=1&timestamps=true", true).await;
    assert!(text.lines().count() == 1 && text.starts_with("20"), "{text}");
    let (status, text) = get(&machine, "/containerLogs/default/web/other", true).await;
    assert_eq!((status, text.as_str()), (StatusCode::NOT_FOUND, "container \"other\" not found in pod \"web\"\n"));

    // `cat` ends only when its standard input does.
    let exec = "/exec/default/web/main?command=cat&input=1&output=1&error=1";
    let mut v5 = socket(&machine, exec, "v5.channel.k8s.io").await;
    v5.send(Message::Binary(Bytes::from_static(b"\0hello"))).await.unwrap();
    v5.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.unwrap();
    let all = channels(v5).await;
    assert_eq!(all[1], "hello");
    let end: Value = serde_json::from_str(&all[3]).unwrap();
    assert_eq!(end["status"], "Success");

    let exec =
        "/exec/default/web/main?command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+3&output=1&error=1";
    for version in ["v4.channel.k8s.io", "v5.channel.k8s.io"] {
        let all = channels(socket(&machine, exec, version).await).await;
        assert_eq!((all[1].as_str(), all[2].as_str()), ("out\n", "err\n"), "{version}");
        let end: Value = serde_json::from_str(&all[3]).unwrap();
        assert_eq!(end["details"]["causes"][0]["message"], "3", "{version}");
    }
    machine.clean_up().await;
}
