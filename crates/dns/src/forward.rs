//! Asks upstream.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Random};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::upstream::servers;
use crate::{Options, Question};

/// Questions that wait for upstream at a time; the next is refused.
const MAX_WAITING: usize = 1000;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What we take by UDP (the DNS flag day's advice).
const UDP_PAYLOAD_BYTES: u16 = 1232;

/// The way to upstream. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Forwarder(Arc<Shared>);

struct Shared {
    options: Options,
    clock: Clock,
    random: Random,
    waiting: Semaphore,
    cache: Mutex<Cache>,
}

/// What the asker wants besides the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// DNSSEC records.
    pub dnssec: bool,
    /// A whole answer, however long: it came by TCP.
    pub whole: bool,
}

impl Forwarder {
    pub(crate) fn new(options: Options, clock: Clock, random: Random) -> Self {
        let waiting = Semaphore::new(MAX_WAITING);
        Self(Arc::new(Shared { options, clock, random, waiting, cache: Mutex::default() }))
    }

    /// What upstream answers; none if nobody does.
    pub(crate) async fn ask(&self, question: &Question, wants: Wants) -> Option<Message> {
        let shared = &*self.0;
        let asked = (question.name.to_lowercase(), question.record_type, wants.dnssec);
        if let Some(known) = shared.cache.lock().get(&asked, shared.clock.instant()) {
            return Some(known);
        }
        let _slot = shared.waiting.try_acquire().ok()?;
        // The file is a few lines in the page cache; reading it each time follows a laptop from network to network.
        for server in servers(&shared.options) {
            let Ok(Some(answer)) = shared.clock.timeout(PATIENCE, self.ask_one(server, question, wants)).await else {
                continue;
            };
            shared.cache.lock().put(asked, &answer, shared.clock.instant());
            return Some(answer);
        }
        None
    }

    async fn ask_one(&self, server: SocketAddr, question: &Question, wants: Wants) -> Option<Message> {
        let id = u16::try_from(self.0.random.below(usize::from(u16::MAX) + 1)).unwrap_or_default();
        let request = request(id, question, wants);
        let bytes = request.to_vec().ok()?;
        let answer = by_udp(server, &bytes, &request).await?;
        if !answer.metadata.truncation || !wants.whole {
            return Some(answer);
        }
        by_tcp(server, &bytes, &request).await
    }
}

fn request(id: u16, question: &Question, wants: Wants) -> Message {
    let mut request = Message::new(id, MessageType::Query, OpCode::Query);
    request.metadata.recursion_desired = true;
    request.add_query(Query::query(question.name.clone(), question.record_type));
    let mut edns = hickory_proto::op::Edns::new();
    edns.set_max_payload(UDP_PAYLOAD_BYTES);
    edns.set_dnssec_ok(wants.dnssec);
    request.set_edns(edns);
    request
}

/// Waits for the answer to our question and to no other (RFC 5452).
async fn by_udp(server: SocketAddr, bytes: &[u8], request: &Message) -> Option<Message> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(bytes).await.ok()?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let read = socket.recv(&mut buffer).await.ok()?;
        if let Some(answer) = read_answer(&buffer[..read], request) {
            return Some(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, bytes: &[u8], request: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let length = u16::try_from(bytes.len()).ok()?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await.ok()?;
    let mut answer = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut answer).await.ok()?;
    read_answer(&answer, request)
}

fn read_answer(bytes: &[u8], request: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let ours = answer.metadata.id == request.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries == request.queries;
    ours.then_some(answer)
}
