//! What a watcher was told, checked event by event.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

/// Objects by name: their resource version and their count.
pub type Contents = BTreeMap<String, (u64, u64)>;

/// The contents of a list or a store.
pub fn contents(objects: &[ConfigMap]) -> Contents {
    objects.iter().map(|object| (object.name_any(), (version(object), count(object)))).collect()
}

/// The resource version of an object as a number (KEP-5504: they can be compared).
pub fn version(object: &ConfigMap) -> u64 {
    object.resource_version().unwrap().parse().unwrap()
}

/// The count that an object holds.
pub fn count(object: &ConfigMap) -> u64 {
    object.data.as_ref().unwrap()["count"].parse().unwrap()
}

/// Which objects there are by what was told, and which are gone for good.
#[derive(Default)]
pub struct Account {
    live: BTreeMap<String, u64>,
    gone: BTreeSet<String>,
    /// The version of the last event since the list.
    last: u64,
    /// What the list under way has told so far.
    listing: BTreeMap<String, u64>,
}

impl Account {
    /// Takes an event; fails when it tells what was told before, or what cannot be any more.
    pub fn enter(&mut self, event: &Event<ConfigMap>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => self.listed(object),
            Event::InitDone => self.list_done(),
            Event::Apply(object) => {
                self.follows(object);
                self.live.insert(object.uid().unwrap(), version(object));
            }
            Event::Delete(object) => {
                self.follows(object);
                let uid = object.uid().unwrap();
                assert!(self.live.remove(&uid).is_some(), "{} goes and was not there", object.name_any());
                self.gone.insert(uid);
            }
        }
    }

    /// A list may repeat what is there, but not go back.
    fn listed(&mut self, object: &ConfigMap) {
        let (uid, version) = (object.uid().unwrap(), version(object));
        assert!(!self.gone.contains(&uid), "{} is listed and was gone", object.name_any());
        assert!(self.live.get(&uid).is_none_or(|known| version >= *known), "{} is listed old", object.name_any());
        assert_eq!(self.listing.insert(uid, version), None, "{} is listed twice", object.name_any());
    }

    fn list_done(&mut self) {
        let live = std::mem::take(&mut self.listing);
        self.gone.extend(self.live.keys().filter(|uid| !live.contains_key(*uid)).cloned());
        self.last = live.values().copied().max().unwrap_or_default();
        self.live = live;
    }

    /// Events come once, in the order of their versions, and not about what is gone.
    fn follows(&mut self, object: &ConfigMap) {
        let (name, version) = (object.name_any(), version(object));
        assert!(!self.gone.contains(&object.uid().unwrap()), "{name} has an event and was gone");
        assert!(version > self.last, "{name} at {version} comes after {}", self.last);
        self.last = version;
    }
}
