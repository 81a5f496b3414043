//! The whole store in memory: every key with its versions, and which key each revision changed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::plan::{Live, Record};
use crate::versions::Versions;
use crate::{Entry, Error, Event, Range, RangeResult, Revision};

/// Keys, versions, and the log of changes since the last compaction.
///
/// Invariant: `log[i]` is the key changed at revision `compacted + 1 + i`; the log ends at `revision`.
#[derive(Debug)]
pub struct Index {
    keys: BTreeMap<Arc<str>, Versions>,
    log: VecDeque<Arc<str>>,
    compacted: Revision,
    /// Bytes of the values that only old revisions show.
    superseded_bytes: usize,
}

impl Index {
    /// An empty store.
    pub fn new() -> Self {
        Self::starting_at(Revision::FIRST)
    }

    /// A store that knows nothing of its history up to `compacted`.
    pub fn starting_at(compacted: Revision) -> Self {
        Self { keys: BTreeMap::new(), log: VecDeque::new(), compacted, superseded_bytes: 0 }
    }

    /// The revision of the latest change.
    pub fn revision(&self) -> Revision {
        Revision(self.compacted.0 + self.log.len() as u64)
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Bytes of the values that only old revisions show.
    pub fn superseded_bytes(&self) -> usize {
        self.superseded_bytes
    }

    /// The entry under `key` now.
    pub fn current(&self, key: &str) -> Option<Entry> {
        let (key, versions) = self.keys.get_key_value(key)?;
        versions.current(key)
    }

    /// The entry under `key` at `at`.
    pub fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        let at = self.readable(at)?;
        let entry = self.keys.get_key_value(key).and_then(|(key, versions)| versions.at(key, at));
        Ok((entry, at))
    }

    /// The entries of `range` at `at`.
    pub fn range(&self, range: &Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        let at = self.readable(at)?;
        let limit = range.limit.unwrap_or(usize::MAX);
        let (mut entries, mut count) = (Vec::new(), 0);
        for (key, versions) in self.keys_in(range) {
            let Some((revision, live)) = versions.live_at(at) else { continue };
            count += 1;
            if entries.len() < limit {
                entries.push(live.entry(key, revision));
            }
        }
        Ok(RangeResult { more: count > entries.len(), entries, count, revision: at })
    }

    fn keys_in(&self, range: &Range) -> impl Iterator<Item = (&Arc<str>, &Versions)> {
        let end = range.end.as_deref();
        let empty = end.is_some_and(|end| end <= range.start.as_str());
        let bounds = (Bound::Included(range.start.as_str()), end.map_or(Bound::Unbounded, Bound::Excluded));
        (!empty).then(|| self.keys.range::<str, _>(bounds)).into_iter().flatten()
    }

    fn readable(&self, at: Option<Revision>) -> Result<Revision, Error> {
        let Some(at) = at else { return Ok(self.revision()) };
        self.check_happened(at)?;
        if at < self.compacted {
            return Err(Error::Compacted { requested: at, oldest: self.compacted });
        }
        Ok(at)
    }

    /// Makes a planned change.
    pub fn apply(&mut self, record: Record) {
        assert_eq!(record.revision, self.revision().next(), "every revision is applied once and in order");
        self.log.push_back(record.key.clone());
        let Some(versions) = self.keys.get_mut(&*record.key) else {
            self.keys.insert(record.key, Versions::new(record.revision, record.live));
            return;
        };
        self.superseded_bytes += versions.live().map_or(0, |(_, live)| live.value.len());
        versions.push(record.revision, record.live);
    }

    /// Puts back an entry of a snapshot, which may be older than all known history.
    pub fn restore(&mut self, key: Arc<str>, revision: Revision, live: Live) {
        assert!(revision <= self.compacted, "a snapshot holds only what its revision shows");
        self.keys.insert(key, Versions::new(revision, Some(live)));
    }

    /// The change of `key` at `revision`, which the log names.
    pub fn event(&self, key: &Arc<str>, revision: Revision) -> Event {
        let versions = self.keys.get(key).expect("the log names only keys with versions");
        let previous = versions.at(key, Revision(revision.0 - 1));
        match (versions.at(key, revision), previous) {
            (Some(entry), previous) => Event::Put { entry, previous },
            (None, Some(previous)) => Event::Delete { revision, previous },
            (None, None) => unreachable!("only what exists is deleted"),
        }
    }

    /// Which key each revision from `from` on changed.
    pub fn changed_keys(&self, from: Revision) -> impl Iterator<Item = (Revision, &Arc<str>)> {
        let skip = usize::try_from(from.0.saturating_sub(self.compacted.0 + 1)).unwrap_or(usize::MAX);
        (from.0.max(self.compacted.0 + 1)..).map(Revision).zip(self.log.iter().skip(skip))
    }

    /// Whether `at` has happened.
    ///
    /// # Errors
    /// [`Error::Future`].
    pub fn check_happened(&self, at: Revision) -> Result<(), Error> {
        let current = self.revision();
        if at > current { Err(Error::Future { requested: at, current }) } else { Ok(()) }
    }

    /// Forgets what was superseded at or before `at`. The work is that of the forgotten changes, not of all keys.
    pub fn compact(&mut self, at: Revision) {
        assert!(at <= self.revision(), "only what has happened is compacted");
        while self.compacted < at {
            self.compacted = self.compacted.next();
            let key = self.log.pop_front().expect("the log reaches up to the revision");
            self.forget(&key, at);
        }
        self.log.shrink_to(self.log.len().saturating_mul(2));
    }

    fn forget(&mut self, key: &Arc<str>, at: Revision) {
        // A key that changed twice was dealt with at its first change.
        let Some(versions) = self.keys.get_mut(key) else { return };
        let (freed, empty) = versions.compact(at);
        self.superseded_bytes -= freed;
        if empty {
            self.keys.remove(key);
        }
    }

    /// Every value that there is now, with its key and when it was changed, in the order of the keys.
    pub fn live(&self) -> impl Iterator<Item = (&Arc<str>, Revision, &Live)> {
        self.keys.iter().filter_map(|(key, versions)| {
            let (revision, live) = versions.live()?;
            Some((key, revision, live))
        })
    }

    /// The first `limit` entries after the key `after` that exist at `at`, which must not be compacted.
    pub fn live_at(&self, after: Option<&str>, at: Revision, limit: usize) -> Vec<(Arc<str>, Revision, Live)> {
        assert!(at >= self.compacted, "only known history is read");
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.keys.range::<str, _>((from, Bound::Unbounded));
        let live = entries.filter_map(|(key, versions)| {
            let (revision, live) = versions.live_at(at)?;
            Some((key.clone(), revision, live.clone()))
        });
        live.take(limit).collect()
    }
}
