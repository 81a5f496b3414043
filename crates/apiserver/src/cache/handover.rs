//! What a writer knows of an object that it is about to store, left for the pump: the same bytes come back as a change a
//! moment later, and need not be parsed again.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use kinds::Kind;
use machinery::Value;
use parking_lot::Mutex;
use store::Revision;

use super::Item;

/// So many objects wait for their change at most; more are parsed when they come.
const WAITING: usize = 1024;

/// The objects whose change is to come, by key.
#[derive(Debug, Default)]
pub struct Handover(Mutex<HashMap<String, Prepared>>);

/// An object as the pump wants it.
#[derive(Debug)]
pub struct Prepared {
    /// Its header; the revision and the key are still to come.
    pub item: Item,
    /// What observers need of it.
    pub known: Known,
}

/// What observers need to know of an object.
#[derive(Debug)]
pub enum Known {
    /// Nobody observes such objects.
    Unasked,
    /// It says nothing that they mind.
    Dull,
    /// Its tree.
    Tree(Arc<Value>),
}

impl Handover {
    /// Leaves what is known of `object`, whose bytes are about to be stored under `key`.
    pub fn leave(&self, kind: &Kind, key: &str, bytes: &Bytes, object: &Value, known: Known) {
        let Some(item) = Item::of(kind, bytes.clone(), object) else { return };
        let mut waiting = self.0.lock();
        if waiting.len() >= WAITING {
            // Their changes did not come, or in another form: the store encodes anew.
            waiting.clear();
        }
        waiting.insert(key.to_owned(), Prepared { item, known });
    }

    /// Takes it back: the object was not stored.
    pub fn withdraw(&self, key: &str) {
        self.0.lock().remove(key);
    }

    /// What was left of the object that was stored as `bytes`.
    pub fn take(&self, key: &Arc<str>, bytes: &Bytes, revision: Revision) -> Option<Prepared> {
        let mut waiting = self.0.lock();
        if waiting.get(key.as_ref())?.item.bytes != bytes {
            return None;
        }
        let mut prepared = waiting.remove(key.as_ref())?;
        drop(waiting);
        (prepared.item.key, prepared.item.revision) = (key.clone(), revision);
        prepared.item.bytes = bytes.clone();
        Some(prepared)
    }
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    #[test]
    fn only_the_same_bytes_are_known() {
        let kind = kinds::lookup("", "v1", "configmaps").unwrap();
        let object = value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}}});
        let (bytes, key) = (crate::storage::encode(&object), Arc::<str>::from("k"));
        let handover = Handover::default();
        handover.leave(kind, "k", &bytes, &object, Known::Unasked);
        assert!(handover.take(&key, &Bytes::from_static(b"{}"), Revision(5)).is_none());
        let taken = handover.take(&key, &bytes, Revision(5)).unwrap();
        let read = Item::read(kind, key.clone(), bytes.clone(), Revision(5)).unwrap();
        assert_eq!(format!("{:?}", taken.item), format!("{read:?}"));
        assert!(handover.take(&key, &bytes, Revision(6)).is_none());
        handover.leave(kind, "k", &bytes, &object, Known::Dull);
        handover.withdraw("k");
        assert!(handover.take(&key, &bytes, Revision(7)).is_none());
    }
}
