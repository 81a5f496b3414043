//! Three members, each killed in turn and brought back, under writes and watches: nothing acknowledged is lost, nothing
//! happens twice, and no watch has a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::{Clock, Random};
use futures::StreamExt;
use parking_lot::Mutex;
use store::etcd::{self, Options};
use store::{Change, Error, Event, Expect, Revision, Store};
use tokio::sync::watch;

use crate::members::Members;

const WRITERS: usize = 4;

/// So many writes must succeed while a member is dead, and after it came back.
const WRITES: usize = 150;

/// What the writers were told. Every value is written once.
#[derive(Default)]
struct Account {
    acknowledged: BTreeMap<u64, (String, String)>,
    in_doubt: BTreeSet<String>,
}

#[tokio::test]
async fn members_die_and_come_back() {
    let members = Members::start(3);
    let (account, stop) = (Arc::new(Mutex::new(Account::default())), watch::Sender::new(false));
    let (done, mut progress) = watch::channel(0);
    let done = Arc::new(done);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, account, stop, done) = (members.open(), account.clone(), stop.subscribe(), done.clone());
            base::spawn("writer", async move { write_until(&*store, writer, &account, &done, stop).await })
        })
        .collect();
    let end = watch::Sender::new(None);
    let watchers: Vec<_> = (0..2)
        .map(|_| {
            let (store, end) = (members.open(), end.subscribe());
            base::spawn("watcher", async move { watch_until(&*store, end).await })
        })
        .collect();
    for victim in [0, 1, 2] {
        more_writes(&mut progress).await;
        members.kill(victim);
        more_writes(&mut progress).await;
        members.revive(victim);
        // Only when it serves again can the next one die.
        alone(&members, victim).revision().await.unwrap();
    }
    more_writes(&mut progress).await;
    stop.send_replace(true);
    for writer in writers {
        writer.await.unwrap();
    }
    let last = members.open().revision().await.unwrap();
    end.send_replace(Some(last));
    let account = Arc::into_inner(account).unwrap().into_inner();
    for watcher in watchers {
        check(&watcher.await.unwrap(), &account, last);
    }
}

/// A client of one member only.
fn alone(members: &Members, member: usize) -> Arc<dyn Store> {
    let options = Options { endpoints: vec![members.endpoints()[member].clone()], ..Options::default() };
    etcd::open(&options, Clock::system(), Random::system()).unwrap()
}

async fn more_writes(progress: &mut watch::Receiver<usize>) {
    let goal = *progress.borrow() + WRITES;
    progress.wait_for(|done| *done >= goal).await.unwrap();
}

async fn write_until(
    store: &dyn Store,
    writer: usize,
    account: &Mutex<Account>,
    done: &watch::Sender<usize>,
    stop: watch::Receiver<bool>,
) {
    for n in 0.. {
        if *stop.borrow() {
            return;
        }
        let (key, value) = (format!("/{writer}/{}", n % 10), format!("{writer}-{n}"));
        match store.write(&key, Expect::Any, Change::put(value.clone())).await {
            Ok(revision) => {
                let before = account.lock().acknowledged.insert(revision.0, (key, value));
                assert_eq!(before, None, "two writes at revision {}", revision);
                done.send_modify(|done| *done += 1);
            }
            Err(Error::Unavailable { .. } | Error::TimedOut { .. }) => {
                account.lock().in_doubt.insert(value);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Reads everything that happens, up to the revision that is told at last.
async fn watch_until(store: &dyn Store, mut end: watch::Receiver<Option<Revision>>) -> Vec<Event> {
    let mut stream = store.watch("/", Revision(1)).await.unwrap();
    let (mut events, mut seen) = (Vec::<Event>::new(), Revision(1));
    while end.borrow_and_update().is_none_or(|end| seen < end) {
        tokio::select! {
            biased;
            changed = end.changed() => changed.unwrap(),
            batch = stream.next() => {
                let batch = batch.unwrap().unwrap();
                assert!(batch.revision >= seen, "progress goes back from {seen} to {}", batch.revision);
                seen = batch.revision;
                events.extend(batch.events);
            }
        }
    }
    events
}

fn check(events: &[Event], account: &Account, last: Revision) {
    let mut values = BTreeSet::new();
    let mut next = Revision(2);
    for event in events {
        assert_eq!(event.revision(), next, "no gap, nothing twice, in order");
        next = next.next();
        let Event::Put { entry, .. } = event else { panic!("nothing is deleted: {event:?}") };
        let value = String::from_utf8(entry.value.to_vec()).unwrap();
        assert!(values.insert(value.clone()), "{value} happened twice");
        match account.acknowledged.get(&entry.revision.0) {
            Some(told) => assert_eq!(*told, (entry.key.to_string(), value)),
            None => assert!(account.in_doubt.contains(&value), "{value} came from nowhere"),
        }
    }
    // Without a gap up to the last change, every acknowledged one is there.
    assert!(next > last && account.acknowledged.keys().all(|revision| *revision <= last.0));
}
