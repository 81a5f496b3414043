//! A client that lists once and then only watches, through all faults: what it knows must be what there is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{ApiError, Context, ListOptions, Resource, WatchEvent, WatchOptions, key};
use futures::StreamExt;
use machinery::{Value, meta};
use parking_lot::Mutex;

use crate::history::History;

/// Between attempts to watch.
const RETRY: Duration = Duration::from_millis(500);

/// The objects of one kind as list and watch tell them.
pub struct Mirror {
    /// The kind.
    pub resource: Resource,
    /// Where the store keeps them.
    pub storage: &'static str,
    known: Mutex<BTreeMap<String, Value>>,
}

impl Mirror {
    /// A mirror that knows nothing yet.
    #[must_use]
    pub fn new(resource: Resource, storage: &'static str) -> Self {
        Self { resource, storage, known: Mutex::default() }
    }

    /// Lists and watches until the context is cancelled; complains about events that cannot be.
    pub async fn follow(self: Arc<Self>, context: Context, history: Arc<History>) {
        let follow = async {
            let mut revision = String::new();
            loop {
                let ended = if revision.is_empty() {
                    self.list(&context, &mut revision).await
                } else {
                    self.watch(&context, &mut revision, &history).await
                };
                match ended {
                    Ok(()) => {}
                    Err(error) if error.is_expired() => revision.clear(),
                    Err(_) => context.clock.sleep(RETRY).await,
                }
            }
        };
        context.cancel.run_until_cancelled(follow).await;
    }

    async fn list(&self, context: &Context, revision: &mut String) -> Result<(), ApiError> {
        let list = context.client.dynamic(self.resource.clone()).list("", &ListOptions::default()).await?;
        *revision = list.metadata.resource_version.unwrap_or_default();
        *self.known.lock() = list.items.into_iter().map(entry).collect();
        Ok(())
    }

    async fn watch(&self, context: &Context, revision: &mut String, history: &History) -> Result<(), ApiError> {
        let options = WatchOptions { resource_version: revision.clone(), ..WatchOptions::default() };
        let mut events = context.client.dynamic(self.resource.clone()).watch("", &options).await?;
        while let Some(event) = events.next().await {
            if let Some(complaint) = self.take(event?, revision) {
                history.complain(format!("{}: a watch of {} {complaint}", context.clock.now(), self.resource.plural));
            }
        }
        Ok(())
    }

    /// Takes in an event; what is wrong with it.
    fn take(&self, event: WatchEvent<Value>, revision: &mut String) -> Option<String> {
        let (word, object) = match event {
            WatchEvent::Bookmark { resource_version, .. } => {
                let back = older(&resource_version, revision);
                let complaint = back.then(|| format!("went back from {revision} to the mark {resource_version}"));
                *revision = resource_version;
                return complaint;
            }
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
        };
        let (key, at) = (key_of(&object), meta::resource_version(&object).to_owned());
        let mut known = self.known.lock();
        let (was, is_new) = (known.contains_key(&key), word == "ADDED");
        let complaint = if at == *revision || older(&at, revision) {
            Some(format!("went back from {revision} to {at} ({word} {key})"))
        } else if was == is_new {
            let state = if was { "is known" } else { "is not known" };
            Some(format!("said {word} of {key} at {at}, which {state}"))
        } else {
            None
        };
        *revision = at;
        if word == "DELETED" {
            known.remove(&key);
        } else {
            known.extend([entry(object)]);
        }
        complaint
    }

    /// Compares with the state that a list and the store show.
    ///
    /// # Errors
    /// The first difference, as a sentence.
    pub async fn compare(&self, client: &client::Client, history: &History) -> Result<(), String> {
        let list = client.dynamic(self.resource.clone()).list("", &ListOptions::default()).await;
        let list = list.map_err(|error| format!("listing {}: {error}", self.resource.plural))?;
        let listed: BTreeMap<String, Value> = list.items.into_iter().map(entry).collect();
        let known = self.known.lock().clone();
        let stored: BTreeMap<String, String> = history
            .revisions(&format!("/registry/{}/", self.storage))
            .into_iter()
            .map(|(key, revision)| (key, revision.to_string()))
            .collect();
        let shown: BTreeMap<String, String> = listed
            .iter()
            .map(|(key, object)| {
                (format!("/registry/{}/{key}", self.storage), meta::resource_version(object).to_owned())
            })
            .collect();
        same("a list of", &self.resource.plural, &shown, "the store", &stored, String::clone)?;
        same("list and watch of", &self.resource.plural, &known, "a fresh list", &listed, machinery::json::to_string)
    }
}

fn same<T: PartialEq>(
    what: &str,
    plural: &str,
    left: &BTreeMap<String, T>,
    other: &str,
    right: &BTreeMap<String, T>,
    show: fn(&T) -> String,
) -> Result<(), String> {
    let keys = left.keys().chain(right.keys());
    match keys.into_iter().find(|key| left.get(*key) != right.get(*key)) {
        None => Ok(()),
        Some(key) => {
            let show = |side: &BTreeMap<String, T>| side.get(key).map_or_else(|| "nothing".to_owned(), show);
            Err(format!("{what} {plural} and {other} differ in {key}: {} against {}", show(left), show(right)))
        }
    }
}

/// An object by its key. Items of a list do not name their kind, events do.
fn entry(mut object: Value) -> (String, Value) {
    for name in ["kind", "apiVersion"] {
        object.remove_at(&[name]);
    }
    (key_of(&object), object)
}

fn key_of(object: &Value) -> String {
    key(meta::namespace(object), meta::name(object))
}

/// Resource versions are ordered numbers (KEP-5504).
fn older(a: &str, b: &str) -> bool {
    (a.len(), a) < (b.len(), b)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use machinery::value;

    use super::*;

    #[test]
    fn impossible_events_are_noticed() {
        let mirror = Mirror::new(Resource::of::<Pod>(), "pods");
        let pod = |revision: &str| value!({"metadata": {"namespace": "a", "name": "p", "resourceVersion": revision}});
        let mut revision = "5".to_owned();
        let mut take = |event| mirror.take(event, &mut revision).unwrap_or_default();
        let mark = WatchEvent::Bookmark { resource_version: "9".to_owned(), initial_events_end: false };
        let shown = [
            take(WatchEvent::Modified(pod("6"))),
            take(WatchEvent::Added(pod("10"))),
            take(WatchEvent::Modified(pod("10"))),
            take(mark),
            take(WatchEvent::Deleted(pod("11"))),
            take(WatchEvent::Deleted(pod("12"))),
        ];
        expect_test::expect![[r#"
            said MODIFIED of a/p at 6, which is not known
            said ADDED of a/p at 10, which is known
            went back from 10 to 10 (MODIFIED a/p)
            went back from 10 to the mark 9

            said DELETED of a/p at 12, which is not known"#]]
        .assert_eq(&shown.join("\n"));
    }
}
