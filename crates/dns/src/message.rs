//! From a request's bytes to a question, and from an answer to bytes that fit. Pure.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

use crate::Question;

/// What an asker without EDNS takes by UDP (RFC 1035).
const PLAIN_UDP_BYTES: usize = 512;

/// The most that goes out by UDP: more would be cut to pieces on the way (the DNS flag day's advice).
const MAX_UDP_BYTES: u16 = 1232;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Reads a request: the question, or the answer to a request that asks none. None: not worth an answer.
pub(crate) fn read(request: &[u8]) -> Option<(Message, Result<Question, ResponseCode>)> {
    let Ok(message) = Message::from_vec(request) else {
        // Whoever sent a whole header may hear that the rest is wrong.
        let id = u16::from_be_bytes([*request.first()?, *request.get(1)?]);
        let is_query = request.get(2)? & 0x80 == 0 && request.len() >= 12;
        let message = Message::new(id, MessageType::Query, OpCode::Query);
        return is_query.then_some((message, Err(ResponseCode::FormErr)));
    };
    if message.metadata.message_type != MessageType::Query {
        return None;
    }
    let question = question(&message);
    Some((message, question))
}

fn question(message: &Message) -> Result<Question, ResponseCode> {
    if message.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    let [query] = message.queries.as_slice() else { return Err(ResponseCode::FormErr) };
    if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Err(ResponseCode::BADVERS);
    }
    let transfer = matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR);
    if query.query_class() != DNSClass::IN || transfer {
        return Err(ResponseCode::Refused);
    }
    let mut name = query.name().clone();
    name.set_fqdn(true);
    Ok(Question { name, record_type: query.query_type() })
}

/// An empty answer to a request.
pub(crate) fn reply(request: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&request.metadata);
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = code;
    reply.add_queries(request.queries.iter().cloned());
    if let Some(asked) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP_BYTES);
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        edns.set_rcode_high(code.high());
        reply.set_edns(edns);
    }
    reply
}

/// The reply's bytes. What is too long for the way loses what only helps, then everything: the asker comes by TCP.
pub(crate) fn write(mut reply: Message, request: &Message, transport: Transport) -> Option<Vec<u8>> {
    let limit = match (transport, &request.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => PLAIN_UDP_BYTES,
        (Transport::Udp, Some(edns)) => usize::from(edns.max_payload().min(MAX_UDP_BYTES)).max(PLAIN_UDP_BYTES),
    };
    let whole = reply.to_vec().ok()?;
    if whole.len() <= limit {
        return Some(whole);
    }
    reply.additionals.clear();
    let without = reply.to_vec().ok()?;
    if without.len() <= limit { Some(without) } else { reply.truncate().to_vec().ok() }
}
