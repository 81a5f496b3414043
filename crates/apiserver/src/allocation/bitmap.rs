//! The node ports that are taken, one bit each, in the form in which all servers of a store share them: a
//! RangeAllocation, whose data is a big-endian number.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use base::Random;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use machinery::{Value, json, value};

use super::port_range::PortRange;

/// The ports of a range that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    range: PortRange,
    taken: BTreeSet<u16>,
}

impl Bitmap {
    /// Nothing but these; those out of range are left out.
    #[must_use]
    pub fn of(range: PortRange, ports: impl IntoIterator<Item = u16>) -> Self {
        Self { range, taken: ports.into_iter().filter(|port| range.contains(*port)).collect() }
    }

    /// What is stored; `None` when it is of another range or cannot be read.
    #[must_use]
    pub fn decode(range: PortRange, bytes: &[u8]) -> Option<Self> {
        let object = json::parse(bytes).ok()?;
        if object.str_at(&["range"]) != Some(range.to_string().as_str()) {
            return None;
        }
        let data = STANDARD.decode(object.str_at(&["data"]).unwrap_or_default()).ok()?;
        let bits = data
            .iter()
            .rev()
            .enumerate()
            .flat_map(|(i, byte)| (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| i * 8 + bit));
        Some(Self::of(range, bits.filter_map(|bit| range.ports().start().checked_add(u16::try_from(bit).ok()?))))
    }

    /// What to store.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let offsets = || self.taken.iter().map(|port| usize::from(port - self.range.ports().start()));
        let mut data = vec![0u8; offsets().max().map_or(0, |highest| highest / 8 + 1)];
        for offset in offsets() {
            data[offset / 8] |= 1 << (offset % 8);
        }
        data.reverse();
        let object: Value = value!({
            "kind": "RangeAllocation",
            "apiVersion": "v1",
            "metadata": {},
            "range": (self.range.to_string()),
            "data": (STANDARD.encode(data))
        });
        crate::storage::encode(&object)
    }

    /// Whether the port is taken.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.taken.contains(&port)
    }

    /// Takes the port; false if it is taken already.
    pub fn take(&mut self, port: u16) -> bool {
        self.taken.insert(port)
    }

    /// Takes a free port: one from anywhere in the upper part, or else in the lower one.
    pub fn take_any(&mut self, random: &Random) -> Option<u16> {
        let (lower, upper) = self.range.parts();
        let free = around(upper, random).chain(around(lower, random)).find(|port| !self.taken.contains(port))?;
        self.taken.insert(free);
        Some(free)
    }

    /// Gives the port back.
    pub fn release(&mut self, port: u16) {
        self.taken.remove(&port);
    }

    /// The range of which the ports are.
    #[must_use]
    pub fn range(&self) -> PortRange {
        self.range
    }

    /// How many ports are taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.taken.len()
    }

    /// The ports that are taken, in order.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.taken.iter().copied()
    }
}

/// All ports of a part, beginning anywhere among them.
fn around(part: RangeInclusive<u16>, random: &Random) -> impl Iterator<Item = u16> + use<> {
    let start = random.below(part.len());
    part.clone().skip(start).chain(part.take(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange::NODE_PORTS;

    #[test]
    fn the_form_is_that_of_stock_servers() {
        let bitmap = Bitmap::of(RANGE, [30_000, 30_009, 29_999]);
        let stored = bitmap.encode();
        expect_test::expect![[
            r#"{"kind":"RangeAllocation","apiVersion":"v1","metadata":{},"range":"30000-32767","data":"AgE="}"#
        ]]
        .assert_eq(&String::from_utf8_lossy(&stored));
        assert_eq!(Bitmap::decode(RANGE, &stored), Some(bitmap));
        assert_eq!(Bitmap::decode(RANGE, &Bitmap::of(RANGE, []).encode()), Some(Bitmap::of(RANGE, [])));
        assert_eq!(Bitmap::decode(RANGE, br#"{"range":"30000-30010","data":""}"#), None);
        assert_eq!(Bitmap::decode(RANGE, b"?"), None);
    }

    #[test]
    fn the_upper_part_goes_first_and_all_go_once() {
        let (mut bitmap, random) = (Bitmap::of(RANGE, []), Random::seeded(3));
        let order: Vec<u16> = std::iter::from_fn(|| bitmap.take_any(&random)).collect();
        assert_eq!(order.len(), RANGE.size());
        let low = 30_000 + 2_768 / 32;
        assert!(order[..2_768 - 86].iter().all(|port| *port >= low));
        assert!(bitmap.ports().eq(RANGE.ports()));
        bitmap.release(30_123);
        assert_eq!(bitmap.take_any(&random), Some(30_123));
    }
}
