//! Receives questions by UDP and TCP and sends answers.

use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Clock, Tasks};
use hickory_proto::op::{Message, ResponseCode};
use parking_lot::RwLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::forward::{Forwarder, Wants};
use crate::message::{Transport, read, reply, write};
use crate::{Answer, Question, Zone, answer};

/// TCP connections served at a time on one address; the next waits.
const MAX_CONNECTIONS: usize = 256;

/// Questions by UDP answered at a time on one address; the next is dropped, and its asker asks again.
const MAX_DATAGRAMS: usize = 2000;

/// How long a TCP connection may be silent (RFC 7766 leaves it to the server).
const IDLE: Duration = Duration::from_secs(10);

/// What answers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    pub zone: Arc<RwLock<Zone>>,
    pub forwarder: Forwarder,
    pub clock: Clock,
}

impl Server {
    /// Answers datagrams until cancelled. What the zone knows is answered on the spot, the rest in tasks.
    pub(crate) async fn serve_udp(self, socket: UdpSocket, cancel: CancellationToken) {
        let (socket, slots) = (Arc::new(socket), Arc::new(Semaphore::new(MAX_DATAGRAMS)));
        let (mut tasks, mut buffer) = (Tasks::new(), vec![0; usize::from(u16::MAX)]);
        loop {
            let (length, from) = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                received = socket.recv_from(&mut buffer) => match received {
                    Ok(received) => received,
                    // An earlier answer met a closed port; that is the asker's affair.
                    Err(_) => continue,
                },
            };
            let Some((request, question)) = read(&buffer[..length]) else { continue };
            let asked = match question {
                Ok(question) => question,
                Err(code) => {
                    send(&socket, write(reply(&request, code), &request, Transport::Udp), from).await;
                    continue;
                }
            };
            if let Some(ready) = self.at_once(&request, &asked) {
                send(&socket, write(ready, &request, Transport::Udp), from).await;
                continue;
            }
            let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
            let (server, socket) = (self.clone(), socket.clone());
            tasks.spawn("dns-forward", async move {
                let reply = server.ask_upstream(&request, &asked, Transport::Udp).await;
                send(&socket, write(reply, &request, Transport::Udp), from).await;
                drop(slot);
            });
        }
    }

    /// Answers connections until cancelled.
    pub(crate) async fn serve_tcp(self, listener: TcpListener, cancel: CancellationToken) {
        let (mut tasks, slots) = (Tasks::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let server = self.clone();
            tasks.spawn("dns-connection", async move {
                server.converse(stream).await;
                drop(slot);
            });
        }
    }

    async fn converse(&self, mut stream: TcpStream) {
        while let Ok(Some(request)) = self.clock.timeout(IDLE, receive(&mut stream)).await {
            let Some((request, question)) = read(&request) else { return };
            let reply = match question {
                Err(code) => reply(&request, code),
                Ok(question) => match self.at_once(&request, &question) {
                    Some(ready) => ready,
                    None => self.ask_upstream(&request, &question, Transport::Tcp).await,
                },
            };
            let Some(bytes) = write(reply, &request, Transport::Tcp) else { return };
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
            if stream.write_all(&[&length, bytes.as_slice()].concat()).await.is_err() {
                return;
            }
        }
    }

    /// The reply, if the zone knows it.
    fn at_once(&self, request: &Message, question: &Question) -> Option<Message> {
        let Answer::Here { code, answers, authorities, additionals } = answer(&self.zone.read(), question) else {
            return None;
        };
        let mut reply = reply(request, code);
        reply.metadata.authoritative = true;
        (reply.answers, reply.authorities, reply.additionals) = (answers, authorities, additionals);
        Some(reply)
    }

    /// The reply that needs upstream.
    async fn ask_upstream(&self, request: &Message, question: &Question, transport: Transport) -> Message {
        let (aliases, asked) = match answer(&self.zone.read(), question) {
            Answer::Alias { answers, target } => {
                (answers, Question { name: target, record_type: question.record_type })
            }
            _ => (Vec::new(), question.clone()),
        };
        let dnssec = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        let wants = Wants { dnssec, whole: transport == Transport::Tcp };
        let Some(theirs) = self.forwarder.ask(&asked, wants).await else {
            let mut failure = reply(request, ResponseCode::ServFail);
            failure.answers = aliases;
            return failure;
        };
        let mut reply = reply(request, theirs.metadata.response_code);
        reply.metadata.truncation = theirs.metadata.truncation;
        reply.metadata.authentic_data = theirs.metadata.authentic_data;
        reply.answers = aliases.into_iter().chain(theirs.answers).collect();
        (reply.authorities, reply.additionals) = (theirs.authorities, theirs.additionals);
        reply
    }
}

async fn send(socket: &UdpSocket, bytes: Option<Vec<u8>>, to: std::net::SocketAddr) {
    if let Some(bytes) = bytes {
        // An answer that is lost is asked for again.
        let _ = socket.send_to(&bytes, to).await;
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut request).await.ok()?;
    Some(request)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use base::Random;
    use hickory_proto::op::{Edns, MessageType, OpCode, Query};
    use hickory_proto::rr::{Name, RData, Record, RecordType};
    use serde_json::json;

    use super::*;
    use crate::{Options, Upstream};

    /// A zone with one headless service of `endpoints` endpoints.
    fn zone(endpoints: usize) -> Zone {
        let mut zone = Zone::new("cluster.local");
        let service = json!({"metadata": {"name": "db", "namespace": "default"}, "spec": {"clusterIP": "None"}});
        zone.set_service(&"default/db".into(), Some(Arc::new(serde_json::from_value(service).unwrap())));
        let addresses: Vec<_> =
            (0..endpoints).map(|n| json!({"addresses": [format!("10.1.{}.{}", n / 250, n % 250)]})).collect();
        let slice = json!({
            "metadata": {"name": "db-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "db"}},
            "addressType": "IPv4", "endpoints": addresses,
        });
        zone.set_slice(&"default/db-1".into(), None, Some(Arc::new(serde_json::from_value(slice).unwrap())));
        zone
    }

    /// Starts a server; gives its address. It ends with the runtime.
    async fn start(zone: Zone, upstream: SocketAddr, tasks: &mut Tasks) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let clock = Clock::system();
        let options = Options { upstream: Upstream::Servers(vec![upstream]), ..Options::new(vec![address]) };
        let forwarder = Forwarder::new(options, clock.clone(), Random::seeded(1));
        let server = Server { zone: Arc::new(RwLock::new(zone)), forwarder, clock };
        tasks.spawn("udp", server.clone().serve_udp(udp, CancellationToken::new()));
        tasks.spawn("tcp", server.serve_tcp(tcp, CancellationToken::new()));
        address
    }

    fn question(name: &str, edns: bool) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        if edns {
            message.set_edns(Edns::new().set_max_payload(4096).clone());
        }
        message
    }

    async fn by_udp(server: SocketAddr, request: &[u8]) -> Message {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(request, server).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let (read, _) = socket.recv_from(&mut buffer).await.unwrap();
        Message::from_vec(&buffer[..read]).unwrap()
    }

    async fn by_tcp(server: SocketAddr, request: &[u8]) -> Message {
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_u16(u16::try_from(request.len()).unwrap()).await.unwrap();
        stream.write_all(request).await.unwrap();
        Message::from_vec(&receive(&mut stream).await.unwrap()).unwrap()
    }

    fn summary(reply: &Message) -> String {
        let meta = &reply.metadata;
        format!(
            "{:?} answers={} TC={} AA={}",
            meta.response_code,
            reply.answers.len(),
            meta.truncation,
            meta.authoritative
        )
    }

    #[tokio::test]
    async fn long_answers_are_cut_by_udp_and_whole_by_tcp() {
        let nobody = "127.0.0.1:1".parse().unwrap();
        let mut tasks = Tasks::new();
        let mut seen = Vec::new();
        for endpoints in [20, 60, 300] {
            let server = start(zone(endpoints), nobody, &mut tasks).await;
            for edns in [false, true] {
                let request = question("db.default.svc.cluster.local.", edns).to_vec().unwrap();
                seen.push(format!("{endpoints} edns={edns} udp: {}", summary(&by_udp(server, &request).await)));
            }
            let request = question("db.default.svc.cluster.local.", false).to_vec().unwrap();
            seen.push(format!("{endpoints} tcp: {}", summary(&by_tcp(server, &request).await)));
        }
        expect_test::expect![[r#"
            20 edns=false udp: NoError answers=20 TC=false AA=true
            20 edns=true udp: NoError answers=20 TC=false AA=true
            20 tcp: NoError answers=20 TC=false AA=true
            60 edns=false udp: NoError answers=0 TC=true AA=true
            60 edns=true udp: NoError answers=60 TC=false AA=true
            60 tcp: NoError answers=60 TC=false AA=true
            300 edns=false udp: NoError answers=0 TC=true AA=true
            300 edns=true udp: NoError answers=0 TC=true AA=true
            300 tcp: NoError answers=300 TC=false AA=true"#]]
        .assert_eq(&seen.join("\n"));
    }

    #[tokio::test]
    async fn other_names_are_asked_upstream_once() {
        let mut tasks = Tasks::new();
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap();
        tasks.spawn("upstream", async move {
            let mut buffer = [0; 4096];
            // One question only: the second answer is the cache's.
            let (read, from) = upstream.recv_from(&mut buffer).await.unwrap();
            let asked = Message::from_vec(&buffer[..read]).unwrap();
            let mut answer = Message::response(asked.metadata.id, OpCode::Query);
            answer.add_query(asked.queries[0].clone());
            let record =
                Record::from_rdata(asked.queries[0].name().clone(), 60, RData::A("192.0.2.9".parse().unwrap()));
            answer.add_answer(record);
            upstream.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        });
        let server = start(zone(1), address, &mut tasks).await;
        let request = question("example.com.", true).to_vec().unwrap();
        for reply in [by_udp(server, &request).await, by_tcp(server, &request).await] {
            assert_eq!(reply.metadata.id, 7);
            assert_eq!(summary(&reply), "NoError answers=1 TC=false AA=false");
        }
    }

    #[tokio::test]
    async fn bad_requests_are_refused_and_survived() {
        let mut tasks = Tasks::new();
        let server = start(zone(1), "127.0.0.1:1".parse().unwrap(), &mut tasks).await;
        let mut seen = Vec::new();
        let good = question("db.default.svc.cluster.local.", true);
        let mut two = good.clone();
        two.add_query(good.queries[0].clone());
        let mut update = good.clone();
        update.metadata.op_code = OpCode::Notify;
        let mut late = good.clone();
        late.set_edns(Edns::new().set_version(1).clone());
        for request in [
            two.to_vec().unwrap(),
            update.to_vec().unwrap(),
            late.to_vec().unwrap(),
            [b"\0\x07\0\0\0\x01\0\0\0\0\0\0" as &[u8], &[64]].concat(),
        ] {
            seen.push(summary(&by_udp(server, &request).await));
        }
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(b"x", server).await.unwrap();
        seen.push(summary(&by_udp(server, &good.to_vec().unwrap()).await));
        expect_test::expect![[r#"
            FormErr answers=0 TC=false AA=false
            NotImp answers=0 TC=false AA=false
            BADSIG answers=0 TC=false AA=false
            FormErr answers=0 TC=false AA=false
            NoError answers=1 TC=false AA=true"#]]
        .assert_eq(&seen.join("\n"));
    }
}
