//! How the files are written: frames with checksums, each holding what one group of writes did.
//!
//! A frame is magic, length, CRC-32 of the payload, payload; all numbers little endian. The magic ends in the format's
//! version. A frame is there as a whole or not at all, and so is what it holds.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;

use crate::Revision;
use crate::plan::{KEY_LIMIT, Live, Record, VALUE_LIMIT};

const MAGIC: [u8; 4] = *b"cox1";

/// Bytes before the payload.
pub const HEADER: usize = 12;

/// No frame of ours is longer: a full group and one more of the largest values.
pub const PAYLOAD_LIMIT: usize = 64 << 20;

/// What a frame holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A change. In a snapshot: an entry.
    Change(Record),
    /// The history up to here is forgotten.
    Compact(Revision),
    /// The snapshot that follows shows the store at this revision.
    Begin(Revision),
    /// The snapshot ends here and has so many entries.
    End(u64),
}

/// A frame in the making.
#[derive(Debug, Default)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// Forgets what was added, but keeps its room unless that is uncommonly large.
    pub fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(KEEP_BYTES);
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an item.
    pub fn push(&mut self, item: &Item) {
        match item {
            Item::Change(Record { key, revision, live }) => self.push_change(key, *revision, live.as_ref()),
            Item::Compact(revision) => self.push_number(COMPACT, revision.0),
            Item::Begin(revision) => self.push_number(BEGIN, revision.0),
            Item::End(count) => self.push_number(END, *count),
        }
    }

    /// Adds a change without owning it.
    pub fn push_change(&mut self, key: &str, revision: Revision, live: Option<&Live>) {
        let Some(live) = live else {
            self.push_number(DELETE, revision.0);
            self.push_bytes(key.as_bytes());
            return;
        };
        self.push_number(if live.expires.is_some() { PUT_EXPIRING } else { PUT }, revision.0);
        self.0.extend_from_slice(&live.create.0.to_le_bytes());
        self.0.extend_from_slice(&live.version.to_le_bytes());
        if let Some(expires) = live.expires {
            self.0.extend_from_slice(&expires.to_le_bytes());
        }
        self.push_bytes(key.as_bytes());
        self.push_bytes(&live.value);
    }

    fn push_number(&mut self, kind: u8, number: u64) {
        if self.0.is_empty() {
            self.0.extend_from_slice(&[0; HEADER]);
        }
        self.0.push(kind);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn push_bytes(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("keys and values are limited to far less");
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// The bytes to write.
    pub fn finish(&mut self) -> &[u8] {
        let payload = self.0.len() - HEADER;
        assert!(payload <= PAYLOAD_LIMIT, "groups are limited to less than a frame");
        let crc = crc32fast::hash(&self.0[HEADER..]);
        let length = u32::try_from(payload).expect("the payload is limited to less");
        self.0[..4].copy_from_slice(&MAGIC);
        self.0[4..8].copy_from_slice(&length.to_le_bytes());
        self.0[8..HEADER].copy_from_slice(&crc.to_le_bytes());
        &self.0
    }
}

/// A frame's buffer that grew beyond this is given back.
const KEEP_BYTES: usize = 256 << 10;

const PUT: u8 = 1;
const PUT_EXPIRING: u8 = 2;
const DELETE: u8 = 3;
const COMPACT: u8 = 4;
const BEGIN: u8 = 5;
const END: u8 = 6;

/// What stands at a place in a file.
#[derive(Debug)]
pub enum Found {
    /// A whole frame with its payload.
    Frame(Vec<u8>),
    /// The file ends, or only zeros written ahead follow.
    End,
    /// Neither; the bytes that were read there.
    Broken(Vec<u8>),
}

/// Reads the next frame.
///
/// # Errors
/// The system's.
pub fn read(file: &mut impl Read) -> io::Result<Found> {
    let mut header = Vec::with_capacity(HEADER);
    file.by_ref().take(HEADER as u64).read_to_end(&mut header)?;
    if header.iter().all(|byte| *byte == 0) {
        return Ok(Found::End);
    }
    let Some((length, crc)) = parse_header(&header) else { return Ok(Found::Broken(header)) };
    let mut payload = Vec::with_capacity(length);
    file.by_ref().take(length as u64).read_to_end(&mut payload)?;
    if payload.len() == length && crc32fast::hash(&payload) == crc {
        return Ok(Found::Frame(payload));
    }
    header.extend_from_slice(&payload);
    Ok(Found::Broken(header))
}

fn parse_header(bytes: &[u8]) -> Option<(usize, u32)> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, _) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (*magic == MAGIC && length <= PAYLOAD_LIMIT).then_some((length, u32::from_le_bytes(*crc)))
}

/// Whether a whole frame begins anywhere in `bytes`: then what stands before it was once acknowledged.
pub fn holds_frame(bytes: &[u8]) -> bool {
    let whole = |at: usize| {
        let Some((length, crc)) = parse_header(&bytes[at..]) else { return false };
        bytes.get(at + HEADER..at + HEADER + length).is_some_and(|payload| crc32fast::hash(payload) == crc)
    };
    bytes.windows(MAGIC.len()).enumerate().any(|(at, window)| window == MAGIC && whole(at))
}

/// The items of a payload; `None` in place of the first that makes no sense.
pub fn items(payload: &[u8]) -> impl Iterator<Item = Option<Item>> {
    let mut rest = Some(payload);
    std::iter::from_fn(move || {
        let mut reader = Reader(rest.take().filter(|rest| !rest.is_empty())?);
        let item = reader.item();
        rest = item.is_some().then_some(reader.0);
        Some(item)
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn item(&mut self) -> Option<Item> {
        let [kind] = self.array()?;
        let number = u64::from_le_bytes(self.array()?);
        Some(match kind {
            PUT | PUT_EXPIRING => Item::Change(self.put(Revision(number), kind == PUT_EXPIRING)?),
            DELETE => Item::Change(Record { revision: Revision(number), key: self.key()?, live: None }),
            COMPACT => Item::Compact(Revision(number)),
            BEGIN => Item::Begin(Revision(number)),
            END => Item::End(number),
            _ => return None,
        })
    }

    fn put(&mut self, revision: Revision, expiring: bool) -> Option<Record> {
        let create = Revision(u64::from_le_bytes(self.array()?));
        let version = u64::from_le_bytes(self.array()?);
        let expires = if expiring { Some(i64::from_le_bytes(self.array()?)) } else { None };
        let key = self.key()?;
        let value = Bytes::copy_from_slice(self.bytes(VALUE_LIMIT)?);
        Some(Record { key, revision, live: Some(Live { value, create, version, expires }) })
    }

    fn key(&mut self) -> Option<Arc<str>> {
        Some(std::str::from_utf8(self.bytes(KEY_LIMIT)?).ok()?.into())
    }

    fn bytes(&mut self, limit: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(self.array()?)).ok().filter(|length| *length <= limit)?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_items() -> Vec<Item> {
        let live = |expires| Some(Live { value: "cox1".into(), create: Revision(2), version: 3, expires });
        vec![
            Item::Begin(Revision(9)),
            Item::Change(Record { key: "/a".into(), revision: Revision(7), live: live(None) }),
            Item::Change(Record { key: "/b".into(), revision: Revision(8), live: live(Some(-5)) }),
            Item::Change(Record { key: "/c".into(), revision: Revision(9), live: None }),
            Item::Compact(Revision(8)),
            Item::End(2),
        ]
    }

    fn written() -> Vec<u8> {
        let mut frame = Frame::default();
        some_items().iter().for_each(|item| frame.push(item));
        frame.finish().to_vec()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut file = written();
        file.extend_from_slice(&[0; 100]);
        let mut file = file.as_slice();
        let Found::Frame(payload) = read(&mut file).unwrap() else { panic!("no frame") };
        assert_eq!(items(&payload).collect::<Option<Vec<_>>>().unwrap(), some_items());
        assert!(matches!(read(&mut file).unwrap(), Found::End));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let whole = written();
        for length in 1..whole.len() {
            assert!(matches!(read(&mut &whole[..length]).unwrap(), Found::Broken(_)), "cut at {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(&mut flipped.as_slice()).unwrap(), Found::Broken(_)), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_after_rubbish_is_found() {
        let mut file = vec![7; 50];
        assert!(!holds_frame(&file));
        file.extend_from_slice(&written());
        assert!(holds_frame(&file));
        file.pop();
        assert!(!holds_frame(&file));
    }

    #[test]
    fn nonsense_in_a_payload_is_reported_once() {
        let found: Vec<_> = items(&[99, 0, 0, 0, 0, 0, 0, 0, 0]).collect();
        assert_eq!(found, [None]);
    }
}
