//! Everything that was written, in the order of its revisions: read from the store itself, shown to the checkers.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use base::Clock;
use futures::StreamExt;
use jiff::Timestamp;
use machinery::Value;
use parking_lot::Mutex;
use store::{Entry, Event, Revision, Store};

use crate::checker::{Change, Checker, Objects};

/// A simulation writes less than this; one that writes more runs in circles.
const WRITES_LIMIT: u64 = 60_000;

/// Follows the store.
pub struct History(Mutex<State>);

struct State {
    objects: Objects,
    revisions: BTreeMap<String, u64>,
    checkers: Vec<Box<dyn Checker>>,
    complaints: Vec<String>,
    hasher: DefaultHasher,
    writes: u64,
    last: Option<(Timestamp, String)>,
    print: bool,
}

impl History {
    /// A history without events, to be seen by `checkers`; `print` shows every event on standard output.
    #[must_use]
    pub fn new(checkers: Vec<Box<dyn Checker>>, print: bool) -> Self {
        Self(Mutex::new(State {
            objects: Objects::new(),
            revisions: BTreeMap::new(),
            checkers,
            complaints: Vec::new(),
            hasher: DefaultHasher::new(),
            writes: 0,
            last: None,
            print,
        }))
    }

    /// Takes in all that is written from the beginning on; ends when the store closes.
    pub async fn follow(self: Arc<Self>, store: Arc<dyn Store>, clock: Clock) {
        let Ok(mut events) = store.watch("/registry/", Revision::FIRST).await else {
            self.complain("the store does not give its history from the beginning".to_owned());
            return;
        };
        while let Some(batch) = events.next().await {
            let Ok(batch) = batch else { return };
            for event in &batch.events {
                self.0.lock().see(event, clock.now());
            }
        }
    }

    /// Notes what is wrong.
    pub fn complain(&self, what: String) {
        self.0.lock().complaints.push(what);
    }

    /// The first thing that was found wrong.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.0.lock().complaints.first().cloned()
    }

    /// Asks the present objects.
    pub fn ask<T>(&self, question: impl FnOnce(&Objects) -> T) -> T {
        question(&self.0.lock().objects)
    }

    /// The revision of each object under `prefix`, by key.
    #[must_use]
    pub fn revisions(&self, prefix: &str) -> BTreeMap<String, u64> {
        let state = self.0.lock();
        let under = state.revisions.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        under.map(|(key, revision)| (key.clone(), *revision)).collect()
    }

    /// When the last object was written that is not one that a cluster at rest writes, and where.
    #[must_use]
    pub fn last_write(&self) -> Option<(Timestamp, String)> {
        self.0.lock().last.clone()
    }

    /// How many events there were, and their hash: the same for the same seed.
    #[must_use]
    pub fn fingerprint(&self) -> (u64, u64) {
        let state = self.0.lock();
        (state.writes, state.hasher.finish())
    }
}

impl State {
    fn see(&mut self, event: &Event, now: Timestamp) {
        let (key, revision) = (event.key().to_string(), event.revision().0);
        self.writes += 1;
        self.hasher.write(key.as_bytes());
        self.hasher.write_u64(revision);
        if self.writes == WRITES_LIMIT {
            self.complaints.push(format!("{now}: {WRITES_LIMIT} writes, the last one of {key}: it runs in circles"));
        }
        let new = match event {
            Event::Put { entry, .. } => {
                self.hasher.write(&entry.value);
                self.revisions.insert(key.clone(), revision);
                parse(entry)
            }
            Event::Delete { .. } => {
                self.revisions.remove(&key);
                None
            }
        };
        if !rests(&key, new.is_none()) {
            self.last = Some((now, key.clone()));
        }
        let old = match new {
            Some(new) => self.objects.insert(key.clone(), new),
            None => self.objects.remove(&key),
        };
        let new = self.objects.get(&key);
        if self.print {
            let what = if new.is_none() {
                "deleted"
            } else if old.is_none() {
                "made"
            } else {
                "changed"
            };
            println!("{now} {revision:>6} {what:<7} {key}");
        }
        let change = Change { now, key: &key, old: old.as_ref(), new, all: &self.objects };
        for checker in &mut self.checkers {
            if let Some(complaint) = checker.see(&change) {
                self.complaints.push(format!("{now}, revision {revision}: {complaint}"));
            }
        }
    }
}

fn parse(entry: &Entry) -> Option<Value> {
    machinery::json::parse(&entry.value).ok()
}

/// What a cluster at rest writes: leases of nodes and of the server itself, and old events go.
fn rests(key: &str, is_deletion: bool) -> bool {
    let is_lease = ["/registry/leases/", "/registry/masterleases/"].iter().any(|prefix| key.starts_with(prefix));
    is_lease || is_deletion && key.starts_with("/registry/events/")
}
