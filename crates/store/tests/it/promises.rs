//! The promises of the trait, one by one, on every engine.

use std::time::Duration;

use bytes::Bytes;
use expect_test::expect;
use store::{Change, Error, Expect, Range, Reread, Revision, Store, Turn};

use crate::engines::{Engine, next, on_all, on_own, show};

async fn put(store: &dyn Store, key: &str, value: &'static str) -> Revision {
    store.write(key, Expect::Any, Change::put(value)).await.unwrap()
}

async fn delete(store: &dyn Store, key: &str) -> Revision {
    store.write(key, Expect::Any, Change::Delete).await.unwrap()
}

async fn list(store: &dyn Store, range: Range, at: Option<Revision>) -> String {
    match store.range(range, at).await {
        Ok(found) => {
            let entries = found.entries.iter().map(|entry| {
                let value = String::from_utf8_lossy(&entry.value).into_owned();
                format!("{}={value}@{}/{}v{}", entry.key, entry.create, entry.revision, entry.version)
            });
            let entries: Vec<_> = entries.collect();
            format!("{} of {} at {}: {}", entries.len(), found.count, found.revision, entries.join(" "))
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn revisions_count_changes() {
    on_all(async |store| {
        assert_eq!(store.revision().await.unwrap(), Revision(1));
        assert_eq!(put(&*store, "/a", "1").await, Revision(2));
        assert_eq!(put(&*store, "/a", "2").await, Revision(3));
        assert_eq!(delete(&*store, "/a").await, Revision(4));
        assert_eq!(delete(&*store, "/a").await, Revision(4), "there is nothing to delete");
        assert_eq!(put(&*store, "/a", "3").await, Revision(5));
        assert_eq!(list(&*store, Range::prefix("/a"), None).await, "1 of 1 at 5: /a=3@5/5v1");
    })
    .await;
}

#[tokio::test]
async fn who_has_the_entry_is_not_sent_it_again() {
    on_all(async |store| {
        let first = put(&*store, "/a", "1").await;
        put(&*store, "/ab", "next to it").await;
        assert_eq!(store.reread("/a", first).await.unwrap(), Reread::Same);
        let second = put(&*store, "/a", "2").await;
        let Reread::Other(Some(entry)) = store.reread("/a", first).await.unwrap() else { panic!("it has changed") };
        assert_eq!((entry.value, entry.revision), (Bytes::from("2"), second));
        assert_eq!(store.reread("/a", second).await.unwrap(), Reread::Same);
        // From before a backup was put back: nothing is known of such a revision.
        let other = store.reread("/a", Revision(second.0 + 100)).await.unwrap();
        assert!(matches!(other, Reread::Other(Some(entry)) if entry.revision == second));
        delete(&*store, "/a").await;
        assert_eq!(store.reread("/a", second).await.unwrap(), Reread::Other(None));
        let third = put(&*store, "/a", "3").await;
        let other = store.reread("/a", second).await.unwrap();
        assert!(matches!(other, Reread::Other(Some(entry)) if entry.revision == third));
    })
    .await;
}

#[tokio::test]
async fn a_write_that_does_not_fit_tells_what_is_there() {
    on_all(async |store| {
        let first = store.write("/a", Expect::Absent, Change::put("1")).await.unwrap();
        let second = store.write("/a", Expect::Revision(first), Change::put("2")).await.unwrap();
        let conflicts = [
            (Expect::Absent, Change::put("3")),
            (Expect::Revision(first), Change::put("3")),
            (Expect::Revision(first), Change::Delete),
        ];
        for (expect, change) in conflicts {
            let Err(Error::Conflict { current: Some(current) }) = store.write("/a", expect, change).await else {
                panic!("{expect:?} does not hold")
            };
            assert_eq!((current.value, current.revision), (Bytes::from("2"), second));
        }
        let missing = store.write("/b", Expect::Revision(first), Change::Delete).await;
        assert!(matches!(missing, Err(Error::Conflict { current: None })));
        assert_eq!(store.revision().await.unwrap(), second, "conflicts take no revision");
    })
    .await;
}

#[tokio::test]
async fn ranges_are_ordered_limited_and_read_the_past() {
    on_all(async |store| {
        for (key, value) in [("/b", "1"), ("/a", "2"), ("/ab", "3"), ("/a/b", "4"), ("/c", "5")] {
            put(&*store, key, value).await;
        }
        delete(&*store, "/a/b").await;
        let all = Range::prefix("/");
        let shown = [
            list(&*store, all.clone(), None).await,
            list(&*store, all.clone(), Some(Revision(5))).await,
            list(&*store, all.clone().limited(2), None).await,
            list(&*store, all.clone().limited(2).starting_at("/ab\0".into()), None).await,
            list(&*store, all.clone().limited(0), None).await,
            list(&*store, Range::prefix("/a"), None).await,
            list(&*store, Range { start: "/b".into(), end: Some("/a".into()), limit: None }, None).await,
            list(&*store, all.clone(), Some(Revision(8))).await,
        ];
        expect![[r#"
            4 of 4 at 7: /a=2@3/3v1 /ab=3@4/4v1 /b=1@2/2v1 /c=5@6/6v1
            4 of 4 at 5: /a=2@3/3v1 /a/b=4@5/5v1 /ab=3@4/4v1 /b=1@2/2v1
            2 of 4 at 7: /a=2@3/3v1 /ab=3@4/4v1
            2 of 2 at 7: /b=1@2/2v1 /c=5@6/6v1
            0 of 4 at 7: 
            2 of 2 at 7: /a=2@3/3v1 /ab=3@4/4v1
            0 of 0 at 7: 
            revision 8 is in the future, the store is at 7"#]]
        .assert_eq(&shown.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn a_watch_continues_a_list() {
    on_all(async |store| {
        put(&*store, "/pods/a", "1").await;
        let listed = store.range(Range::prefix("/pods/"), None).await.unwrap().revision;
        put(&*store, "/pods/a", "2").await;
        put(&*store, "/nodes/a", "x").await;
        let mut watch = store.watch("/pods/", listed).await.unwrap();
        let caught_up = next(&mut watch).await.unwrap();
        assert_eq!(caught_up.events.iter().map(show).collect::<Vec<_>>(), ["3 put /pods/a=2 (was 1)"]);
        assert!(caught_up.revision >= Revision(3));
        put(&*store, "/nodes/a", "y").await;
        delete(&*store, "/pods/a").await;
        let live = next(&mut watch).await.unwrap();
        assert_eq!(live.events.iter().map(show).collect::<Vec<_>>(), ["6 delete /pods/a (was 2)"]);
    })
    .await;
}

#[tokio::test]
async fn a_watch_of_the_future_waits_for_it() {
    on_all(async |store| {
        let mut watch = store.watch("/", Revision(3)).await.unwrap();
        for value in ["2", "3", "4"] {
            put(&*store, "/a", value).await;
        }
        let batch = next(&mut watch).await.unwrap();
        assert_eq!(batch.events.iter().map(show).collect::<Vec<_>>(), ["4 put /a=4 (was 3)"]);
    })
    .await;
}

#[tokio::test]
async fn progress_is_told_on_request() {
    on_all(async |store| {
        let mut watch = store.watch("/pods/", Revision(1)).await.unwrap();
        let now = put(&*store, "/nodes/a", "1").await;
        store.request_progress("/pods/").await.unwrap();
        let mark = next(&mut watch).await.unwrap();
        assert!(mark.events.is_empty() && mark.revision >= now);
    })
    .await;
}

#[tokio::test]
async fn a_long_history_comes_in_batches_without_a_gap() {
    on_all(async |store| {
        for _ in 0..1500 {
            put(&*store, "/a", "x").await;
        }
        let mut watch = store.watch("/", Revision(1)).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 1500 {
            let batch = next(&mut watch).await.unwrap();
            assert_eq!(batch.revision, batch.events.last().unwrap().revision());
            seen.extend(batch.events.iter().map(|event| event.revision().0));
        }
        assert_eq!(seen, (2..=1501).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn compaction_forgets_the_past_only() {
    on_all(async |store| {
        for value in ["1", "2", "3"] {
            put(&*store, "/a", value).await;
        }
        put(&*store, "/gone", "x").await;
        delete(&*store, "/gone").await;
        put(&*store, "/a", "4").await;
        let mut idle = store.watch("/nodes/", Revision(7)).await.unwrap();
        let mut slow = store.watch("/a", Revision(1)).await.unwrap();
        store.compact(Revision(6)).await.unwrap();
        store.compact(Revision(6)).await.unwrap();
        store.compact(Revision(2)).await.unwrap();
        let mut shown = Vec::new();
        for at in [5, 6, 7] {
            shown.push(list(&*store, Range::prefix("/"), Some(Revision(at))).await);
        }
        shown.push(next(&mut slow).await.unwrap_err().to_string());
        shown.push(store.watch("/", Revision(5)).await.err().unwrap().to_string());
        shown.push(store.compact(Revision(8)).await.unwrap_err().to_string());
        expect![[r#"
            revision 5 is compacted, the oldest one known is 6
            1 of 1 at 6: /a=3@2/4v3
            1 of 1 at 7: /a=4@2/7v4
            revision 1 is compacted, the oldest one known is 6
            revision 5 is compacted, the oldest one known is 6
            revision 8 is in the future, the store is at 7"#]]
        .assert_eq(&shown.join("\n"));
        let mut later = store.watch("/", Revision(6)).await.unwrap();
        assert_eq!(show(&next(&mut later).await.unwrap().events[0]), "7 put /a=4 (was 3)");
        put(&*store, "/nodes/a", "still watched").await;
        assert_eq!(next(&mut idle).await.unwrap().events.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn entries_end_with_their_time() {
    on_own(async |store| {
        let put = |key, value, ttl: Option<u64>| {
            let change = Change::Put { value: Bytes::from_static(value), ttl: ttl.map(Duration::from_secs) };
            store.write(key, Expect::Any, change)
        };
        // All at once: while a write waits for its disk, the paused clock may leap to the next expiry.
        let puts = [
            put("/late", b"x", Some(3600)),
            put("/soon", b"x", Some(5)),
            put("/kept", b"x", Some(6)),
            put("/longer", b"x", Some(7)),
            put("/kept", b"stays", None),
            put("/longer", b"x", Some(60)),
        ];
        futures::future::join_all(puts).await;
        let after = Revision(7);
        let mut watch = store.watch("/", after).await.unwrap();
        let mut shown = Vec::new();
        while shown.len() < 3 {
            shown.extend(next(&mut watch).await.unwrap().events.iter().map(show));
        }
        assert_eq!(shown, ["8 delete /soon (was x)", "9 delete /longer (was x)", "10 delete /late (was x)"]);
        assert_eq!(list(&*store, Range::prefix("/"), None).await, "1 of 1 at 10: /kept=stays@4/6v2");
    })
    .await;
}

#[tokio::test]
async fn concurrent_writers_take_turns() {
    on_all(async |store| {
        let increments = (0..20).map(|_| async {
            loop {
                let (entry, _) = store.get("/counter", None).await.unwrap();
                let expect = entry.as_ref().map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
                let count: u64 = entry.map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
                match store.write("/counter", expect, Change::put((count + 1).to_string())).await {
                    Ok(_) => return,
                    Err(Error::Conflict { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
        futures::future::join_all(increments).await;
        assert_eq!(list(&*store, Range::prefix("/"), None).await, "1 of 1 at 21: /counter=20@2/21v20");
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    on_own(async |store| {
        let key = store.write(&"k".repeat(5000), Expect::Any, Change::put("x")).await.unwrap_err();
        assert_eq!(key.to_string(), "the key has 5000 bytes, the store takes at most 4096");
        let value = store.write("/a", Expect::Any, Change::put(vec![0; (12 << 20) + 1])).await.unwrap_err();
        assert_eq!(value.to_string(), "the value has 12582913 bytes, the store takes at most 12582912");
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_says_so() {
    on_all(async |store| {
        let mut watch = store.watch("/", Revision(1)).await.unwrap();
        put(&*store, "/a", "1").await;
        store.close().await;
        let end = loop {
            if let Err(error) = next(&mut watch).await {
                break error;
            }
        };
        assert!(matches!(end, Error::Closed));
        assert!(matches!(store.get("/a", None).await, Err(Error::Closed)));
        assert!(matches!(store.write("/a", Expect::Any, Change::Delete).await, Err(Error::Closed)));
        assert!(matches!(store.watch("/", Revision(1)).await, Err(Error::Closed)));
        assert!(matches!(store.compact(Revision(1)).await, Err(Error::Closed)));
    })
    .await;
}

#[tokio::test]
async fn what_happened_before_the_end_is_delivered() {
    on_own(async |store| {
        let mut watch = store.watch("/", Revision(1)).await.unwrap();
        put(&*store, "/a", "1").await;
        store.close().await;
        assert_eq!(next(&mut watch).await.unwrap().events.len(), 1);
        assert!(matches!(next(&mut watch).await, Err(Error::Closed)));
    })
    .await;
}

#[tokio::test]
async fn readers_share_the_bytes_of_the_store() {
    on_own(async |store| {
        put(&*store, "/a", "some bytes").await;
        let (read, _) = store.get("/a", None).await.unwrap();
        let listed = store.range(Range::prefix("/"), None).await.unwrap();
        assert_eq!(read.unwrap().value.as_ptr(), listed.entries[0].value.as_ptr());
    })
    .await;
}

#[tokio::test]
async fn servers_take_turns_with_compaction() {
    on_all(async |store| {
        let first = store.compact_in_turn(Turn::default()).await.unwrap();
        let noted = first.revision.unwrap();
        put(&*store, "/a", "1").await;
        put(&*store, "/a", "2").await;
        let second = store.compact_in_turn(first).await.unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        assert!(store.get("/a", Some(Revision(noted.0 - 1))).await.is_err(), "compacted up to the first turn");
        assert!(store.get("/a", Some(noted)).await.is_ok(), "and no further");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_expiry_outlives_a_restart() {
    let [_, engine] = Engine::own();
    let store = engine.open();
    let ttl = Some(Duration::from_secs(600));
    store.write("/a", Expect::Any, Change::Put { value: "x".into(), ttl }).await.unwrap();
    store.close().await;
    let store = engine.open();
    let mut watch = store.watch("/", Revision(2)).await.unwrap();
    assert_eq!(show(&next(&mut watch).await.unwrap().events[0]), "3 delete /a (was x)");
}

#[tokio::test]
async fn nothing_follows_a_gap() {
    on_own(async |store| {
        let mut slow = store.watch("/", Revision(1)).await.unwrap();
        let last = [put(&*store, "/a", "1").await, put(&*store, "/a", "2").await][1];
        store.compact(last).await.unwrap();
        put(&*store, "/a", "3").await;
        assert!(matches!(next(&mut slow).await, Err(Error::Compacted { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_history_that_takes_too_much_memory_is_cut() {
    on_own(async |store| {
        let mut slow = store.watch("/a", Revision(1)).await.unwrap();
        let value = Bytes::from(vec![b'x'; 2 << 20]);
        // The cut comes some time after the write that made the history too large.
        for n in 0.. {
            store.write("/a", Expect::Any, Change::put(value.clone())).await.unwrap();
            let oldest = store.get("/a", Some(Revision(2))).await;
            if let Err(Error::Compacted { oldest, .. }) = oldest {
                assert!(oldest < store.revision().await.unwrap(), "the newer half is kept");
                break;
            }
            assert!(n < 1000, "the history was never cut");
            tokio::task::yield_now().await;
        }
        assert!(matches!(next(&mut slow).await, Err(Error::Compacted { .. })));
    })
    .await;
}
