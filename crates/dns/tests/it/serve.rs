//! The server as a whole, over an API that always says the same.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use base::{CancellationToken, Clock, Random};
use client::{Client, full};
use dns::{Options, Upstream, run};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use http::{Request, Response};
use serde_json::json;

/// Lists one service and one namespace; watches never say anything.
async fn api(request: Request<client::Body>) -> Result<Response<client::Body>, client::BoxError> {
    if request.uri().query().unwrap_or_default().contains("watch=true") {
        return std::future::pending().await;
    }
    let items = match request.uri().path() {
        "/api/v1/services" => json!([{
            "metadata": {"name": "web", "namespace": "default", "resourceVersion": "3"},
            "spec": {"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"]},
        }]),
        "/api/v1/namespaces" => json!([{"metadata": {"name": "default", "resourceVersion": "2"}}]),
        _ => json!([]),
    };
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": items});
    Ok(Response::new(full(list.to_string())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_until_cancelled() {
    let address: SocketAddr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = Options { upstream: Upstream::Servers(Vec::new()), ..Options::new(vec![address]) };
    let cancel = CancellationToken::new();
    let client = Client::new(tower::service_fn(api));
    let server = base::spawn("dns", run(client, options, Clock::system(), Random::seeded(1), cancel.clone()));
    let ask = move |name: &'static str| {
        let mut request = Message::new(1, MessageType::Query, OpCode::Query);
        request.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut buffer = [0; 512];
        for _ in 0..50 {
            let _ = socket.send_to(&request.to_vec().unwrap(), address);
            if let Ok(read) = socket.recv(&mut buffer) {
                let reply = Message::from_vec(&buffer[..read]).unwrap();
                let records: Vec<String> = reply.answers.iter().map(ToString::to_string).collect();
                return format!("{:?} {}", reply.metadata.response_code, records.join(" "));
            }
        }
        "no answer".to_owned()
    };
    let seen = tokio::task::spawn_blocking(move || [ask("web.default.svc.cluster.local."), ask("example.com.")]).await;
    assert_eq!(seen.unwrap(), ["NoError web.default.svc.cluster.local. 5 IN A 10.96.0.5", "ServFail "]);
    cancel.cancel();
    server.await.unwrap().unwrap();
}
