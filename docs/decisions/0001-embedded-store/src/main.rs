//! Which log under the store? fjall, redb and a plain log do the same work: batches of puts, each batch on disk before
//! the next; then the process's memory, the bytes on disk, and reading everything back.
//!
//! `cargo run --release -- fjall|redb|plain|ahead DIRECTORY`; `ahead` is the plain log with zeros written ahead.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a measurement reads the real clock")]

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

type Put = (String, Vec<u8>);

trait Log {
    fn commit(&mut self, puts: &[Put]);
    fn read_all(dir: &Path) -> (usize, usize)
    where
        Self: Sized;
}

struct Fjall(fjall::Database, fjall::Keyspace);

impl Fjall {
    fn open(dir: &Path) -> Self {
        let db = fjall::Database::builder(dir.join("fjall")).cache_size(1 << 20).worker_threads(1).open().unwrap();
        let keys = db.keyspace("live", fjall::KeyspaceCreateOptions::default).unwrap();
        Self(db, keys)
    }
}

impl Log for Fjall {
    fn commit(&mut self, puts: &[Put]) {
        let mut batch = self.0.batch().durability(Some(fjall::PersistMode::SyncData));
        for (key, value) in puts {
            batch.insert(&self.1, key.as_str(), value.as_slice());
        }
        batch.commit().unwrap();
    }

    fn read_all(dir: &Path) -> (usize, usize) {
        let log = Self::open(dir);
        let values = log.1.iter().map(|guard| guard.into_inner().unwrap().1.len());
        values.fold((0, 0), |(n, bytes), len| (n + 1, bytes + len))
    }
}

struct Redb(redb::Database);

const TABLE: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("live");

impl Redb {
    fn open(dir: &Path) -> Self {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(4 << 20);
        Self(builder.create(dir.join("redb")).unwrap())
    }
}

impl Log for Redb {
    fn commit(&mut self, puts: &[Put]) {
        let transaction = self.0.begin_write().unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            for (key, value) in puts {
                table.insert(key.as_str(), value.as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    fn read_all(dir: &Path) -> (usize, usize) {
        use redb::{ReadableDatabase, ReadableTable};
        let log = Self::open(dir);
        let transaction = log.0.begin_read().unwrap();
        let table = transaction.open_table(TABLE).unwrap();
        let values = table.iter().unwrap().map(|row| row.unwrap().1.value().len());
        values.fold((0, 0), |(n, bytes), len| (n + 1, bytes + len))
    }
}

/// Framed records with checksums, one file, one write and one fdatasync a batch; `zeroed` bytes are written ahead.
struct Plain {
    file: File,
    at: u64,
    zeroed: u64,
    ahead: u64,
    frame: Vec<u8>,
}

impl Plain {
    fn open(dir: &Path, ahead: u64) -> Self {
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(dir.join("plain")).unwrap();
        Self { file, at: 0, zeroed: 0, ahead, frame: Vec::new() }
    }
}

impl Log for Plain {
    fn commit(&mut self, puts: &[Put]) {
        use std::os::unix::fs::FileExt;
        self.frame.clear();
        for (key, value) in puts {
            let start = self.frame.len();
            self.frame.extend_from_slice(&[0; 12]);
            self.frame.extend_from_slice(key.as_bytes());
            self.frame.extend_from_slice(value);
            let crc = crc32fast::hash(&self.frame[start + 12..]);
            self.frame[start..start + 4].copy_from_slice(&crc.to_le_bytes());
            self.frame[start + 4..start + 8].copy_from_slice(&(key.len() as u32).to_le_bytes());
            self.frame[start + 8..start + 12].copy_from_slice(&(value.len() as u32).to_le_bytes());
        }
        if self.ahead > self.frame.len() as u64 * 4 && self.at + self.frame.len() as u64 > self.zeroed {
            let zeros = vec![0; self.ahead as usize];
            self.file.write_all_at(&zeros, self.zeroed.max(self.at)).unwrap();
            self.zeroed = self.zeroed.max(self.at) + self.ahead;
        }
        self.file.write_all_at(&self.frame, self.at).unwrap();
        self.at += self.frame.len() as u64;
        self.file.sync_data().unwrap();
    }

    fn read_all(dir: &Path) -> (usize, usize) {
        let mut bytes = Vec::new();
        File::open(dir.join("plain")).unwrap().read_to_end(&mut bytes).unwrap();
        let (mut at, mut n, mut total) = (0, 0, 0);
        while bytes.len() >= at + 12 {
            let word = |i: usize| u32::from_le_bytes(bytes[at + i..at + i + 4].try_into().unwrap()) as usize;
            let (crc, key, value) = (word(0), word(4), word(8));
            if key == 0 {
                break;
            }
            assert_eq!(crc32fast::hash(&bytes[at + 12..at + 12 + key + value]) as usize, crc);
            (at, n, total) = (at + 12 + key + value, n + 1, total + value);
        }
        (n, total)
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dir = tempfile::tempdir_in(&args[2]).unwrap();
    match args[1].as_str() {
        "fjall" => measure(&args[1], dir.path(), Fjall::open(dir.path())),
        "redb" => measure(&args[1], dir.path(), Redb::open(dir.path())),
        "plain" => measure(&args[1], dir.path(), Plain::open(dir.path(), 0)),
        "ahead" => measure(&args[1], dir.path(), Plain::open(dir.path(), 256 << 10)),
        other => panic!("which is {other}?"),
    }
}

fn measure<L: Log>(name: &str, dir: &Path, mut log: L) {
    let idle = rss();
    let mut n = 0u64;
    for (size, rounds) in [(1, 2000), (16, 300), (128, 80)] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let puts: Vec<Put> = (0..size)
                .map(|_| {
                    n += 1;
                    put(n % 20_000)
                })
                .collect();
            let start = Instant::now();
            log.commit(&puts);
            times.push(start.elapsed());
        }
        let total: Duration = times.iter().sum();
        times.sort();
        let per_second = (size * rounds) as f64 / total.as_secs_f64();
        println!(
            "{name:6} batch {size:4}: {per_second:8.0} puts/s, p50 {:?}, p99 {:?}",
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
    }
    for from in (0..20_000).step_by(128) {
        let puts: Vec<Put> = (from..from + 128).map(put).collect();
        log.commit(&puts);
    }
    println!(
        "{name:6} memory: {} kB idle, {} kB with 20,000 keys of 4 KiB; on disk {} kB",
        idle,
        rss(),
        disk(dir) / 1024
    );
    drop(log);
    let start = Instant::now();
    let (count, bytes) = L::read_all(dir);
    println!("{name:6} read all: {count} entries, {bytes} bytes in {:?}", start.elapsed());
}

/// Values that compress about as well as pods do would flatter the one that compresses; these do not.
fn put(n: u64) -> Put {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = Vec::with_capacity(4096);
    while value.len() < 4096 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend_from_slice(format!("{state:x}").as_bytes());
    }
    value.truncate(4096);
    (format!("/registry/pods/default/pod-{n:06}"), value)
}

fn rss() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn disk(dir: &Path) -> u64 {
    let mut todo: Vec<PathBuf> = vec![dir.to_owned()];
    let mut total = 0;
    while let Some(path) = todo.pop() {
        let meta = fs::metadata(&path).unwrap();
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            total += meta.len();
        }
    }
    total
}
