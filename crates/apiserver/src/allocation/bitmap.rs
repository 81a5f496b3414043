//! The node ports that are taken, one bit each, in the form in which all servers of a store share them: a
//! RangeAllocation, whose data is a big-endian number.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use base::Random;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use machinery::{Value, json, value};

/// The ports that nodes open for services (`--service-node-port-range`).
pub const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// The low part is left to those who choose themselves: a thirty-second of the range, within these bounds (KEP-3668).
const LEAST_STATIC: usize = 16;
const MOST_STATIC: usize = 128;
const STATIC_PART: usize = 32;

/// The ports that are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitmap(BTreeSet<u16>);

/// How the range is written.
#[must_use]
pub fn range() -> String {
    format!("{}-{}", NODE_PORTS.start(), NODE_PORTS.end())
}

impl Bitmap {
    /// Nothing but these; those out of range are left out.
    #[must_use]
    pub fn of(ports: impl IntoIterator<Item = u16>) -> Self {
        Self(ports.into_iter().filter(|port| NODE_PORTS.contains(port)).collect())
    }

    /// What is stored; `None` when it is of another range or cannot be read.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let object = json::parse(bytes).ok()?;
        if object.str_at(&["range"]) != Some(range().as_str()) {
            return None;
        }
        let data = STANDARD.decode(object.str_at(&["data"]).unwrap_or_default()).ok()?;
        let bits = data
            .iter()
            .rev()
            .enumerate()
            .flat_map(|(i, byte)| (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| i * 8 + bit));
        Some(Self::of(bits.filter_map(|bit| NODE_PORTS.start().checked_add(u16::try_from(bit).ok()?))))
    }

    /// What to store.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let offsets = || self.0.iter().map(|port| usize::from(port - NODE_PORTS.start()));
        let mut data = vec![0u8; offsets().max().map_or(0, |highest| highest / 8 + 1)];
        for offset in offsets() {
            data[offset / 8] |= 1 << (offset % 8);
        }
        data.reverse();
        let object: Value = value!({
            "kind": "RangeAllocation",
            "apiVersion": "v1",
            "metadata": {},
            "range": (range()),
            "data": (STANDARD.encode(data))
        });
        crate::storage::encode(&object)
    }

    /// Whether the port is taken.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(&port)
    }

    /// Takes the port; false if it is taken already.
    pub fn take(&mut self, port: u16) -> bool {
        self.0.insert(port)
    }

    /// Takes a free port: one from anywhere in the upper part, or else in the lower one.
    pub fn take_any(&mut self, random: &Random) -> Option<u16> {
        let size = NODE_PORTS.len();
        let low = (size / STATIC_PART).clamp(LEAST_STATIC, MOST_STATIC);
        let upper = around(low, size - low, random);
        let lower = around(0, low, random);
        let mut ports =
            upper.chain(lower).filter_map(|offset| NODE_PORTS.start().checked_add(u16::try_from(offset).ok()?));
        let free = ports.find(|port| !self.0.contains(port))?;
        self.0.insert(free);
        Some(free)
    }

    /// Gives the port back.
    pub fn release(&mut self, port: u16) {
        self.0.remove(&port);
    }

    /// The ports that are taken, in order.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }
}

/// The `count` numbers from `begin` on, beginning anywhere among them.
fn around(begin: usize, count: usize, random: &Random) -> impl Iterator<Item = usize> + use<> {
    let start = random.below(count);
    (0..count).map(move |i| begin + (start + i) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_stock_servers() {
        let bitmap = Bitmap::of([30_000, 30_009, 29_999]);
        let stored = bitmap.encode();
        expect_test::expect![[
            r#"{"kind":"RangeAllocation","apiVersion":"v1","metadata":{},"range":"30000-32767","data":"AgE="}"#
        ]]
        .assert_eq(&String::from_utf8_lossy(&stored));
        assert_eq!(Bitmap::decode(&stored), Some(bitmap));
        assert_eq!(Bitmap::decode(&Bitmap::default().encode()), Some(Bitmap::default()));
        assert_eq!(Bitmap::decode(br#"{"range":"30000-30010","data":""}"#), None);
        assert_eq!(Bitmap::decode(b"?"), None);
    }

    #[test]
    fn the_upper_part_goes_first_and_all_go_once() {
        let (mut bitmap, random) = (Bitmap::default(), Random::seeded(3));
        let order: Vec<u16> = std::iter::from_fn(|| bitmap.take_any(&random)).collect();
        assert_eq!(order.len(), NODE_PORTS.len());
        let low = 30_000 + 2_768 / 32;
        assert!(order[..2_768 - 86].iter().all(|port| *port >= low));
        assert!(bitmap.ports().eq(NODE_PORTS));
        bitmap.release(30_123);
        assert_eq!(bitmap.take_any(&random), Some(30_123));
    }
}
