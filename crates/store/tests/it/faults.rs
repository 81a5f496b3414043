//! Disks that are full, break, lose power or rot: nothing acknowledged is lost, nothing unacknowledged is shown.

use std::sync::Arc;

use base::{Clock, Random};
use expect_test::expect;
use futures::future::join_all;
use store::embedded::{self, Sizes};
use store::{Change, Error, Expect, Range, Revision, Store};

use crate::disk::{Fault, SimDisk};
use crate::engines::SMALL;
use crate::ledger::Ledger;

fn open(disk: &SimDisk) -> Result<Arc<dyn Store>, Error> {
    embedded::open_on(Arc::new(disk.clone()), SMALL, Clock::system())
}

async fn put(store: &dyn Store, key: &str, value: &str) -> Result<Revision, Error> {
    store.write(key, Expect::Any, Change::put(value.to_owned())).await
}

async fn keys(store: &dyn Store) -> Vec<String> {
    let found = store.range(Range::prefix(""), None).await.unwrap();
    found.entries.iter().map(|entry| entry.key.to_string()).collect()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_room() {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    put(&*store, "/a", "1").await.unwrap();
    disk.set(Fault::FullAt(0));
    let large = "x".repeat(3 << 10);
    let error = put(&*store, "/b", &large).await.unwrap_err();
    assert_eq!(error.to_string(), "no space left for the store: write /sim/00000000000000000002.log");
    assert_eq!((keys(&*store).await, store.revision().await.unwrap()), (vec!["/a".to_owned()], Revision(2)));
    disk.set(Fault::None);
    assert_eq!(put(&*store, "/c", &large).await.unwrap(), Revision(3));
    store.close().await;
    assert_eq!(keys(&*open(&disk).unwrap()).await, ["/a", "/c"]);
}

#[tokio::test]
async fn a_part_of_a_write_on_a_full_disk_is_taken_back() {
    let disk = SimDisk::default();
    let sizes = Sizes { segment_bytes: 10 << 20, ..SMALL };
    let store = embedded::open_on(Arc::new(disk.clone()), sizes, Clock::system()).unwrap();
    put(&*store, "/a", "1").await.unwrap();
    disk.set(Fault::FullAt(2 << 10));
    let large = "x".repeat(3 << 10);
    assert!(matches!(put(&*store, "/b", &large).await, Err(Error::Full { .. })));
    assert_eq!(put(&*store, "/c", "fits").await.unwrap(), Revision(3));
    store.close().await;
    assert_eq!(keys(&*open(&disk).unwrap()).await, ["/a", "/c"]);
}

#[tokio::test]
async fn after_a_failed_sync_the_store_only_reads() {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    put(&*store, "/a", "1").await.unwrap();
    let mut watch = store.watch("/", Revision(2)).await.unwrap();
    disk.set(Fault::FailingSync);
    let first = put(&*store, "/b", "2").await.unwrap_err();
    disk.set(Fault::None);
    let second = put(&*store, "/c", "3").await.unwrap_err();
    expect![[r"
        the store takes no writes since its disk failed: sync /sim/00000000000000000001.log: Input/output error (os error 5)
        the store takes no writes since its disk failed: sync /sim/00000000000000000001.log: Input/output error (os error 5)"]]
    .assert_eq(&format!("{first}\n{second}"));
    assert_eq!(keys(&*store).await, ["/a"]);
    store.request_progress("/").await.unwrap();
    let mark = crate::engines::next(&mut watch).await.unwrap();
    assert_eq!((mark.events.len(), mark.revision), (0, Revision(2)));
}

/// A store whose log has several segments and no snapshot.
async fn some_segments() -> SimDisk {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    for n in 0..6 {
        put(&*store, &format!("/{n}"), &"x".repeat(100)).await.unwrap();
    }
    store.close().await;
    assert_eq!(disk.names().len(), 3);
    disk
}

#[tokio::test]
async fn damage_is_told_never_read_over() {
    let tampered = |name: &'static str, at: usize| async move {
        let disk = some_segments().await;
        disk.tamper(name, |bytes| bytes[at] ^= 1);
        open(&disk).err().map_or("opens".to_owned(), |error| error.to_string())
    };
    let missing = |name: &'static str| async move {
        let disk = some_segments().await;
        store::embedded::disk::Disk::remove(&disk, name).unwrap();
        open(&disk).err().map_or("opens".to_owned(), |error| error.to_string())
    };
    let shown = [
        tampered("00000000000000000001.log", 0).await,
        tampered("00000000000000000002.log", 200).await,
        // Zeros ahead end a sealed segment; so does a header that became zeros, and what follows tells.
        tampered("00000000000000000003.log", 5).await,
        missing("00000000000000000002.log").await,
    ];
    expect![[r"
        the store's file /sim/00000000000000000001.log is damaged at byte 0: this is no frame, though more was written later
        the store's file /sim/00000000000000000002.log is damaged at byte 147: this is no frame, though more was written later
        the store's file /sim/00000000000000000003.log is damaged at byte 0: this is no frame, though more was written later
        the store's file /sim/00000000000000000003.log is damaged at byte 147: revision 4 is missing before 6"]]
    .assert_eq(&shown.join("\n"));
}

#[tokio::test]
async fn compaction_trims_the_log_to_a_snapshot() {
    let disk = some_segments().await;
    let store = open(&disk).unwrap();
    store.compact(Revision(5)).await.unwrap();
    let names = ["00000000000000000003.log", "00000000000000000004.log", "00000000000000000005.snapshot"];
    assert_eq!(disk.names(), names);
    store.close().await;
    let store = open(&disk).unwrap();
    assert_eq!(keys(&*store).await, ["/0", "/1", "/2", "/3", "/4", "/5"]);
    assert_eq!(store.revision().await.unwrap(), Revision(7));
    assert!(matches!(store.get("/0", Some(Revision(4))).await, Err(Error::Compacted { .. })));
    let (at_the_snapshot, _) = store.get("/5", Some(Revision(5))).await.unwrap();
    assert_eq!(at_the_snapshot, None);
}

#[tokio::test]
async fn compacting_again_keeps_the_snapshot() {
    let disk = some_segments().await;
    for at in [5, 7, 7, 3] {
        let store = open(&disk).unwrap();
        store.compact(Revision(at)).await.unwrap();
        assert_eq!((keys(&*store).await.len(), store.revision().await.unwrap()), (6, Revision(7)));
        store.close().await;
    }
    let snapshots: Vec<_> = disk.names().into_iter().filter(|name| name.ends_with(".snapshot")).collect();
    assert_eq!(snapshots, ["00000000000000000005.snapshot"]);
}

#[tokio::test]
async fn the_revision_stays_when_everything_is_deleted_and_compacted() {
    let disk = some_segments().await;
    let store = open(&disk).unwrap();
    for n in 0..6 {
        store.write(&format!("/{n}"), Expect::Any, Change::Delete).await.unwrap();
    }
    store.compact(Revision(13)).await.unwrap();
    store.close().await;
    let store = open(&disk).unwrap();
    assert_eq!((keys(&*store).await.len(), store.revision().await.unwrap()), (0, Revision(13)));
}

/// Several writers at once, now and then a compaction, until the power is gone.
async fn work_until_power_loss(store: &Arc<dyn Store>, ledger: &mut Ledger, random: &Random, round: usize) {
    for step in 0.. {
        let writes: Vec<_> = (0..1 + random.below(6))
            .map(|writer| {
                let key = format!("/{writer}/{}", random.below(4));
                let value = format!("{round} {step} {}", "y".repeat(random.below(150)));
                (key, (random.below(4) > 0).then_some(value))
            })
            .collect();
        writes.iter().for_each(|(key, value)| ledger.began(key, value.clone()));
        let answers = join_all(
            writes
                .iter()
                .map(|(key, value)| store.write(key, Expect::Any, value.clone().map_or(Change::Delete, Change::put))),
        );
        for ((key, _), answer) in writes.iter().zip(answers.await) {
            match answer {
                Ok(revision) => ledger.acknowledged(key, revision),
                Err(Error::Failed { .. }) => return,
                Err(other) => panic!("{other}"),
            }
        }
        if random.below(5) == 0 && store.compact(store.revision().await.unwrap()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn kills_and_power_losses_take_nothing_acknowledged() {
    for seed in 0..300 {
        let random = Random::seeded(seed);
        let (mut disk, mut ledger) = (SimDisk::default(), Ledger::new());
        for round in 0..8 {
            disk.set(Fault::PowerLossIn(random.below(120)));
            // The power may go while the store is being opened, too.
            if let Some(store) = open_under_power(&disk, seed) {
                ledger.check(&*store).await;
                work_until_power_loss(&store, &mut ledger, &random, round).await;
                store.close().await;
            }
            // A process that is killed leaves what it wrote, synced or not; a machine without power does not.
            if random.below(3) > 0 {
                disk = disk.after_power_loss(&random);
            }
        }
        disk.set(Fault::None);
        let store = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        ledger.check(&*store).await;
        store.close().await;
    }
}

fn open_under_power(disk: &SimDisk, seed: u64) -> Option<Arc<dyn Store>> {
    match open(disk) {
        Ok(store) => Some(store),
        Err(Error::Open { .. }) => None,
        Err(error) => panic!("seed {seed}: {error}"),
    }
}
