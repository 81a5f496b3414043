//! What only etcd has: leases, TLS, its own limits, answers in pages and fragments, keys with another beginning.

use std::path::Path;
use std::time::Duration;

use base::{Clock, Random};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use store::etcd::{self, Options, Rename, TlsFiles};
use store::{Change, Error, Expect, Range, Revision, Store, Turn};

use crate::engines::{next, show};
use crate::members::Members;

async fn put(store: &dyn Store, key: &str, value: impl Into<Vec<u8>>) -> Revision {
    store.write(key, Expect::Any, Change::put(value.into())).await.unwrap()
}

#[tokio::test]
async fn entries_end_with_their_lease() {
    let members = Members::start(1);
    let store = members.open();
    let puts = [("/one", Some(2)), ("/two", Some(2)), ("/kept", Some(2)), ("/stays", None), ("/kept", None)];
    for (key, ttl) in puts {
        let change = Change::Put { value: "x".into(), ttl: ttl.map(Duration::from_secs) };
        store.write(key, Expect::Any, change).await.unwrap();
    }
    let mut watch = store.watch("/", Revision(6)).await.unwrap();
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < 2 {
        ended.extend(next(&mut watch).await.unwrap().events.iter().map(|event| event.key().to_string()));
    }
    assert_eq!(ended.into_iter().collect::<Vec<_>>(), ["/one", "/two"]);
    assert_eq!(store.range(Range::prefix("/"), None).await.unwrap().count, 2);
}

#[tokio::test]
async fn too_large_is_told_in_etcds_words() {
    let members = Members::start(1);
    let store = members.open();
    let value = store.write("/a", Expect::Any, Change::put(vec![0; 1_800_000])).await.unwrap_err();
    assert!(matches!(value, Error::Refused { .. }));
    assert_eq!(value.to_string(), "etcdserver: request is too large");
    let key = store.write(&"k".repeat(5000), Expect::Any, Change::put("x")).await.unwrap_err();
    assert_eq!(key.to_string(), "the key has 5000 bytes, the store takes at most 4096");
}

#[tokio::test]
async fn long_ranges_are_read_at_one_revision() {
    const KEYS: usize = 2300;
    let members = Members::start(1);
    let store = members.open();
    for from in (0..KEYS).step_by(100) {
        let puts = (from..from + 100).map(|n| {
            let store = store.clone();
            async move { put(&*store, &format!("/{n:04}"), "x").await }
        });
        futures::future::join_all(puts).await;
    }
    let found = store.range(Range::prefix("/"), None).await.unwrap();
    let keys: Vec<_> = found.entries.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(keys, (0..KEYS).map(|n| format!("/{n:04}")).collect::<Vec<_>>());
    assert_eq!((found.count, found.more, found.revision), (KEYS, false, Revision(1 + KEYS as u64)));
    let found = store.range(Range::prefix("/").limited(1500), Some(Revision(2000))).await.unwrap();
    assert_eq!((found.entries.len(), found.count, found.more), (1500, 1999, true));
}

#[tokio::test]
async fn large_events_come_in_fragments() {
    let members = Members::start(1);
    let store = members.open();
    for n in 0..8u8 {
        put(&*store, "/a", vec![n; 1 << 20]).await;
    }
    let mut watch = store.watch("/", Revision(1)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 8 {
        seen.extend(next(&mut watch).await.unwrap().events.iter().map(|event| event.revision().0));
    }
    assert_eq!(seen, (2..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_beginning_of_all_keys() {
    let members = Members::start(1);
    let plain = members.open();
    let rename = Some(Rename { ours: "/registry".into(), theirs: "/blue".into() });
    let options = Options { endpoints: members.endpoints(), tls: TlsFiles::default(), rename };
    let renamed = etcd::open(&options, Clock::system(), Random::system()).unwrap();
    let mut watch = renamed.watch("/registry/", Revision(1)).await.unwrap();
    put(&*plain, "/registry/pods/a", "not seen").await;
    put(&*renamed, "/registry/pods/a", "1").await;
    assert_eq!(show(&next(&mut watch).await.unwrap().events[0]), "3 put /registry/pods/a=1");
    let found = renamed.range(Range::prefix("/registry/pods/"), None).await.unwrap();
    assert_eq!((found.count, &*found.entries[0].key), (1, "/registry/pods/a"));
    assert_eq!(plain.get("/blue/pods/a", None).await.unwrap().0.unwrap().value, "1");
}

#[tokio::test]
async fn a_late_server_leaves_the_turn_to_others() {
    let members = Members::start(1);
    let (first, second) = (members.open(), members.open());
    let begun = first.compact_in_turn(Turn::default()).await.unwrap();
    let late = second.compact_in_turn(Turn::default()).await.unwrap();
    assert_eq!((begun.number, late.number), (1, 1), "the second one learns of the turn");
    put(&*first, "/a", "1").await;
    let taken = first.compact_in_turn(begun).await.unwrap();
    let missed = second.compact_in_turn(late).await.unwrap();
    assert_eq!((taken.number, missed.number), (2, 2));
    let oldest = second.get("/a", Some(Revision(0))).await.unwrap_err();
    assert!(matches!(oldest, Error::Compacted { oldest, .. } if Some(oldest) == begun.revision), "{oldest}");
    // The key and its value are those that stock servers keep.
    let (key, _) = first.get("compact_rev_key", None).await.unwrap();
    let key = key.unwrap();
    assert_eq!((key.version, key.value), (2, begun.revision.unwrap().to_string().into()));
}

#[tokio::test]
async fn a_watch_is_told_of_changes_outside_of_it() {
    let members = Members::start(1);
    let store = members.open();
    let mut watch = store.watch("/registry/", Revision(1)).await.unwrap();
    put(&*store, "/registry/a", "1").await;
    assert_eq!(next(&mut watch).await.unwrap().events.len(), 1);
    let outside = put(&*store, "elsewhere", "x").await;
    store.request_progress("/registry/").await.unwrap();
    let progress = next(&mut watch).await.unwrap();
    assert!(progress.events.is_empty() && progress.revision >= outside);
    assert_eq!(store.range(Range::prefix("/registry/"), None).await.unwrap().count, 1, "and nothing of it is seen");
}

#[tokio::test(start_paused = true)]
async fn without_a_member_requests_end_in_time() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = vec![format!("http://{}", free.local_addr().unwrap())];
    drop(free);
    let options = Options { endpoints, ..Options::default() };
    let store = etcd::open(&options, Clock::system(), Random::seeded(1)).unwrap();
    let error = store.write("/a", Expect::Any, Change::put("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "etcd did not answer in time: write");
}

#[tokio::test]
async fn tls_both_ways() {
    let members = Members::start_with_tls(make_certificates);
    let file = |name: &str| Some(members.directory().join(name));
    let tls = TlsFiles { authority: file("ca.crt"), certificate: file("client.crt"), key: file("client.key") };
    let store = members.open_with(tls.clone());
    assert_eq!(put(&*store, "/a", "1").await, Revision(2));
    // Read anew for each connection: what a client cannot read is told in the answer, in the end.
    let stranger = TlsFiles { authority: file("server.crt"), ..tls };
    let options = Options { endpoints: members.endpoints(), tls: stranger, rename: None };
    tokio::time::pause();
    let store = etcd::open(&options, Clock::system(), Random::system()).unwrap();
    assert!(store.revision().await.is_err(), "a member of another authority is not trusted");
}

/// An authority, a member's certificate for 127.0.0.1 and a client's.
fn make_certificates(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "etcd-ca");
    let key = KeyPair::generate().unwrap();
    write("ca.crt", params.self_signed(&key).unwrap().pem());
    let authority = Issuer::new(params, key);
    for name in ["server", "client"] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        write(&format!("{name}.crt"), params.signed_by(&key, &authority).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}
