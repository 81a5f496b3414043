//! Who waits for the changes of a resource, filed by the narrowest thing that they select, so that a change wakes only
//! those whom it may concern: of a thousand kubelets, the one whose pod it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;
use machinery::Text;

use super::{Event, Item};

/// What a watcher selects, as far as it decides whether to wake it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Every object.
    All,
    /// The objects of a namespace.
    Namespace(Text),
    /// The objects of a name.
    Name(Text),
    /// The objects whose selectable field, by its place in the kind's list, has a value.
    Field(usize, Text),
}

/// Tells one watcher that there may be something for it.
#[derive(Debug)]
pub struct Signal {
    /// The first event since the watcher looked that may concern it.
    first: AtomicU64,
    waker: AtomicWaker,
}

/// No event waits.
const NONE: u64 = u64::MAX;

impl Signal {
    fn new() -> Self {
        Self { first: AtomicU64::new(NONE), waker: AtomicWaker::new() }
    }

    /// Notes that the event `number` may be of interest; says whether the watcher is to be woken.
    fn note(&self, number: u64) -> bool {
        self.first.fetch_min(number, Ordering::AcqRel) == NONE
    }

    /// Has the watcher run.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Has `waker` called at the next [`Signal::wake`]; look with [`Signal::take`] afterwards.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The first event that was noted since the last call.
    pub fn take(&self) -> Option<u64> {
        Some(self.first.swap(NONE, Ordering::AcqRel)).filter(|first| *first != NONE)
    }
}

/// Watchers, by what they want to see.
type Places = HashMap<Text, Vec<Arc<Signal>>>;

/// The watchers of one resource.
#[derive(Debug, Default)]
pub struct Audience {
    all: Vec<Arc<Signal>>,
    namespaces: Places,
    names: Places,
    /// By the field's place, then by its value.
    fields: Vec<(usize, Places)>,
}

impl Audience {
    /// Files a new watcher.
    pub fn join(&mut self, interest: &Interest) -> Arc<Signal> {
        let signal = Arc::new(Signal::new());
        self.place(interest).push(signal.clone());
        signal
    }

    /// Takes a watcher out.
    pub fn leave(&mut self, interest: &Interest, signal: &Arc<Signal>) {
        let place = self.place(interest);
        if let Some(at) = place.iter().position(|other| Arc::ptr_eq(other, signal)) {
            place.swap_remove(at);
        }
        let is_empty = place.is_empty();
        match interest {
            Interest::Namespace(namespace) if is_empty => drop(self.namespaces.remove(namespace)),
            Interest::Name(name) if is_empty => drop(self.names.remove(name)),
            Interest::Field(at, value) if is_empty => {
                self.field(*at).remove(value);
                self.fields.retain(|(_, values)| !values.is_empty());
            }
            _ => {}
        }
    }

    /// Notes the event `number` for all whom it may concern; those to be woken go to `waking`.
    pub fn tell(&self, number: u64, event: &Event, waking: &mut Vec<Arc<Signal>>) {
        let mut note = |place: &Vec<Arc<Signal>>| waking.extend(place.iter().filter(|s| s.note(number)).cloned());
        note(&self.all);
        let sides = [event.item.as_deref(), event.previous.as_deref()];
        let mut both = |key: &dyn Fn(&Item) -> &str, places: &Places| {
            let [now, before] = sides.map(|side| side.map(key));
            now.and_then(|key| places.get(key)).into_iter().for_each(&mut note);
            if before != now {
                before.and_then(|key| places.get(key)).into_iter().for_each(&mut note);
            }
        };
        if !self.namespaces.is_empty() {
            both(&|item| &item.namespace, &self.namespaces);
        }
        if !self.names.is_empty() {
            both(&|item| &item.name, &self.names);
        }
        for (at, values) in &self.fields {
            both(&|item| item.field(*at), values);
        }
    }

    /// Notes the event `number` for everyone.
    pub fn tell_all(&self, number: u64, waking: &mut Vec<Arc<Signal>>) {
        let fields = self.fields.iter().flat_map(|(_, values)| values.values());
        let places = self.namespaces.values().chain(self.names.values()).chain(fields).chain([&self.all]);
        waking.extend(places.flatten().filter(|signal| signal.note(number)).cloned());
    }

    fn place(&mut self, interest: &Interest) -> &mut Vec<Arc<Signal>> {
        match interest {
            Interest::All => &mut self.all,
            Interest::Namespace(namespace) => self.namespaces.entry(namespace.clone()).or_default(),
            Interest::Name(name) => self.names.entry(name.clone()).or_default(),
            Interest::Field(at, value) => self.field(*at).entry(value.clone()).or_default(),
        }
    }

    fn field(&mut self, at: usize) -> &mut Places {
        let found = self.fields.iter().position(|(place, _)| *place == at).unwrap_or_else(|| {
            self.fields.push((at, HashMap::new()));
            self.fields.len() - 1
        });
        &mut self.fields[found].1
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::Revision;

    use super::*;

    fn pod(name: &str, node: &str) -> Arc<Item> {
        let text = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"n"}},"spec":{{"nodeName":"{node}"}}}}"#
        );
        let kind = kinds::lookup("", "v1", "pods").unwrap();
        Arc::new(Item::read(kind, "k".into(), Bytes::from(text), Revision(1)).unwrap())
    }

    #[test]
    fn a_change_concerns_few() {
        let kind = kinds::lookup("", "v1", "pods").unwrap();
        let node = kind.selectable.iter().position(|field| field.name == "spec.nodeName").unwrap();
        let interests = [
            ("all", Interest::All),
            ("n", Interest::Namespace("n".into())),
            ("other", Interest::Namespace("other".into())),
            ("a", Interest::Name("a".into())),
            ("node-1", Interest::Field(node, "node-1".into())),
            ("node-2", Interest::Field(node, "node-2".into())),
        ];
        let mut audience = Audience::default();
        let joined = interests.map(|(name, interest)| (name, audience.join(&interest), interest));
        let told = |item: Option<Arc<Item>>, previous: Option<Arc<Item>>| {
            let mut waking = Vec::new();
            audience.tell(5, &Event::new(Revision(2), item, previous), &mut waking);
            let woken = joined.iter().filter(|(_, signal, _)| waking.iter().any(|other| Arc::ptr_eq(other, signal)));
            let names = woken.map(|(name, ..)| *name).collect::<Vec<_>>().join(" ");
            joined.iter().for_each(|(_, signal, _)| assert!(signal.take().is_none_or(|first| first == 5)));
            names
        };
        assert_eq!(told(Some(pod("a", "")), None), "all n a");
        assert_eq!(told(Some(pod("b", "node-1")), Some(pod("b", ""))), "all n node-1");
        assert_eq!(told(Some(pod("b", "node-1")), Some(pod("b", "node-2"))), "all n node-1 node-2");
        assert_eq!(told(None, Some(pod("b", "node-2"))), "all n node-2");
        for (_, signal, interest) in &joined {
            audience.leave(interest, signal);
        }
        assert!(audience.all.is_empty() && audience.namespaces.is_empty() && audience.names.is_empty());
        assert!(audience.fields.is_empty());
    }

    #[test]
    fn who_was_told_is_not_woken_again_before_it_looked() {
        let mut audience = Audience::default();
        let signal = audience.join(&Interest::All);
        let tell = |number| {
            let mut waking = Vec::new();
            audience.tell(number, &Event::new(Revision(2), Some(pod("a", "")), None), &mut waking);
            waking.len()
        };
        assert_eq!([tell(7), tell(8)], [1, 0]);
        assert_eq!([signal.take(), signal.take()], [Some(7), None]);
        assert_eq!(tell(9), 1);
    }
}
