//! What a store owes to its writers after a crash: every acknowledged write, none torn, none out of thin air.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use store::{Range, Revision, Store};

/// What a key may hold: the last acknowledged value, or one whose fate nobody was told.
#[derive(Debug, Default)]
struct Account {
    acknowledged: Option<(Revision, Option<String>)>,
    in_doubt: Vec<Option<String>>,
}

/// The writes of all writers; each key has one writer, who waits for each answer. Values must differ.
#[derive(Debug)]
pub struct Ledger {
    accounts: BTreeMap<String, Account>,
    revision: Revision,
}

impl Ledger {
    /// Of an empty store.
    pub fn new() -> Self {
        Self { accounts: BTreeMap::new(), revision: Revision::FIRST }
    }

    /// A write began: whether it is there is unknown until it is acknowledged.
    pub fn began(&mut self, key: &str, value: Option<String>) {
        self.accounts.entry(key.to_owned()).or_default().in_doubt.push(value);
    }

    /// The last write that began under `key` was acknowledged with `revision`.
    pub fn acknowledged(&mut self, key: &str, revision: Revision) {
        let account = self.accounts.get_mut(key).expect("a write began");
        let value = account.in_doubt.pop().expect("a write began");
        account.in_doubt.clear();
        account.acknowledged = Some((revision, value));
        self.revision = self.revision.max(revision);
    }

    /// Checks what a reopened store holds; afterwards that is what it owes.
    pub async fn check(&mut self, store: &dyn Store) {
        let found = store.range(Range::prefix(""), None).await.unwrap();
        assert!(
            found.revision >= self.revision,
            "revision {} after {} was acknowledged",
            found.revision,
            self.revision
        );
        self.revision = found.revision;
        let mut held: BTreeMap<_, _> = found.entries.iter().map(|entry| (entry.key.to_string(), entry)).collect();
        let keys: BTreeSet<_> = self.accounts.keys().cloned().chain(held.keys().cloned()).collect();
        for key in keys {
            let entry = held.remove(&key);
            let value = entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap());
            let account = self.accounts.entry(key.clone()).or_default();
            let (revision, owed) = account.acknowledged.clone().unwrap_or((Revision::FIRST, None));
            let kept = value == owed && entry.is_none_or(|entry| entry.revision == revision);
            let newer = account.in_doubt.contains(&value) && entry.is_none_or(|entry| entry.revision > revision);
            assert!(kept || newer, "{key} holds {value:?}, owed is {owed:?} or one of {:?}", account.in_doubt);
            let revision = entry.map_or(revision, |entry| entry.revision);
            *account = Account { acknowledged: Some((revision, value)), in_doubt: Vec::new() };
        }
        check_history(store, found.revision).await;
    }
}

/// Every revision since the last compaction is there, once and in order.
async fn check_history(store: &dyn Store, revision: Revision) {
    let oldest = match store.get("", Some(Revision(0))).await {
        Err(store::Error::Compacted { oldest, .. }) => oldest,
        other => panic!("revision 0 can never be read: {other:?}"),
    };
    if oldest == revision {
        return;
    }
    let mut watch = store.watch("", oldest).await.unwrap();
    let mut next = oldest.next();
    while next <= revision {
        for event in watch.next().await.unwrap().unwrap().events {
            assert_eq!(event.revision(), next);
            next = next.next();
        }
    }
}
