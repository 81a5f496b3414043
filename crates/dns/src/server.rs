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
                let reply = server.from_upstream(&request, &asked, Transport::Udp).await;
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
                    None => self.from_upstream(&request, &question, Transport::Tcp).await,
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
    async fn from_upstream(&self, request: &Message, question: &Question, transport: Transport) -> Message {
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
