//! The names of the store's files.

use std::fmt;

use crate::Revision;

/// What a file of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileName {
    /// The store as it was at this revision.
    Snapshot(Revision),
    /// A snapshot that is not whole yet.
    Unfinished(Revision),
    /// A part of the log; segments follow one another by number.
    Segment(u64),
}

impl FileName {
    /// What `name` names; `None` when it is no file of the store.
    pub fn parse(name: &str) -> Option<Self> {
        let (number, kind) = name.split_once('.')?;
        let number = number.parse().ok()?;
        let parsed = match kind {
            "snapshot" => Self::Snapshot(Revision(number)),
            "snapshot.unfinished" => Self::Unfinished(Revision(number)),
            "log" => Self::Segment(number),
            _ => return None,
        };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(revision) => write!(f, "{:020}.snapshot", revision.0),
            Self::Unfinished(revision) => write!(f, "{:020}.snapshot.unfinished", revision.0),
            Self::Segment(sequence) => write!(f, "{sequence:020}.log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in [FileName::Snapshot(Revision(7)), FileName::Unfinished(Revision(7)), FileName::Segment(u64::MAX)] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for foreign in ["lock", "7.log", "00000000000000000007.txt", ""] {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
    }
}
