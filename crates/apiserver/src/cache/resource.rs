//! The cache of one resource: its objects in key order and the window of its latest changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use kinds::Kind;
use parking_lot::RwLock;
use store::Revision;

use super::{Event, Item, Selection};

/// So many changes are kept for watchers; one that is further behind is cut.
const WINDOW_EVENTS: usize = 16_384;

/// The objects of one resource and its latest changes.
pub struct ResourceCache {
    /// The kind in whose form the objects are stored.
    pub kind: &'static Kind,
    /// What the objects' keys begin with.
    pub prefix: String,
    state: RwLock<State>,
    changed: tokio::sync::watch::Sender<u64>,
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
    pub fn new(kind: &'static Kind, prefix: String) -> Self {
        let state = State {
            objects: BTreeMap::new(),
            window: VecDeque::new(),
            first: 0,
            oldest: Revision(0),
            latest: Revision(0),
        };
        Self { kind, prefix, state: RwLock::new(state), changed: tokio::sync::watch::Sender::new(0) }
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

    /// Wakes up when there is something new.
    #[must_use]
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Replaces everything by what a read at `revision` gave; what watchers had to read before is forgotten.
    pub(super) fn load(&self, items: Vec<Arc<Item>>, revision: Revision) {
        let mut state = self.state.write();
        state.objects = items.into_iter().map(|item| (item.key.clone(), item)).collect();
        state.first += state.window.len() as u64 + 1;
        state.window.clear();
        (state.oldest, state.latest) = (revision, revision);
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Applies one change and gives the object as it was before.
    pub(super) fn apply(&self, key: &Arc<str>, item: Option<Arc<Item>>, revision: Revision) {
        let mut state = self.state.write();
        let previous = match &item {
            Some(item) => state.objects.insert(key.clone(), item.clone()),
            None => state.objects.remove(key.as_ref()),
        };
        state.latest = revision;
        if item.is_some() || previous.is_some() {
            state.window.push_back(Arc::new(Event::new(revision, item, previous)));
        }
        if state.window.len() > WINDOW_EVENTS
            && let Some(forgotten) = state.window.pop_front()
        {
            state.first += 1;
            state.oldest = forgotten.revision;
        }
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }
}
