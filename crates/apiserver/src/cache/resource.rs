//! The cache of one resource: its objects in key order and the window of its latest changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use kinds::Kind;
use parking_lot::RwLock;
use store::Revision;

use super::audience::{Audience, Interest, Signal};
use super::metrics::OfResource;
use super::{Event, Item, Selection};

/// So many changes are kept for watchers; one that is further behind is cut.
const WINDOW_EVENTS: usize = 16_384;

/// The lines of a change are kept for this many changes; a watcher that is further behind has them written anew.
const WINDOW_LINES: usize = 256;

/// The objects of one resource and its latest changes.
pub struct ResourceCache {
    /// The kind in whose form the objects are stored.
    pub kind: &'static Kind,
    /// What the objects' keys begin with.
    pub prefix: String,
    /// What is counted of them.
    pub counts: OfResource,
    state: RwLock<State>,
    audience: RwLock<Audience>,
}

struct State {
    objects: BTreeMap<Arc<str>, Arc<Item>>,
    window: VecDeque<Arc<Event>>,
    /// The number of the window's first event.
    first: u64,
    /// Watches can start after this revision or a later one.
    oldest: Revision,
    /// The latest change of this resource.
    latest: Revision,
    /// The size of all objects together.
    bytes: usize,
}

/// The objects at a moment, and the place in the window that follows it.
#[derive(Debug)]
pub struct Snapshot {
    /// In key order.
    pub items: Vec<Arc<Item>>,
    /// The latest change of the resource that this shows.
    pub latest: Revision,
    /// The number of the next event.
    pub next: u64,
}

/// What follows a place in the window.
#[derive(Debug)]
pub enum Following {
    /// These events; none if nothing has happened.
    Events(Vec<Arc<Event>>),
    /// They are forgotten.
    Forgotten,
}

impl ResourceCache {
    /// An empty cache.
    #[must_use]
    pub fn new(kind: &'static Kind, prefix: String, counts: OfResource) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            window: VecDeque::new(),
            first: 0,
            oldest: Revision(0),
            latest: Revision(0),
            bytes: 0,
        };
        Self { kind, prefix, counts, state: RwLock::new(state), audience: RwLock::default() }
    }

    /// The key of an object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.kind.namespaced {
            format!("{}{namespace}/{name}", self.prefix)
        } else {
            format!("{}{name}", self.prefix)
        }
    }

    /// One object.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Item>> {
        self.state.read().objects.get(self.key(namespace, name).as_str()).cloned()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    /// Notes how things are now.
    pub(super) fn look(&self, revision: Revision) {
        let state = self.state.read();
        self.counts.look(state.objects.len(), state.bytes, revision);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The selected objects now.
    #[must_use]
    pub fn snapshot(&self, selection: &Selection) -> Snapshot {
        let state = self.state.read();
        let range = match selection.namespace.as_str() {
            namespace if namespace.is_empty() || !self.kind.namespaced => self.prefix.clone(),
            namespace => format!("{}{namespace}/", self.prefix),
        };
        let from = (Bound::Included(range.as_str()), Bound::Unbounded);
        let within = state.objects.range::<str, _>(from).take_while(|(key, _)| key.starts_with(&range));
        let items = within.map(|(_, item)| item).filter(|item| selection.matches(item)).cloned().collect();
        Snapshot { items, latest: state.latest, next: state.first + state.window.len() as u64 }
    }

    /// The place in the window after `revision`; `None` when changes after it are forgotten (then the oldest
    /// revision that is not).
    pub fn after(&self, revision: Revision) -> Result<u64, Revision> {
        let state = self.state.read();
        if revision < state.oldest {
            return Err(state.oldest);
        }
        Ok(state.first + state.window.partition_point(|event| event.revision <= revision) as u64)
    }

    /// At most `limit` events from the place `next` on.
    pub(super) fn following(&self, next: u64, limit: usize) -> Following {
        let state = self.state.read();
        let Some(skip) = next.checked_sub(state.first) else { return Following::Forgotten };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        Following::Events(state.window.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Has a new watcher be told of what concerns it from now on.
    pub(super) fn join(&self, interest: &Interest) -> Arc<Signal> {
        self.audience.write().join(interest)
    }

    /// Tells a watcher nothing more.
    pub(super) fn leave(&self, interest: &Interest, signal: &Arc<Signal>) {
        self.audience.write().leave(interest, signal);
    }

    /// Replaces everything by what a read at `revision` gave; what watchers had to read before is forgotten, and all of
    /// them are to be woken.
    pub(super) fn load(&self, items: Vec<Arc<Item>>, revision: Revision) -> Vec<Arc<Signal>> {
        let mut state = self.state.write();
        state.bytes = items.iter().map(|item| item.bytes.len()).sum();
        self.counts.filled(items.len());
        state.objects = items.into_iter().map(|item| (item.key.clone(), item)).collect();
        state.first += state.window.len() as u64 + 1;
        state.window.clear();
        (state.oldest, state.latest) = (revision, revision);
        drop(state);
        let mut waking = Vec::new();
        self.audience.read().tell_all(0, &mut waking);
        waking
    }

    /// Applies one change; gives the watchers that are to be woken.
    pub(super) fn apply(&self, key: &Arc<str>, item: Option<Arc<Item>>, revision: Revision) -> Vec<Arc<Signal>> {
        let mut waking = Vec::new();
        let applied = self.state.write().apply(key, item, revision);
        if let Some((number, event)) = applied {
            self.audience.read().tell(number, &event, &mut waking);
            self.counts.changed();
        }
        waking
    }
}

impl State {
    /// Applies one change; gives its event and the event's number, unless there was nothing to change.
    fn apply(&mut self, key: &Arc<str>, item: Option<Arc<Item>>, revision: Revision) -> Option<(u64, Arc<Event>)> {
        let previous = match &item {
            Some(item) => self.objects.insert(key.clone(), item.clone()),
            None => self.objects.remove(key.as_ref()),
        };
        let size = |item: &Option<Arc<Item>>| item.as_ref().map_or(0, |item| item.bytes.len());
        self.bytes = (self.bytes + size(&item)).saturating_sub(size(&previous));
        self.latest = revision;
        if item.is_none() && previous.is_none() {
            return None;
        }
        let number = self.first + self.window.len() as u64;
        let event = Arc::new(Event::new(revision, item, previous));
        self.window.push_back(event.clone());
        if let Some(at) = self.window.len().checked_sub(WINDOW_LINES + 1) {
            self.window[at].forget_lines();
        }
        if self.window.len() > WINDOW_EVENTS
            && let Some(forgotten) = self.window.pop_front()
        {
            self.first += 1;
            self.oldest = forgotten.revision;
        }
        Some((number, event))
    }
}
