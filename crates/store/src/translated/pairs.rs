//! Values in both forms, for as long as they are likely to be met again: who writes an object is told of it a moment
//! later, and told what it was when it is written the next time.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;

/// So many bytes of values in the store's form are kept; those in ours are mostly kept elsewhere anyway.
const LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The latest values, by the store's form.
#[derive(Default)]
pub struct Pairs(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    ours: HashMap<Bytes, Bytes>,
    /// The oldest first.
    order: VecDeque<Bytes>,
    bytes: usize,
}

impl Pairs {
    /// Remembers the two forms of a value; nothing if they are the same bytes.
    pub fn keep(&self, theirs: &Bytes, ours: Bytes) {
        if *theirs == ours || theirs.len() > LIMIT_BYTES {
            return;
        }
        let mut kept = self.0.lock();
        if kept.ours.insert(theirs.clone(), ours).is_some() {
            return;
        }
        kept.bytes += theirs.len();
        kept.order.push_back(theirs.clone());
        while kept.bytes > LIMIT_BYTES {
            let Some(oldest) = kept.order.pop_front() else { return };
            kept.bytes -= oldest.len();
            kept.ours.remove(&oldest);
        }
    }

    /// Our form of a value, if it is remembered.
    pub fn ours(&self, theirs: &[u8]) -> Option<Bytes> {
        self.0.lock().ours.get(theirs).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let pairs = Pairs::default();
        let theirs: Vec<Bytes> = (0..5_u8).map(|number| vec![number; LIMIT_BYTES / 4].into()).collect();
        for (number, theirs) in theirs.iter().enumerate() {
            pairs.keep(theirs, number.to_string().into());
            pairs.keep(theirs, number.to_string().into());
        }
        let found: Vec<Option<Bytes>> = theirs.iter().map(|theirs| pairs.ours(theirs)).collect();
        assert_eq!(found, [None, Some("1".into()), Some("2".into()), Some("3".into()), Some("4".into())]);
    }

    #[test]
    fn what_needs_no_translation_takes_no_room() {
        let pairs = Pairs::default();
        pairs.keep(&"same".into(), "same".into());
        pairs.keep(&vec![0; LIMIT_BYTES + 1].into(), "large".into());
        assert!(pairs.0.lock().ours.is_empty());
    }
}
