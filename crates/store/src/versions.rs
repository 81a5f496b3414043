//! The known versions of one key, oldest first.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::plan::Live;
use crate::{Entry, Revision};

/// One key at one revision; without a value it is deleted there.
#[derive(Debug, Clone)]
struct Version {
    revision: Revision,
    live: Option<Live>,
}

/// Never empty; most keys have one version once the store is compacted.
#[derive(Debug, Clone)]
pub struct Versions(SmallVec<[Version; 1]>);

impl Versions {
    /// The first version of a key.
    pub fn new(revision: Revision, live: Option<Live>) -> Self {
        Self(smallvec![Version { revision, live }])
    }

    /// The next version.
    pub fn push(&mut self, revision: Revision, live: Option<Live>) {
        assert!(self.latest().revision < revision, "versions of a key come in order");
        self.0.push(Version { revision, live });
    }

    fn latest(&self) -> &Version {
        self.0.last().expect("a key has at least one version")
    }

    /// The value now, if the key exists, and when it was changed.
    pub fn live(&self) -> Option<(Revision, &Live)> {
        let latest = self.latest();
        Some((latest.revision, latest.live.as_ref()?))
    }

    /// The entry now.
    pub fn current(&self, key: &Arc<str>) -> Option<Entry> {
        let (revision, live) = self.live()?;
        Some(live.entry(key, revision))
    }

    /// The entry as it was at `at`.
    pub fn at(&self, key: &Arc<str>, at: Revision) -> Option<Entry> {
        let (revision, live) = self.live_at(at)?;
        Some(live.entry(key, revision))
    }

    /// The value as it was at `at`, if the key existed, and when it was changed.
    pub fn live_at(&self, at: Revision) -> Option<(Revision, &Live)> {
        let version = self.version_at(at)?;
        Some((version.revision, version.live.as_ref()?))
    }

    fn version_at(&self, at: Revision) -> Option<&Version> {
        let after = self.0.partition_point(|version| version.revision <= at);
        self.0.get(after.checked_sub(1)?)
    }

    /// Forgets what was superseded at or before `at`; gives the bytes of the values let go, and whether nothing is
    /// left of the key.
    pub fn compact(&mut self, at: Revision) -> (usize, bool) {
        let after = self.0.partition_point(|version| version.revision <= at);
        let Some(kept) = after.checked_sub(1) else { return (0, false) };
        // A deletion is needed only by those who read between it and `at`; nobody may any longer.
        let gone = if self.0[kept].live.is_none() { kept + 1 } else { kept };
        let freed = self.0[..gone].iter().map(|version| version.live.as_ref().map_or(0, |live| live.value.len())).sum();
        self.0.drain(..gone);
        if self.0.len() == 1 {
            self.0.shrink_to_fit();
        }
        (freed, self.0.is_empty())
    }
}
