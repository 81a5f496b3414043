//! `kill -9` in the middle of writes, two hundred times, on a real disk: every acknowledged write is there, none is
//! torn, revisions never go back.
//!
//! The process that is killed is this test binary once more, told by its environment to write and to report each
//! acknowledgement on its output.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base::{Clock, Random};
use store::embedded;
use store::{Change, Error, Expect, Revision, Store};

use crate::ledger::Ledger;

const ROUNDS: usize = 200;
const WRITERS: usize = 6;
const KEYS: usize = 8;

/// Says where the child writes, and which round it is.
const DIRECTORY: &str = "STORE_CRASH_DIRECTORY";
const ROUND: &str = "STORE_CRASH_ROUND";

#[test]
fn kills_take_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let random = Random::seeded(36);
    let mut ledger = Ledger::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..ROUNDS {
        let mut child = Writing::start(directory.path(), round);
        // Sometimes before the first acknowledgement, mostly in the thick of it.
        child.follow(&mut ledger, random.below(150));
        child.kill(&mut ledger);
        runtime.block_on(async {
            let store = embedded::open(directory.path(), Clock::system()).unwrap();
            ledger.check(&*store).await;
            store.close().await;
        });
    }
}

/// A child process that writes.
struct Writing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Writing {
    fn start(directory: &Path, round: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_process_that_is_killed", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, directory)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Enters what the child reports until it has reported `reports` times.
    fn follow(&mut self, ledger: &mut Ledger, reports: usize) {
        for _ in 0..reports {
            let line = self.lines.next().expect("the child writes until it is killed").unwrap();
            enter(ledger, &line);
        }
    }

    /// Kills the child and enters what it still had reported.
    fn kill(mut self, ledger: &mut Ledger) {
        self.child.kill().unwrap();
        while let Some(Ok(line)) = self.lines.next() {
            enter(ledger, &line);
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Killing what is dead is an error that says nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `begin KEY put VALUE | begin KEY delete | done KEY REVISION`; what else the test harness prints is not ours.
fn enter(ledger: &mut Ledger, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["begin", key, "put", seed] => ledger.began(key, Some(value(seed))),
        ["begin", key, "delete"] => ledger.began(key, None),
        ["done", key, revision] => ledger.acknowledged(key, Revision(revision.parse().unwrap())),
        _ => {}
    }
}

/// A value that shows when a part of it is missing, from a few bytes to several pages.
fn value(seed: &str) -> String {
    let number: usize = seed.rsplit('-').next().unwrap().parse().unwrap();
    let mut value = format!("{seed}:");
    while value.len() < number * 7919 % 20_000 {
        value.push_str(seed);
    }
    value.push_str(":end");
    value
}

/// Reports in one write, so that a kill cannot cut a line.
fn report(line: &str) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// Does nothing unless it is the child.
#[test]
fn the_process_that_is_killed() {
    let (Some(directory), Ok(round)) = (std::env::var_os(DIRECTORY), std::env::var(ROUND)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The harness has begun a line.
    report("");
    runtime.block_on(async {
        let store = embedded::open(Path::new(&directory), Clock::system()).unwrap();
        let writers = (0..WRITERS).map(|writer| write_forever(&*store, writer, &round));
        futures::future::join(futures::future::join_all(writers), compact_forever(&*store)).await;
    });
}

async fn write_forever(store: &dyn Store, writer: usize, round: &str) {
    for n in 0.. {
        let key = format!("/{writer}/{}", n % KEYS);
        let change = if n % 11 == 10 {
            report(&format!("begin {key} delete"));
            Change::Delete
        } else {
            let seed = format!("{round}-{writer}-{n}");
            report(&format!("begin {key} put {seed}"));
            Change::put(value(&seed))
        };
        let outcome = store.write(&key, Expect::Any, change).await.unwrap();
        report(&format!("done {key} {}", outcome));
    }
}

/// The next revision that is a multiple of a hundred, once it has happened.
async fn next_hundred(store: &dyn Store, mut at: Revision) -> Result<Revision, Error> {
    let mut watch = store.watch("", at).await?;
    while !at.0.is_multiple_of(100) {
        at = crate::engines::next(&mut watch).await?.revision.min(Revision(at.0 - at.0 % 100 + 100));
    }
    Ok(at)
}

/// Compacts every hundred revisions, so that kills hit snapshots and the removal of segments too.
async fn compact_forever(store: &dyn Store) {
    let mut at = store.revision().await.unwrap();
    loop {
        // While a slow disk takes a snapshot, the history may outgrow its limit and be cut without being asked.
        at = match next_hundred(store, at).await {
            Ok(hundred) => {
                store.compact(hundred).await.unwrap();
                hundred.next()
            }
            Err(Error::Compacted { .. }) => store.revision().await.unwrap(),
            Err(error) => panic!("{error}"),
        };
    }
}
