//! Keys and ranges as etcd writes them: bytes, the end of everything as a zero byte, and a beginning of the user's wish.

use std::sync::Arc;

use super::options::Rename;
use super::proto::KeyValue;
use crate::{Entry, Error, Range, Revision};

/// The first key of all, and as an end: no end.
const ZERO: &[u8] = b"\0";

/// Turns callers' keys into the cluster's and back.
#[derive(Debug, Clone, Default)]
pub struct Keys(Option<Rename>);

impl Keys {
    /// Keys with another beginning, if that is wished.
    pub fn new(rename: Option<Rename>) -> Self {
        Self(rename.filter(|rename| rename.ours != rename.theirs))
    }

    /// A key in the cluster.
    pub fn theirs(&self, key: &str) -> Vec<u8> {
        match self.0.as_ref().and_then(|rename| Some((rename, key.strip_prefix(&rename.ours)?))) {
            Some((rename, rest)) => format!("{}{rest}", rename.theirs).into_bytes(),
            None => key.as_bytes().to_vec(),
        }
    }

    /// The start and the end of a range in the cluster.
    pub fn range(&self, range: &Range) -> (Vec<u8>, Vec<u8>) {
        let start = if range.start.is_empty() { ZERO.to_vec() } else { self.theirs(&range.start) };
        (start, range.end.as_deref().map_or_else(|| ZERO.to_vec(), |end| self.theirs(end)))
    }

    /// A key for callers; `None` if it is no text, so none of ours.
    pub fn ours(&self, key: &[u8]) -> Option<Arc<str>> {
        let key = std::str::from_utf8(key).ok()?;
        Some(match self.0.as_ref().and_then(|rename| Some((rename, key.strip_prefix(&rename.theirs)?))) {
            Some((rename, rest)) => format!("{}{rest}", rename.ours).into(),
            None => key.into(),
        })
    }

    /// What a member told of a key; `None` if the key is none of ours.
    pub fn entry(&self, found: KeyValue) -> Option<Entry> {
        let Some(key) = self.ours(&found.key) else {
            tracing::warn!(key = %String::from_utf8_lossy(&found.key), "a key that is no text is left out");
            return None;
        };
        let (create, revision) = (revision(found.create_revision), revision(found.mod_revision));
        let version = u64::try_from(found.version).unwrap_or_default();
        Some(Entry { key, value: found.value.into(), create, revision, version })
    }
}

/// A revision as etcd tells it.
pub fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or_default())
}

/// A revision as etcd wants it.
///
/// # Errors
/// [`Error::Future`]: no store gets that far.
pub fn number(revision: Revision) -> Result<i64, Error> {
    i64::try_from(revision.0)
        .map_err(|_| Error::Future { requested: revision, current: Revision(i64::MAX.unsigned_abs()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_beginning() {
        let keys = Keys::new(Some(Rename { ours: "/registry".into(), theirs: "/blue".into() }));
        let shown = |range: Range| {
            let (start, end) = keys.range(&range);
            format!("{:?} {:?}", String::from_utf8(start).unwrap(), String::from_utf8(end).unwrap())
        };
        assert_eq!(shown(Range::prefix("/registry/pods/")), r#""/blue/pods/" "/blue/pods0""#);
        assert_eq!(shown(Range::prefix("/registry/")), r#""/blue/" "/blue0""#);
        assert_eq!(shown(Range::prefix("")), r#""\0" "\0""#);
        assert_eq!(keys.ours(b"/blue/pods/a").as_deref(), Some("/registry/pods/a"));
        assert_eq!(keys.ours(b"compact_rev_key").as_deref(), Some("compact_rev_key"));
        assert_eq!(keys.ours(b"\xff"), None);
    }
}
