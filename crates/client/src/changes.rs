//! Changes for a reader that is slower than the watch: one entry a key, from the first unread state to the latest.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cache::{Change, Key};

/// Unread changes of an informer. There are never more entries than objects that exist or went away unread.
pub struct Changes<K>(Arc<Shared<K>>);

struct Shared<K> {
    unread: Mutex<BTreeMap<Key, Change<K>>>,
    notify: Notify,
}

impl<K> Clone for Changes<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Changes<K> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { unread: Mutex::default(), notify: Notify::new() }))
    }

    pub(crate) fn push(&self, change: &Change<K>) {
        let mut unread = self.0.unread.lock();
        match unread.get_mut(&change.key) {
            Some(known) if known.old.is_none() && change.new.is_none() => {
                unread.remove(&change.key);
            }
            Some(known) => known.new.clone_from(&change.new),
            None => {
                unread.insert(change.key.clone(), change.clone());
            }
        }
        drop(unread);
        self.0.notify.notify_one();
    }

    /// Waits until something changed; gives all unread changes in the order of their keys.
    pub async fn next(&self) -> Vec<Change<K>> {
        loop {
            let unread = std::mem::take(&mut *self.0.unread.lock());
            if !unread.is_empty() {
                return unread.into_values().collect();
            }
            self.0.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_stands_once_from_first_to_last() {
        let changes = Changes::new();
        let state = |number: i32| Some(Arc::new(number));
        for (key, old, new) in [
            ("a", None, state(1)),
            ("b", None, state(1)),
            ("a", state(1), state(2)),
            ("b", state(1), None),
            ("c", state(5), state(6)),
            ("c", state(6), None),
        ] {
            changes.push(&Change { key: key.into(), old, new });
        }
        let unread: Vec<_> = changes.next().await.into_iter().map(|c| (c.key.to_string(), c.old, c.new)).collect();
        assert_eq!(unread, [("a".to_owned(), None, state(2)), ("c".to_owned(), state(5), None)]);
    }
}
