//! The trees of objects that were just written. Who writes an object is mostly not the last: a pod is created, bound, and
//! its status told three times within a second, and each of these writes begins with the object as it is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use machinery::Value;
use parking_lot::Mutex;
use store::Revision;

/// So many bytes of objects, as they are stored, are kept as trees; a tree takes three to four times as much.
const LIMIT_BYTES: usize = 2 * 1024 * 1024;

/// Forgotten places in the queue that are not worth a walk through it.
const SPARE: usize = 64;

/// The trees, by key.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    trees: HashMap<Arc<str>, Tree>,
    /// Keys and revisions in the order of their writes, also of trees that have been replaced since.
    order: VecDeque<(Arc<str>, Revision)>,
    bytes: usize,
}

#[derive(Debug)]
struct Tree {
    object: Arc<Value>,
    revision: Revision,
    bytes: usize,
}

impl Recent {
    /// Keeps the tree of what was stored under `key` at `revision`, where it takes `bytes`.
    pub fn keep(&self, key: &str, revision: Revision, bytes: usize, object: Arc<Value>) {
        self.0.lock().keep(key.into(), Tree { object, revision, bytes });
    }

    /// The tree of what was stored under `key` at `revision`, if it is kept.
    #[must_use]
    pub fn find(&self, key: &str, revision: Revision) -> Option<Arc<Value>> {
        let kept = self.0.lock();
        kept.trees.get(key).filter(|tree| tree.revision == revision).map(|tree| tree.object.clone())
    }

    /// Forgets what was stored under `key`: it is gone.
    pub fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

impl Kept {
    fn keep(&mut self, key: Arc<str>, tree: Tree) {
        // Answers to two writers may come in the other order.
        if self.trees.get(&key).is_some_and(|kept| kept.revision > tree.revision) {
            return;
        }
        self.remove(&key);
        self.bytes += tree.bytes;
        self.order.push_back((key.clone(), tree.revision));
        self.trees.insert(key, tree);
        while self.bytes > LIMIT_BYTES {
            let Some((key, revision)) = self.order.pop_front() else { return };
            if self.is_kept(&key, revision) {
                self.remove(&key);
            }
        }
        if self.order.len() > 2 * self.trees.len() + SPARE {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(key, revision)| self.is_kept(key, *revision));
            self.order = order;
        }
    }

    fn is_kept(&self, key: &str, revision: Revision) -> bool {
        self.trees.get(key).is_some_and(|tree| tree.revision == revision)
    }

    fn remove(&mut self, key: &str) {
        if let Some(tree) = self.trees.remove(key) {
            self.bytes -= tree.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str) -> Arc<Value> {
        Arc::new(name.into())
    }

    #[test]
    fn only_the_revision_that_was_written_is_found() {
        let recent = Recent::default();
        recent.keep("a", Revision(5), 10, tree("fifth"));
        assert_eq!(recent.find("a", Revision(5)), Some(tree("fifth")));
        assert_eq!((recent.find("a", Revision(6)), recent.find("b", Revision(5))), (None, None));
        recent.keep("a", Revision(7), 10, tree("seventh"));
        recent.keep("a", Revision(6), 10, tree("sixth"));
        assert_eq!((recent.find("a", Revision(6)), recent.find("a", Revision(7))), (None, Some(tree("seventh"))));
        recent.forget("a");
        assert_eq!((recent.find("a", Revision(7)), recent.0.lock().bytes), (None, 0));
    }

    #[test]
    fn there_is_a_limit() {
        let recent = Recent::default();
        for revision in 0..100_u64 {
            recent.keep(&format!("key-{}", revision % 50), Revision(revision), LIMIT_BYTES / 10, tree("x"));
        }
        let kept = recent.0.lock();
        assert_eq!((kept.trees.len(), kept.bytes), (10, LIMIT_BYTES / 10 * 10));
        assert!(kept.trees.values().all(|tree| tree.revision >= Revision(90)));
        drop(kept);
        recent.keep("huge", Revision(100), LIMIT_BYTES + 1, tree("x"));
        assert_eq!(recent.0.lock().bytes, 0);
    }

    #[test]
    fn one_object_that_is_written_often_takes_no_more_room() {
        let recent = Recent::default();
        for revision in 0..10_000 {
            recent.keep("a", Revision(revision), 10, tree("x"));
        }
        let kept = recent.0.lock();
        assert_eq!((kept.trees.len(), kept.bytes), (1, 10));
        assert!(kept.order.len() <= SPARE + 2, "{}", kept.order.len());
    }
}
