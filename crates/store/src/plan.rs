//! Decides what a write does, without doing it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::{Change, Entry, Error, Expect, Revision};

/// No longer key is taken. Kubernetes' longest names make keys well under this.
pub const KEY_LIMIT: usize = 4 << 10;

/// No longer value is taken: four times the largest request body of the API.
pub const VALUE_LIMIT: usize = 12 << 20;

/// Seconds since the Unix epoch.
pub type Seconds = i64;

/// One change, decided: what the log keeps and the index applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which key changes.
    pub key: Arc<str>,
    /// When.
    pub revision: Revision,
    /// What it becomes; `None` when it is deleted.
    pub live: Option<Live>,
}

/// The value of a key that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// What was put.
    pub value: Bytes,
    /// When the key was last created.
    pub create: Revision,
    /// How often it was put since.
    pub version: u64,
    /// When the store deletes it by itself.
    pub expires: Option<Seconds>,
}

impl Live {
    /// The entry under `key` that was changed at `revision` to this.
    pub fn entry(&self, key: &Arc<str>, revision: Revision) -> Entry {
        Entry { key: key.clone(), value: self.value.clone(), create: self.create, revision, version: self.version }
    }
}

/// A write as it was asked for, with its limits checked and its time to live turned into a time.
#[derive(Debug)]
pub struct Request {
    /// Which key.
    pub key: Arc<str>,
    /// What must be true of it.
    pub expect: Expect,
    /// The new value and when it expires; `None` to delete.
    pub put: Option<(Bytes, Option<Seconds>)>,
}

impl Request {
    /// Of a caller, at `now`.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn new(key: &str, expect: Expect, change: Change, now: Timestamp) -> Result<Self, Error> {
        at_most("the key", key.len(), KEY_LIMIT)?;
        let put = match change {
            Change::Put { value, ttl } => {
                at_most("the value", value.len(), VALUE_LIMIT)?;
                Some((value, ttl.map(|ttl| deadline(now, ttl))))
            }
            Change::Delete => None,
        };
        Ok(Self { key: key.into(), expect, put })
    }

    /// Deletes what expired, unless it was changed since `revision`.
    pub fn expire(key: Arc<str>, revision: Revision) -> Self {
        Self { key, expect: Expect::Revision(revision), put: None }
    }
}

/// Whether a key or a value is not too long.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn at_most(what: &'static str, bytes: usize, limit: usize) -> Result<(), Error> {
    if bytes > limit { Err(Error::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

/// The record that `request` becomes at `revision`, with `current` under its key; `None` when nothing changes.
///
/// # Errors
/// [`Error::Conflict`].
pub fn plan(request: Request, current: Option<&Entry>, revision: Revision) -> Result<Option<Record>, Error> {
    let holds = match request.expect {
        Expect::Any => true,
        Expect::Absent => current.is_none(),
        Expect::Revision(expected) => current.is_some_and(|entry| entry.revision == expected),
    };
    if !holds {
        return Err(Error::Conflict { current: current.cloned() });
    }
    if request.put.is_none() && current.is_none() {
        return Ok(None);
    }
    let live = request.put.map(|(value, expires)| Live {
        value,
        create: current.map_or(revision, |entry| entry.create),
        version: current.map_or(1, |entry| entry.version + 1),
        expires,
    });
    // The key that the store has already is shared, not kept twice.
    let key = current.map_or(request.key, |entry| entry.key.clone());
    Ok(Some(Record { key, revision, live }))
}

/// Whole seconds, so that entries put together expire together and the timer wakes at most once a second.
fn deadline(now: Timestamp, ttl: Duration) -> Seconds {
    let milliseconds = now.as_millisecond().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
    milliseconds.div_euclid(1000) + i64::from(milliseconds.rem_euclid(1000) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_decide() {
        let entry =
            Entry { key: "a".into(), value: Bytes::new(), create: Revision(3), revision: Revision(5), version: 2 };
        let cases = [
            (Expect::Absent, None, true),
            (Expect::Absent, Some(&entry), false),
            (Expect::Any, None, true),
            (Expect::Any, Some(&entry), true),
            (Expect::Revision(Revision(5)), Some(&entry), true),
            (Expect::Revision(Revision(4)), Some(&entry), false),
            (Expect::Revision(Revision(5)), None, false),
        ];
        for (expect, current, holds) in cases {
            let request = Request::new("a", expect, Change::put("x"), Timestamp::UNIX_EPOCH).unwrap();
            let planned = plan(request, current, Revision(9));
            assert_eq!(planned.is_ok(), holds, "{expect:?} {current:?}");
        }
    }

    #[test]
    fn lives_end_on_whole_seconds() {
        let epoch = Timestamp::UNIX_EPOCH;
        assert_eq!(deadline(epoch, Duration::from_millis(1)), 1);
        assert_eq!(deadline(epoch, Duration::from_secs(1)), 1);
        assert_eq!(deadline(epoch + Duration::from_millis(500), Duration::from_secs(1)), 2);
    }

    #[test]
    fn a_put_keeps_the_creation_and_counts() {
        let entry =
            Entry { key: "a".into(), value: Bytes::new(), create: Revision(3), revision: Revision(5), version: 2 };
        let request = Request::new("a", Expect::Any, Change::put("x"), Timestamp::UNIX_EPOCH).unwrap();
        let record = plan(request, Some(&entry), Revision(9)).unwrap().unwrap();
        let live = record.live.unwrap();
        assert_eq!((live.create, live.version), (Revision(3), 3));
    }
}
