//! Two API servers in front of one etcd of three members, each of which is killed in turn and comes back: a list of one
//! server shows what was written through the other, nothing stale overwrites, no watch ends or has a gap.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Clock, Random};
use client::{ApiError, Client, ListOptions, WatchEvent, WatchOptions};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use store::Store;
use store::etcd::{self, Options};
use tokio::sync::watch;

use crate::members::Members;
use crate::server::Server;

const NAMESPACE: &str = "default";
const COUNTERS: [&str; 3] = ["counter-0", "counter-1", "counter-2"];

/// So many writes must succeed while a member is dead, and after it came back.
const WRITES: usize = 40;

#[tokio::test]
async fn two_servers_and_dying_members() {
    let (clock, members, folder) = (Clock::system(), Members::start(3), tempfile::tempdir().unwrap());
    let flags = ["--secure-port", "0", "--etcd-servers", &members.endpoints().join(",")].map(str::to_owned);
    let mut first = Server::start(folder.path(), "first", &flags);
    let ours = first.client(&clock).await;
    first.share_keys(folder.path(), "second");
    let mut second = Server::start(folder.path(), "second", &flags);
    let servers = [ours, second.client(&clock).await];

    count_together(servers, async |progress| {
        for victim in [0, 1, 2] {
            more_writes(progress, WRITES).await;
            members.kill(victim);
            more_writes(progress, WRITES).await;
            members.revive(victim);
            // Only when it serves again can the next one die.
            alone(&members, victim).revision().await.unwrap();
        }
        more_writes(progress, WRITES).await;
    })
    .await;
    let (stored, _) = members.open().get("/registry/configmaps/default/counter-0", None).await.unwrap();
    assert!(stored.unwrap().value.starts_with(b"k8s\0"), "it is kept as stock servers keep it");
}

/// Counters go up through both servers in turn, watched through both, until `meanwhile` ends; it sees how many writes
/// have succeeded.
pub async fn count_together(servers: [Client; 2], meanwhile: impl AsyncFnOnce(&mut watch::Receiver<usize>)) {
    for name in COUNTERS {
        servers[0].create(&counter(name, 0, None)).await.unwrap();
    }
    let (stop, end) = (watch::Sender::new(false), watch::Sender::new(BTreeMap::new()));
    let watchers: Vec<_> =
        servers.iter().map(|server| base::spawn("watcher", follow(server.clone(), end.subscribe()))).collect();
    let (done, mut progress) = watch::channel(0);
    let done = Arc::new(done);
    let writer = |name| base::spawn("writer", count(servers.clone(), name, done.clone(), stop.subscribe()));
    let writers: Vec<_> = COUNTERS.into_iter().map(writer).collect();
    meanwhile(&mut progress).await;
    stop.send_replace(true);
    let mut counted = BTreeMap::new();
    for (name, writer) in COUNTERS.into_iter().zip(writers) {
        counted.insert(name.to_owned(), writer.await.unwrap());
    }
    end.send_replace(counted);
    for watcher in watchers {
        watcher.await.unwrap();
    }
}

/// A client of one member only.
fn alone(members: &Members, member: usize) -> Arc<dyn Store> {
    let options = Options { endpoints: vec![members.endpoints()[member].clone()], ..Options::default() };
    etcd::open(&options, Clock::system(), Random::system()).unwrap()
}

/// Waits until so many more writes have succeeded.
pub async fn more_writes(progress: &mut watch::Receiver<usize>, writes: usize) {
    let goal = *progress.borrow() + writes;
    progress.wait_for(|done| *done >= goal).await.unwrap();
}

fn counter(name: &str, count: u64, resource_version: Option<String>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            resource_version,
            ..ObjectMeta::default()
        },
        data: Some([("count".to_owned(), count.to_string())].into()),
        ..ConfigMap::default()
    }
}

fn count_of(counter: &ConfigMap) -> u64 {
    counter.data.as_ref().unwrap()["count"].parse().unwrap()
}

/// Counts up by one a write, through both servers in turn, until the stop; gives the last count.
async fn count(
    servers: [Client; 2],
    name: &'static str,
    done: Arc<watch::Sender<usize>>,
    stop: watch::Receiver<bool>,
) -> u64 {
    let mut current = read(&servers[0], name).await;
    while !*stop.borrow() {
        let next = count_of(&current) + 1;
        let [writer, reader] =
            if next.is_multiple_of(2) { [&servers[0], &servers[1]] } else { [&servers[1], &servers[0]] };
        current = match writer.update(&counter(name, next, current.metadata.resource_version.clone())).await {
            Ok(written) => written,
            // Nobody else writes it: a refusal means that it was not done, silence that it may have been.
            Err(error) => {
                assert!(is_outage(&error), "{error}");
                read(reader, name).await
            }
        };
        assert!(count_of(&current) == next || count_of(&current) + 1 == next, "{name} left {next} behind");
        if let Ok(all) = reader.list::<ConfigMap>(NAMESPACE, &ListOptions::default()).await {
            let listed = all.iter().find(|one| one.metadata.name.as_deref() == Some(name)).unwrap();
            assert!(count_of(listed) >= count_of(&current), "a list of the other server is stale");
        }
        done.send_modify(|done| *done += usize::from(count_of(&current) == next));
    }
    count_of(&current)
}

/// The object as it is now; waits out the outage of a member.
async fn read(server: &Client, name: &str) -> ConfigMap {
    loop {
        match server.get(NAMESPACE, name).await {
            Ok(found) => return found,
            Err(error) => assert!(is_outage(&error), "{error}"),
        }
    }
}

/// What a server says when etcd did not answer; 504 when it did not in time.
fn is_outage(error: &ApiError) -> bool {
    matches!(error.code(), Some(500 | 504))
}

/// Watches from before the first write up to the counts that are told at last; every count must come, once and in order.
async fn follow(server: Client, mut end: watch::Receiver<BTreeMap<String, u64>>) {
    let api = server.api::<ConfigMap>();
    let listed = api.list(NAMESPACE, &ListOptions::default()).await.unwrap();
    let mut seen: BTreeMap<String, u64> = listed.items.iter().filter_map(named).collect();
    let from = WatchOptions { resource_version: listed.metadata.resource_version.unwrap(), ..WatchOptions::default() };
    let mut events = api.watch(NAMESPACE, &from).await.unwrap();
    let is_over = |end: &BTreeMap<String, u64>, seen: &BTreeMap<String, u64>| {
        !end.is_empty() && end.iter().all(|(name, count)| seen.get(name) >= Some(count))
    };
    while !is_over(&end.borrow_and_update(), &seen) {
        tokio::select! {
            biased;
            changed = end.changed() => changed.unwrap(),
            event = events.next() => {
                let event = event.expect("no watch ends").unwrap();
                let WatchEvent::Modified(changed) = event else { continue };
                let Some((name, count)) = named(&changed) else { continue };
                assert_eq!(seen.insert(name.clone(), count), Some(count - 1), "{name} jumps to {count}");
            }
        }
    }
}

fn named(object: &ConfigMap) -> Option<(String, u64)> {
    let name = object.metadata.name.clone()?;
    COUNTERS.contains(&name.as_str()).then(|| (name, count_of(object)))
}
