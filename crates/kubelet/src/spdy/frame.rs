//! SPDY/3.1's frames as bytes.

/// A frame's first bytes.
pub(super) const HEAD: usize = 8;
/// Data goes in frames of at most this size (a length has 24 bits).
pub(super) const DATA_LIMIT: usize = 32 << 10;

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const FIN: u8 = 1;

/// The parsed first bytes of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    first: u32,
    flags: u8,
    pub(super) length: usize,
}

/// What a frame means to us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Data { stream: u32, last: bool },
    Reset { stream: u32 },
    Ping { id: u32 },
    GoAway,
    Other,
}

impl Header {
    pub(super) fn parse(head: [u8; HEAD]) -> Self {
        let [a, b, c, d, flags, x, y, z] = head;
        let length = u32::from_be_bytes([0, x, y, z]) as usize;
        Self { first: u32::from_be_bytes([a, b, c, d]), flags, length }
    }

    pub(super) fn frame(self, body: &[u8]) -> Frame {
        if self.first >> 31 == 0 {
            return Frame::Data { stream: self.first, last: self.flags & FIN != 0 };
        }
        let number = body.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
        match (self.first as u16, number) {
            (RST_STREAM, Some(stream)) => Frame::Reset { stream: stream & 0x7fff_ffff },
            (PING, Some(id)) => Frame::Ping { id },
            (GO_AWAY, _) => Frame::GoAway,
            _ => Frame::Other,
        }
    }
}

/// Names and values, each with its length before it.
pub(super) fn header_block(headers: &[(&str, &str)]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).expect("a header is shorter than 4 GiB").to_be_bytes();
    let mut block = length(headers.len()).to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        block.extend_from_slice(&length(text.len()));
        block.extend_from_slice(text.as_bytes());
    }
    block
}

pub(super) fn syn_stream(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut body = stream.to_be_bytes().to_vec();
    // No associated stream, priority and slot 0.
    body.extend_from_slice(&[0; 6]);
    body.extend_from_slice(block);
    control(SYN_STREAM, &body)
}

pub(super) fn ping(id: u32) -> Vec<u8> {
    control(PING, &id.to_be_bytes())
}

pub(super) fn data_header(stream: u32, length: usize, last: bool) -> [u8; HEAD] {
    let [a, b, c, d] = stream.to_be_bytes();
    let [_, x, y, z] = u32::try_from(length).expect("a data frame is small").to_be_bytes();
    [a, b, c, d, if last { FIN } else { 0 }, x, y, z]
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let [_, x, y, z] = u32::try_from(body.len()).expect("a control frame is small").to_be_bytes();
    let mut frame = (0x8000 | VERSION).to_be_bytes().to_vec();
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(&[0, x, y, z]);
    frame.extend_from_slice(body);
    frame
}
