//! Keeps repeated events few: repeats raise a count, similar ones are combined, floods are dropped.
//!
//! The numbers are client-go's: people know how `kubectl get events` behaves.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;

/// Who an event is about and what it says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Occurrence {
    /// The object it is about.
    pub regarding: ObjectReference,
    /// Another object that took part; only events.k8s.io keeps it.
    pub related: Option<ObjectReference>,
    /// `Normal` or `Warning`.
    pub event_type: &'static str,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// What was done; only events.k8s.io keeps it.
    pub action: String,
    /// The sentence for people.
    pub message: String,
}

/// What to do about an occurrence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Write a new event with this message.
    Create { name: String, message: String },
    /// Raise the count of an event that was written before.
    Repeat { name: String, message: String, count: i32, first: Timestamp },
    /// Too many: write nothing.
    Drop,
}

/// So many different messages of one reason within [`SIMILAR_WINDOW`] are written; further ones are combined.
const SIMILAR_LIMIT: usize = 10;
const SIMILAR_WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// An object may have so many events at once…
const BURST: f64 = 25.0;

/// …and one more every so many seconds.
const REFILL_SECONDS: f64 = 300.0;

/// So many objects, reasons and messages are remembered; the longest unused is forgotten first.
const MEMORY: usize = 4096;

/// A repeat of an event of events.k8s.io is written at most this often.
const SERIES_WINDOW: SignedDuration = SignedDuration::from_mins(6);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct About {
    object: [String; 5],
    event_type: &'static str,
    reason: String,
    detail: String,
}

fn object(regarding: &ObjectReference) -> [String; 5] {
    let field = |value: &Option<String>| value.clone().unwrap_or_default();
    let r = regarding;
    [field(&r.kind), field(&r.namespace), field(&r.name), field(&r.uid), field(&r.field_path)]
}

impl About {
    fn of(occurrence: &Occurrence, detail: &str) -> Self {
        Self {
            object: object(&occurrence.regarding),
            event_type: occurrence.event_type,
            reason: occurrence.reason.clone(),
            detail: detail.to_owned(),
        }
    }
}

struct Similar {
    messages: HashSet<String>,
    last: Timestamp,
}

struct Written {
    name: String,
    count: i32,
    first: Timestamp,
    last: Timestamp,
}

/// What was written before.
#[derive(Default)]
pub(crate) struct Correlator {
    similar: Memory<About, Similar>,
    written: Memory<About, Written>,
    tokens: Memory<[String; 5], (f64, Timestamp)>,
    last_name: i128,
}

impl Correlator {
    /// For core/v1 events.
    pub(crate) fn correlate(&mut self, occurrence: &Occurrence, now: Timestamp) -> Verdict {
        let (about, message) = self.combine(occurrence, now);
        let verdict = self.count(about, occurrence, message, now);
        if self.take_token(object(&occurrence.regarding), now) { verdict } else { Verdict::Drop }
    }

    /// For events.k8s.io: repeats whatever their note, written seldom.
    pub(crate) fn series(&mut self, occurrence: &Occurrence, now: Timestamp) -> Verdict {
        let about = About::of(occurrence, &occurrence.action);
        let due = self
            .written
            .get(&about)
            .is_none_or(|known| known.count == 1 || now.duration_since(known.last) >= SERIES_WINDOW);
        if due {
            return self.count(about, occurrence, occurrence.message.clone(), now);
        }
        if let Some(known) = self.written.get(&about) {
            known.count += 1;
        }
        Verdict::Drop
    }

    /// Forgets an event that the server does not know any more.
    pub(crate) fn forget(&mut self, name: &str) {
        self.written.entries.retain(|_, (_, known)| known.name != name);
    }

    fn combine(&mut self, occurrence: &Occurrence, now: Timestamp) -> (About, String) {
        let about = About::of(occurrence, "");
        let similar = self.similar.or_insert(about.clone(), || Similar { messages: HashSet::new(), last: now });
        if now.duration_since(similar.last) > SIMILAR_WINDOW {
            similar.messages.clear();
        }
        similar.last = now;
        if similar.messages.len() < SIMILAR_LIMIT {
            similar.messages.insert(occurrence.message.clone());
        }
        if similar.messages.len() < SIMILAR_LIMIT {
            return (About::of(occurrence, &occurrence.message), occurrence.message.clone());
        }
        (about, format!("(combined from similar events): {}", occurrence.message))
    }

    fn count(&mut self, about: About, occurrence: &Occurrence, message: String, now: Timestamp) -> Verdict {
        if let Some(known) = self.written.get(&about) {
            known.count += 1;
            known.last = now;
            return Verdict::Repeat { name: known.name.clone(), message, count: known.count, first: known.first };
        }
        let name = self.name(occurrence, now);
        self.written.or_insert(about, || Written { name: name.clone(), count: 1, first: now, last: now });
        Verdict::Create { name, message }
    }

    /// A name for a new event: its object's and the time, which is stretched where it stands still.
    pub(crate) fn name(&mut self, occurrence: &Occurrence, now: Timestamp) -> String {
        self.last_name = now.as_nanosecond().max(self.last_name + 1);
        let subject = occurrence.regarding.name.as_deref().unwrap_or_default();
        format!("{subject}.{:x}", self.last_name)
    }

    fn take_token(&mut self, object: [String; 5], now: Timestamp) -> bool {
        let (tokens, last) = self.tokens.or_insert(object, || (BURST, now));
        *tokens = (*tokens + now.duration_since(*last).as_secs_f64() / REFILL_SECONDS).min(BURST);
        *last = now;
        let enough = *tokens >= 1.0;
        if enough {
            *tokens -= 1.0;
        }
        enough
    }
}

/// A map of at most [`MEMORY`] entries.
struct Memory<K, V> {
    entries: HashMap<K, (u64, V)>,
    uses: u64,
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), uses: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Memory<K, V> {
    fn get(&mut self, key: &K) -> Option<&mut V> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.0 = self.uses;
        Some(&mut entry.1)
    }

    fn or_insert(&mut self, key: K, value: impl FnOnce() -> V) -> &mut V {
        self.uses += 1;
        if self.entries.len() >= MEMORY && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.entries.remove(&oldest));
        }
        let entry = self.entries.entry(key).or_insert_with(|| (0, value()));
        entry.0 = self.uses;
        &mut entry.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(message: &str) -> Occurrence {
        let regarding = ObjectReference { name: Some("web".into()), ..ObjectReference::default() };
        Occurrence {
            regarding,
            event_type: "Normal",
            reason: "R".into(),
            message: message.into(),
            ..Occurrence::default()
        }
    }

    fn told(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Create { name, message } => format!("create {name}: {message}"),
            Verdict::Repeat { name, message, count, .. } => format!("repeat {name} {count}: {message}"),
            Verdict::Drop => "drop".into(),
        }
    }

    #[test]
    fn repeats_count_and_similar_ones_are_combined() {
        let mut correlator = Correlator::default();
        let now = Timestamp::from_nanosecond(0xabc).unwrap();
        assert_eq!(told(&correlator.correlate(&occurrence("a"), now)), "create web.abc: a");
        assert_eq!(told(&correlator.correlate(&occurrence("a"), now)), "repeat web.abc 2: a");
        for n in 1..9 {
            correlator.correlate(&occurrence(&n.to_string()), now);
        }
        let combined = told(&correlator.correlate(&occurrence("z"), now));
        assert_eq!(combined, "create web.ac5: (combined from similar events): z");
        let again = told(&correlator.correlate(&occurrence("y"), now));
        assert_eq!(again, "repeat web.ac5 2: (combined from similar events): y");
    }

    #[test]
    fn a_flood_is_dropped() {
        let mut correlator = Correlator::default();
        let now = Timestamp::UNIX_EPOCH;
        let kept = (0..100).filter(|_| correlator.correlate(&occurrence("a"), now) != Verdict::Drop).count();
        assert_eq!(kept, 25);
        let later = now + SignedDuration::from_secs(301);
        assert_eq!(told(&correlator.correlate(&occurrence("a"), later)), "repeat web.1 101: a");
    }

    #[test]
    fn a_series_is_written_at_once_and_then_seldom() {
        let mut correlator = Correlator::default();
        let at = |minutes| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let verdicts: Vec<_> =
            [0, 1, 2, 3, 8].map(|m| told(&correlator.series(&occurrence(&m.to_string()), at(m)))).into();
        assert_eq!(verdicts, ["create web.1: 0", "repeat web.1 2: 1", "drop", "drop", "repeat web.1 5: 8"]);
    }
}
