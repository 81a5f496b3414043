//! What is kept, asked for and changed: revisions, entries, ranges, expectations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

/// A point in the store's history. Every change takes the next one; a new store is at 1, as in etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of a store that nothing was written to.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One key with its value at some revision. Cloning copies no bytes: all clones share key and value with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is kept.
    pub key: Arc<str>,
    /// What was put.
    pub value: Bytes,
    /// When the key was last created.
    pub create: Revision,
    /// When it was last changed.
    pub revision: Revision,
    /// How often it was put since its creation: 1 at first.
    pub version: u64,
}

/// The keys from `start` (included) to `end` (excluded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub start: String,
    /// The key after the last; `None` runs to the end of the store.
    pub end: Option<String>,
    /// At most so many entries; `None` for all.
    pub limit: Option<usize>,
}

impl Range {
    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        Self { start: prefix.to_owned(), end: after_prefix(prefix), limit: None }
    }

    /// The same range from `start` on: a list continues with the key after its last one.
    #[must_use]
    pub fn starting_at(self, start: String) -> Self {
        Self { start, ..self }
    }

    /// The same range with at most `limit` entries.
    #[must_use]
    pub fn limited(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

/// The least string greater than everything that begins with `prefix`; `None` when there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Strings order by code point; surrogates are not characters, so the search steps over them.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// What [`crate::Store::range`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeResult {
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// Whether the limit cut the answer.
    pub more: bool,
    /// How many entries the range has, whatever the limit.
    pub count: usize,
    /// The revision that this answers for: `at`, or the store's own.
    pub revision: Revision,
}

/// What must be true of a key for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The key has no value.
    Absent,
    /// The key was last changed at this revision.
    Revision(Revision),
    /// Nothing.
    Any,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets the value. With `ttl` the entry is deleted by the store that long from now, rounded up to a whole
    /// second; without, an earlier time to live is lifted.
    Put {
        /// The new value.
        value: Bytes,
        /// How long it lives.
        ttl: Option<Duration>,
    },
    /// Takes the key away.
    Delete,
}

impl Change {
    /// Sets a value that stays.
    #[must_use]
    pub fn put(value: impl Into<Bytes>) -> Self {
        Self::Put { value: value.into(), ttl: None }
    }
}

/// What a read found that already knew the entry at some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reread {
    /// The entry is still that one.
    Same,
    /// This is what the key holds now.
    Other(Option<Entry>),
}

/// Where the periodic compaction stands, as one server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    /// How many turns have been taken, by whichever server.
    pub number: u64,
    /// The store's revision then; `None` before the first one.
    pub revision: Option<Revision>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_string() {
        let cases = [
            ("/pods/", Some("/pods0")),
            ("a\u{10FFFF}", Some("b")),
            ("\u{D7FF}", Some("\u{E000}")),
            ("\u{10FFFF}", None),
            ("", None),
        ];
        for (prefix, end) in cases {
            assert_eq!(Range::prefix(prefix).end.as_deref(), end, "{prefix:?}");
        }
    }
}
