//! Random histories on every engine, compared step by step with the plainest store there is: a list of changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use store::{Change, Error, Expect, Range, Revision, Store, WatchStream};

use crate::disk::SimDisk;
use crate::engines::{Engine, next};

/// What is done to a store. Numbers choose among what is there at that time.
#[derive(Debug, Clone)]
enum Step {
    Put { key: usize, expect: Wanted },
    Delete { key: usize, expect: Wanted },
    Get { key: usize, at: Option<u64> },
    Range { prefix: usize, at: Option<u64>, limit: Option<usize> },
    Watch { prefix: usize, after: u64 },
    Drain,
    Compact { at: u64 },
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Any,
    Absent,
    Current,
    Revision(u64),
}

const KEYS: [&str; 6] = ["/a", "/a/1", "/a/2", "/ab", "/b/1", "/c"];
const PREFIXES: [&str; 5] = ["", "/a", "/a/", "/b/", "/none"];

/// A revision, mostly one that exists in a history of some dozen steps.
fn a_revision() -> impl Strategy<Value = u64> + Clone {
    0..40u64
}

fn a_wish() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        3 => Just(Wanted::Any),
        1 => Just(Wanted::Absent),
        2 => Just(Wanted::Current),
        1 => a_revision().prop_map(Wanted::Revision),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    let (key, prefix, at) = (0..KEYS.len(), 0..PREFIXES.len(), proptest::option::of(a_revision()));
    prop_oneof![
        8 => (key.clone(), a_wish()).prop_map(|(key, expect)| Step::Put { key, expect }),
        4 => (key.clone(), a_wish()).prop_map(|(key, expect)| Step::Delete { key, expect }),
        2 => (key, at.clone()).prop_map(|(key, at)| Step::Get { key, at }),
        3 => (prefix.clone(), at, proptest::option::of(0..4usize))
            .prop_map(|(prefix, at, limit)| Step::Range { prefix, at, limit }),
        2 => (prefix, a_revision()).prop_map(|(prefix, after)| Step::Watch { prefix, after }),
        2 => Just(Step::Drain),
        1 => a_revision().prop_map(|at| Step::Compact { at }),
        1 => Just(Step::Reopen),
    ]
}

/// The change at revision `2 + index`: a key and its value, or none.
#[derive(Debug)]
struct Model {
    changes: Vec<(&'static str, Option<String>)>,
    compacted: u64,
}

/// A key as the model knows it: value, creation, revision, version.
type Known = (String, u64, u64, u64);

impl Model {
    fn new() -> Self {
        Self { changes: Vec::new(), compacted: 1 }
    }

    fn revision(&self) -> u64 {
        1 + self.changes.len() as u64
    }

    fn at(&self, revision: u64) -> BTreeMap<&'static str, Known> {
        let mut state: BTreeMap<&'static str, Known> = BTreeMap::new();
        for (at, (key, value)) in (2..=revision).zip(&self.changes) {
            let Some(value) = value else {
                state.remove(key);
                continue;
            };
            let (create, version) = state.get(key).map_or((at, 1), |known| (known.1, known.3 + 1));
            state.insert(key, (value.clone(), create, at, version));
        }
        state
    }

    fn holds(&self, key: &str, expect: Expect) -> bool {
        let state = self.at(self.revision());
        match expect {
            Expect::Any => true,
            Expect::Absent => !state.contains_key(key),
            Expect::Revision(revision) => state.get(key).is_some_and(|known| known.2 == revision.0),
        }
    }

    fn expectation(&self, key: &str, wanted: Wanted) -> Expect {
        match wanted {
            Wanted::Any => Expect::Any,
            Wanted::Absent => Expect::Absent,
            Wanted::Revision(revision) => Expect::Revision(Revision(revision)),
            Wanted::Current => {
                let state = self.at(self.revision());
                state.get(key).map_or(Expect::Absent, |known| Expect::Revision(Revision(known.2)))
            }
        }
    }

    /// `Err` is how the store's error begins.
    fn readable(&self, at: Option<u64>) -> Result<u64, String> {
        match at {
            None => Ok(self.revision()),
            Some(at) if at > self.revision() => Err(format!("revision {at} is in the future")),
            Some(at) if at < self.compacted => Err(format!("revision {at} is compacted")),
            Some(at) => Ok(at),
        }
    }

    /// The changes under `prefix` after `after`, as [`crate::engines::show`] writes them.
    fn events(&self, prefix: &str, after: u64) -> Vec<String> {
        let mut events = Vec::new();
        for (at, (key, value)) in (2..).zip(&self.changes) {
            if at <= after || !key.starts_with(prefix) {
                continue;
            }
            let was = self.at(at - 1).get(key).map(|known| format!(" (was {})", known.0)).unwrap_or_default();
            events.push(match value {
                Some(value) => format!("{at} put {key}={value}{was}"),
                None => format!("{at} delete {key}{was}"),
            });
        }
        events
    }
}

struct Watched {
    prefix: &'static str,
    /// What the test has read.
    seen: u64,
    stream: WatchStream,
}

struct Run {
    engine: Engine,
    store: Arc<dyn Store>,
    model: Model,
    watches: Vec<Watched>,
}

impl Run {
    fn new(engine: Engine) -> Self {
        Self { store: engine.open(), engine, model: Model::new(), watches: Vec::new() }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put { key, expect } => {
                let value = format!("v{}", self.model.revision() + 1);
                self.write(KEYS[key], expect, Some(value)).await;
            }
            Step::Delete { key, expect } => self.write(KEYS[key], expect, None).await,
            Step::Get { key, at } => self.get(KEYS[key], at).await,
            Step::Range { prefix, at, limit } => self.range(PREFIXES[prefix], at, limit).await,
            Step::Watch { prefix, after } => self.watch(PREFIXES[prefix], after).await,
            Step::Drain => self.drain().await,
            Step::Compact { at } => self.compact(at).await,
            Step::Reopen => self.reopen().await,
        }
        assert_eq!(self.store.revision().await.unwrap().0, self.model.revision());
    }

    async fn write(&mut self, key: &'static str, wanted: Wanted, value: Option<String>) {
        let expect = self.model.expectation(key, wanted);
        let change = value.clone().map_or(Change::Delete, Change::put);
        let answer = self.store.write(key, expect, change).await;
        let before = self.model.at(self.model.revision());
        if !self.model.holds(key, expect) {
            let Err(Error::Conflict { current }) = answer else { panic!("{answer:?} is no conflict") };
            assert_eq!(current.map(|entry| entry.revision.0), before.get(key).map(|known| known.2));
            return;
        }
        let outcome = answer.unwrap();
        if value.is_some() || before.contains_key(key) {
            self.model.changes.push((key, value));
        }
        assert_eq!(outcome.0, self.model.revision());
    }

    async fn get(&self, key: &str, at: Option<u64>) {
        let answer = self.store.get(key, at.map(Revision)).await;
        match self.model.readable(at) {
            Err(begins) => assert!(answer.unwrap_err().to_string().starts_with(&begins)),
            Ok(at) => {
                let (entry, revision) = answer.unwrap();
                assert_eq!((entry.as_ref().map(known), revision.0), (self.model.at(at).remove(key), at));
            }
        }
    }

    async fn range(&self, prefix: &str, at: Option<u64>, limit: Option<usize>) {
        let answer = self.store.range(Range { limit, ..Range::prefix(prefix) }, at.map(Revision)).await;
        let at = match self.model.readable(at) {
            Err(begins) => return assert!(answer.unwrap_err().to_string().starts_with(&begins)),
            Ok(at) => at,
        };
        let found = answer.unwrap();
        let state = self.model.at(at);
        let expected: Vec<_> = state.into_iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        let shown = limit.unwrap_or(usize::MAX).min(expected.len());
        assert_eq!((found.count, found.more, found.revision.0), (expected.len(), shown < expected.len(), at));
        let entries: Vec<_> = found.entries.iter().map(|entry| (&*entry.key, known(entry))).collect();
        assert_eq!(entries, expected[..shown]);
    }

    async fn watch(&mut self, prefix: &'static str, after: u64) {
        match self.store.watch(prefix, Revision(after)).await {
            Ok(stream) => {
                assert!(after >= self.model.compacted);
                self.watches.push(Watched { prefix, seen: after, stream });
            }
            Err(Error::Compacted { .. }) => assert!(after < self.model.compacted),
            Err(other) => panic!("{other}"),
        }
    }

    /// Reads every watch up to the present.
    async fn drain(&mut self) {
        let now = self.model.revision();
        for watched in &mut self.watches {
            let expected = self.model.events(watched.prefix, watched.seen);
            // With etcd a request for progress may take a revision, which the model has not.
            let asks = !matches!(self.engine, Engine::Etcd(_));
            if asks {
                self.store.request_progress(watched.prefix).await.unwrap();
            }
            let (mut seen, mut upto) = (Vec::new(), Revision(0));
            while if asks { upto.0 < now } else { seen.len() < expected.len() } {
                let batch = next(&mut watched.stream).await.unwrap();
                seen.extend(batch.events.iter().map(crate::engines::show));
                upto = batch.revision;
            }
            assert_eq!(seen, expected);
            watched.seen = watched.seen.max(now);
        }
    }

    async fn compact(&mut self, at: u64) {
        if at > self.model.revision() {
            let answer = self.store.compact(Revision(at)).await;
            return assert!(matches!(answer, Err(Error::Future { .. })));
        }
        // Watches that are up to date go on; that compaction overtakes the others has its own test.
        self.drain().await;
        self.store.compact(Revision(at)).await.unwrap();
        self.model.compacted = self.model.compacted.max(at);
    }

    async fn reopen(&mut self) {
        let Engine::Embedded(_) = &self.engine else { return };
        self.watches.clear();
        self.store.close().await;
        self.store = self.engine.open();
    }
}

fn known(entry: &store::Entry) -> Known {
    let value = String::from_utf8(entry.value.to_vec()).unwrap();
    (value, entry.create.0, entry.revision.0, entry.version)
}

fn run(engine: Engine, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(engine);
        for step in steps {
            run.step(step).await;
        }
        run.drain().await;
        run.range("", None, None).await;
        run.store.close().await;
    });
}

proptest! {
    // Each case has an etcd of its own.
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_etcd_engine_is_a_list_of_changes(steps in proptest::collection::vec(a_step(), 30..60)) {
        run(Engine::etcd(), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_engine_is_a_list_of_changes(steps in proptest::collection::vec(a_step(), 1..60)) {
        run(Engine::Memory, steps);
    }

    #[test]
    fn the_embedded_engine_is_a_list_of_changes(steps in proptest::collection::vec(a_step(), 1..60)) {
        run(Engine::Embedded(SimDisk::default()), steps);
    }
}
