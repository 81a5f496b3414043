//! What an informer knows: objects by key, found by index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;

use crate::Object;

/// `NAMESPACE/NAME`, or `NAME` for cluster-wide kinds.
pub type Key = Arc<str>;

/// Under which values an index finds an object.
pub type IndexFn<K> = fn(&K) -> Vec<String>;

/// One object before and after.
#[derive(Debug)]
pub struct Change<K> {
    /// Which object.
    pub key: Key,
    /// Its state before; none if it is new.
    pub old: Option<Arc<K>>,
    /// Its state now; none if it is gone.
    pub new: Option<Arc<K>>,
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), old: self.old.clone(), new: self.new.clone() }
    }
}

impl<K> Change<K> {
    /// The latest state there is: the new one, or the last before deletion.
    #[must_use]
    pub fn object(&self) -> &Arc<K> {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has a state before or after")
    }

    /// The states before and after, as far as they exist.
    pub fn states(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(self.new.iter())
    }
}

#[derive(Debug)]
struct Entry<K> {
    object: Arc<K>,
    changed: Timestamp,
}

#[derive(Debug)]
struct Index<K> {
    name: &'static str,
    values: IndexFn<K>,
    keys: HashMap<String, BTreeSet<Key>>,
}

impl<K> Index<K> {
    fn insert(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

/// Objects of one kind, in key order.
#[derive(Debug)]
pub(crate) struct Cache<K> {
    objects: BTreeMap<Key, Entry<K>>,
    indexes: Vec<Index<K>>,
    gone: BTreeMap<Key, Timestamp>,
}

/// So many objects that went away are remembered; the one gone longest is forgotten first.
const MAX_GONE: usize = 1024;

/// The index every cache has: by the uid of the managing owner.
const CONTROLLER_INDEX: &str = "controller";

impl<K: Object> Cache<K> {
    pub(crate) fn new() -> Self {
        let mut cache = Self { objects: BTreeMap::new(), indexes: Vec::new(), gone: BTreeMap::new() };
        cache.add_index(CONTROLLER_INDEX, |object| {
            object.controller().map(|owner| owner.uid.clone()).into_iter().collect()
        });
        cache
    }

    pub(crate) fn add_index(&mut self, name: &'static str, values: IndexFn<K>) {
        if self.indexes.iter().any(|index| index.name == name) {
            return;
        }
        let mut index = Index { name, values, keys: HashMap::new() };
        for (key, entry) in &self.objects {
            index.insert(key, &entry.object);
        }
        self.indexes.push(index);
    }

    /// Sets an object. Older states than the known one are ignored; so is the known one.
    pub(crate) fn set(&mut self, object: K, now: Timestamp) -> Option<Change<K>> {
        let key = object.key();
        let known = self.objects.get_key_value(key.as_str());
        if let Some((_, entry)) = known
            && entry.object.resource_version() == object.resource_version()
            && !object.resource_version().is_empty()
        {
            return None;
        }
        let key = known.map_or_else(|| Key::from(key), |(key, _)| key.clone());
        let new = Arc::new(object);
        self.gone.remove(&key);
        let old =
            self.objects.insert(key.clone(), Entry { object: new.clone(), changed: now }).map(|entry| entry.object);
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &new);
        }
        Some(Change { key, old, new: Some(new) })
    }

    pub(crate) fn remove(&mut self, key: &str, now: Timestamp) -> Option<Change<K>> {
        let (key, entry) = self.objects.remove_entry(key)?;
        self.gone.insert(key.clone(), now);
        if self.gone.len() > MAX_GONE {
            let first = self.gone.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            first.and_then(|first| self.gone.remove(&first));
        }
        for index in &mut self.indexes {
            index.remove(&key, &entry.object);
        }
        Some(Change { key, old: Some(entry.object), new: None })
    }

    /// Makes the cache hold exactly `objects`; gives what differs.
    pub(crate) fn replace(&mut self, objects: Vec<K>, now: Timestamp) -> Vec<Change<K>> {
        let kept: BTreeSet<String> = objects.iter().map(Object::key).collect();
        let gone: Vec<Key> = self.objects.keys().filter(|key| !kept.contains(&***key)).cloned().collect();
        let mut changes: Vec<Change<K>> = gone.iter().filter_map(|key| self.remove(key, now)).collect();
        changes.extend(objects.into_iter().filter_map(|object| self.set(object, now)));
        changes
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<K>> {
        self.objects.get(key).map(|entry| entry.object.clone())
    }

    pub(crate) fn changed(&self, key: &str) -> Option<Timestamp> {
        self.objects.get(key).map(|entry| entry.changed)
    }

    pub(crate) fn gone(&self, key: &str) -> Option<Timestamp> {
        self.gone.get(key).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.objects.values().map(|entry| entry.object.clone()).collect()
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        // '0' follows '/' in ASCII: the range holds exactly the keys that begin with "NAMESPACE/".
        let (first, end) = (format!("{namespace}/"), format!("{namespace}0"));
        let range = (Bound::Included(first.as_str()), Bound::Excluded(end.as_str()));
        self.objects.range::<str, _>(range).map(|(_, entry)| entry.object.clone()).collect()
    }

    pub(crate) fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let Some(index) = self.indexes.iter().find(|index| index.name == name) else {
            base::never!(true, "no index {name:?}");
            return Vec::new();
        };
        let keys = index.keys.get(value).into_iter().flatten();
        keys.filter_map(|key| self.objects.get(key)).map(|entry| entry.object.clone()).collect()
    }

    pub(crate) fn controlled_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.by_index(CONTROLLER_INDEX, uid)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, PodSpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn pod(namespace: &str, name: &str, version: &str, node: &str) -> Pod {
        Pod {
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some(namespace.into()),
                resource_version: Some(version.into()),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec { node_name: Some(node.into()), ..PodSpec::default() }),
            ..Pod::default()
        }
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<String> {
        pods.iter().map(|pod| pod.key()).collect()
    }

    #[test]
    fn indexes_follow_changes() {
        let now = Timestamp::UNIX_EPOCH;
        let mut cache = Cache::new();
        cache.set(pod("a", "x", "1", "n1"), now);
        cache.add_index("node", |pod: &Pod| pod.spec.iter().filter_map(|spec| spec.node_name.clone()).collect());
        cache.set(pod("a", "y", "2", "n1"), now);
        cache.set(pod("a-b", "z", "3", "n1"), now);
        assert_eq!(names(&cache.in_namespace("a")), ["a/x", "a/y"]);
        assert_eq!(names(&cache.by_index("node", "n1")), ["a-b/z", "a/x", "a/y"]);
        cache.set(pod("a", "x", "4", "n2"), now);
        assert_eq!(names(&cache.by_index("node", "n2")), ["a/x"]);
        assert!(cache.set(pod("a", "x", "4", "n2"), now).is_none(), "nothing changed");
        let changes = cache.replace(vec![pod("a", "x", "4", "n2"), pod("c", "w", "5", "n1")], now);
        let told: Vec<_> = changes.iter().map(|change| (&*change.key, change.new.is_some())).collect();
        assert_eq!(told, [("a-b/z", false), ("a/y", false), ("c/w", true)]);
        assert_eq!(names(&cache.by_index("node", "n1")), ["c/w"]);
    }
}
