//! From a field's name to its place, fast: it is asked for every member of every object, many times a write.

use super::Field;
use crate::value::is_same_name;

/// No field.
const NONE: u16 = u16::MAX;

/// An open-addressed table, at most half full.
#[derive(Debug)]
pub(super) struct Names(Vec<u16>);

impl Names {
    pub(super) fn of(fields: &[Field]) -> Self {
        let mut places = vec![NONE; (fields.len() * 2).next_power_of_two().max(2)];
        for (at, field) in fields.iter().enumerate() {
            let mut place = start(&field.name, places.len());
            while places[place] != NONE {
                place = (place + 1) & (places.len() - 1);
            }
            places[place] = u16::try_from(at).expect("a message has few fields");
        }
        Self(places)
    }

    /// Where the field of this name stands in `fields`, from which the table was made.
    #[inline]
    pub(super) fn position(&self, fields: &[Field], name: &str) -> Option<usize> {
        let mut place = start(name, self.0.len());
        loop {
            let at = usize::from(self.0[place]);
            if at == usize::from(NONE) {
                return None;
            }
            if is_same_name(fields[at].name.as_bytes(), name.as_bytes()) {
                return Some(at);
            }
            place = (place + 1) & (self.0.len() - 1);
        }
    }
}

/// Where the search for a name begins: by its length, its first and its last eight bytes, in which field names differ.
fn start(name: &str, places: usize) -> usize {
    let bytes = name.as_bytes();
    let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (bytes.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte)), 0),
    };
    let mixed = (first ^ last.rotate_left(29) ^ ((bytes.len() as u64) << 57)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 40).expect("24 bits") & (places - 1)
}
