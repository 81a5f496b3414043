//! What the embedded engine does on this disk: `cargo run --release -p store --example store_bench [DIRECTORY]`.
//!
//! Writers at once, each waiting for its answer before the next write; then the memory of a filled store, and how long
//! it takes to open again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use bytes::Bytes;
use futures::future::join_all;
use store::{Change, Error, Expect, Range, Store, embedded};

/// A pod without its managed fields takes about this much.
const VALUE_BYTES: usize = 4096;

/// As many pods as the memory budget names.
const KEYS: usize = 20_000;

fn main() -> Result<(), Error> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).expect("the directory to measure in can be written");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    runtime.block_on(measure(directory.path()))
}

async fn measure(directory: &Path) -> Result<(), Error> {
    let clock = Clock::system();
    let store = embedded::open(directory, clock.clone())?;
    for (writers, writes) in [(1, 4000), (16, 1000), (128, 300)] {
        measure_writers(&store, &clock, writers, writes).await?;
    }
    fill(&store).await?;
    println!("{KEYS} keys of {VALUE_BYTES} bytes: {} kB resident after load", resident_kb());
    store.compact(store.revision().await?).await?;
    println!("compacted: {} kB resident, {} kB on disk", resident_kb(), disk_kb(directory));
    measure_reads(&store, &clock).await?;
    store.close().await;
    let begun = clock.instant();
    let store = embedded::open(directory, clock.clone())?;
    println!("open: {:?} at revision {}", clock.instant().duration_since(begun), store.revision().await?);
    store.close().await;
    Ok(())
}

async fn measure_writers(store: &Arc<dyn Store>, clock: &Clock, writers: usize, writes: usize) -> Result<(), Error> {
    let begun = clock.instant();
    let tasks = (0..writers).map(|writer| {
        let (store, clock) = (store.clone(), clock.clone());
        base::spawn("writer", async move { write(&*store, &clock, writer, writes).await })
    });
    let mut times = Vec::new();
    for answer in join_all(tasks).await {
        times.extend(answer.expect("no writer panics")?);
    }
    let seconds = clock.instant().duration_since(begun).as_secs_f64();
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{writers:4} writers: {:7.0} writes/s, p50 {p50:?}, p99 {p99:?}", times.len() as f64 / seconds);
    Ok(())
}

async fn write(store: &dyn Store, clock: &Clock, writer: usize, writes: usize) -> Result<Vec<Duration>, Error> {
    let mut times = Vec::with_capacity(writes);
    for n in 0..writes {
        let begun = clock.instant();
        store.write(&key(writer * 100 + n % 100), Expect::Any, Change::put(value(n))).await?;
        times.push(clock.instant().duration_since(begun));
    }
    Ok(times)
}

async fn fill(store: &Arc<dyn Store>) -> Result<(), Error> {
    for from in (0..KEYS).step_by(128) {
        let writes = (from..KEYS.min(from + 128))
            .map(|n| async move { store.write(&key(n), Expect::Any, Change::put(value(n))).await });
        join_all(writes).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

async fn measure_reads(store: &Arc<dyn Store>, clock: &Clock) -> Result<(), Error> {
    let begun = clock.instant();
    let listed = store.range(Range::prefix("/registry/pods/"), None).await?;
    println!("list of {}: {:?}", listed.entries.len(), clock.instant().duration_since(begun));
    let begun = clock.instant();
    for entry in &listed.entries {
        store.get(&entry.key, None).await?;
    }
    let each = clock.instant().duration_since(begun) / u32::try_from(listed.entries.len()).unwrap_or(u32::MAX);
    println!("get: {each:?} each");
    Ok(())
}

fn key(n: usize) -> String {
    format!("/registry/pods/default/pod-{n:06}")
}

fn value(n: usize) -> Bytes {
    Bytes::from(format!("{n:0>VALUE_BYTES$}"))
}

fn resident_kb() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: unknown");
    line.split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}

fn disk_kb(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len() / 1024).sum()
}
