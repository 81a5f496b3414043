//! What must be true, all the time: each checker sees every write in order and says what is wrong.

mod bound_once;
mod jobs;
mod rolling;
mod settled;

use std::collections::BTreeMap;

use jiff::Timestamp;
use machinery::Value;

pub use bound_once::BoundOnce;
pub use jobs::Parallelism;
pub use rolling::Rolling;
pub use settled::unsettled;

/// All objects by their keys in the store.
pub type Objects = BTreeMap<String, Value>;

/// One write.
pub struct Change<'a> {
    /// When it was seen.
    pub now: Timestamp,
    /// Where.
    pub key: &'a str,
    /// What was there before.
    pub old: Option<&'a Value>,
    /// What is there now.
    pub new: Option<&'a Value>,
    /// All objects, after the write.
    pub all: &'a Objects,
}

/// Sees every write, in order.
pub trait Checker: Send {
    /// What is wrong now, as a sentence.
    fn see(&mut self, change: &Change<'_>) -> Option<String>;
}

/// The objects under `prefix`.
pub fn under<'a>(all: &'a Objects, prefix: &str) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
    let prefix = prefix.to_owned();
    all.range(prefix.clone()..)
        .take_while(move |(key, _)| key.starts_with(&prefix))
        .map(|(key, object)| (key.as_str(), object))
}

#[cfg(test)]
mod testing {
    use super::*;

    /// Lets a checker see a history: a line a write, `SECONDS KEY JSON` (no JSON deletes). Gives its complaints.
    pub fn judge(mut checker: impl Checker, history: &str) -> String {
        let (mut all, mut complaints) = (Objects::new(), Vec::new());
        for line in history.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let now = Timestamp::from_second(words.next().unwrap().parse().unwrap()).unwrap();
            let key = words.next().unwrap();
            let old = match words.next() {
                Some(text) => all.insert(key.to_owned(), machinery::json::parse(text.as_bytes()).unwrap()),
                None => all.remove(key),
            };
            let change = Change { now, key, old: old.as_ref(), new: all.get(key), all: &all };
            complaints.extend(checker.see(&change));
        }
        complaints.join("\n")
    }
}
