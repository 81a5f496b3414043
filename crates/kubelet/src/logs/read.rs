//! Gives a container's log to a reader: from where it wants, as it wants, and what comes later if it wants that too.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::line::Line;
use super::watch::Watch;

/// How often a quiet container is asked whether it still runs.
const STATE_CHECK: std::time::Duration = std::time::Duration::from_secs(1);
const BLOCK: usize = 64 << 10;
/// A line longer than this is given in pieces.
const LINE_LIMIT: usize = 1 << 20;

/// What of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) follow: bool,
    pub(crate) timestamps: bool,
    /// Only so many lines of the end.
    pub(crate) tail: Option<u64>,
    /// Only lines from this time on.
    pub(crate) since: Option<Timestamp>,
    /// No more than so many bytes.
    pub(crate) limit: Option<u64>,
    /// Only `stdout` or `stderr`.
    pub(crate) stream: Option<String>,
}

/// A reader of one log file.
pub(crate) struct Reader {
    path: PathBuf,
    file: File,
    wanted: Wanted,
    /// Bytes read that are not yet a whole line.
    rest: Vec<u8>,
    left: u64,
    /// The last line went on, so the next one gets no time before it.
    inside: bool,
}

impl Reader {
    pub(crate) fn open(path: &Path, wanted: Wanted) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if let Some(lines) = wanted.tail {
            let start = tail(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        let left = wanted.limit.unwrap_or(u64::MAX);
        Ok(Self { path: path.to_owned(), file, wanted, rest: Vec::new(), left, inside: false })
    }

    /// Sends what is wanted to `out`. With `follow`, goes on until `alive` says that the container has ended.
    pub(crate) async fn run<F: Future<Output = bool>>(
        mut self,
        out: mpsc::Sender<Bytes>,
        clock: base::Clock,
        alive: impl Fn() -> F,
    ) -> io::Result<()> {
        let mut watch = match self.wanted.follow {
            true => Some(Watch::new(self.path.parent().unwrap_or(Path::new("/")))?),
            false => None,
        };
        loop {
            // Asked before reading: what was written before the end is read.
            let lives = match &watch {
                Some(_) => alive().await,
                None => false,
            };
            while let Some(bytes) = self.block()? {
                if !bytes.is_empty() && out.send(bytes).await.is_err() {
                    return Ok(());
                }
                if self.left == 0 {
                    return Ok(());
                }
            }
            if self.reopen()? {
                continue;
            }
            match &mut watch {
                Some(watch) if lives => {
                    tokio::select! {
                        biased;
                        () = out.closed() => return Ok(()),
                        changed = watch.changed() => changed?,
                        // A container's end writes nothing.
                        () = clock.sleep(STATE_CHECK) => {}
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    /// The next block, rewritten; `None` at the end of what is there.
    fn block(&mut self) -> io::Result<Option<Bytes>> {
        let before = self.rest.len();
        self.rest.resize(before + BLOCK, 0);
        let count = self.file.read(&mut self.rest[before..])?;
        self.rest.truncate(before + count);
        if count == 0 {
            return Ok(None);
        }
        let mut out = Vec::new();
        let mut used = 0;
        while let Some(length) = self.rest[used..].iter().position(|byte| *byte == b'\n') {
            let line = self.rest[used..used + length].to_vec();
            self.line(&line, &mut out);
            used += length + 1;
        }
        self.rest.drain(..used);
        if self.rest.len() > LINE_LIMIT {
            let line = std::mem::take(&mut self.rest);
            self.line(&line, &mut out);
        }
        if out.len() as u64 > self.left {
            out.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left -= out.len() as u64;
        Ok(Some(out.into()))
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(line) = Line::parse(line) else { return };
        let early = self.wanted.since.is_some_and(|since| line.timestamp().is_some_and(|time| time < since));
        let other = self.wanted.stream.as_deref().is_some_and(|wanted| wanted != line.stream);
        if early || other {
            return;
        }
        if self.wanted.timestamps && !self.inside {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.inside = line.partial;
    }

    /// After a rotation another file has the name: goes on with that.
    fn reopen(&mut self) -> io::Result<bool> {
        if !self.wanted.follow {
            return Ok(false);
        }
        let Ok(named) = std::fs::metadata(&self.path) else { return Ok(false) };
        if named.ino() == self.file.metadata()?.ino() {
            return Ok(false);
        }
        self.file = File::open(&self.path)?;
        Ok(true)
    }
}

/// Where the last `lines` lines begin.
fn tail(file: &mut File, lines: u64) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut end = size;
    let mut found = 0;
    let mut block = vec![0; BLOCK];
    if lines == 0 {
        return Ok(size);
    }
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let length = usize::try_from(end - start).unwrap_or(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block[..length])?;
        for at in (0..length).rev() {
            let position = start + at as u64;
            // The newline that ends the last line begins no other.
            if block[at] == b'\n' && position + 1 < size {
                found += 1;
                if found == lines {
                    return Ok(position + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str, wanted: Wanted) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, text).unwrap();
        let (sender, mut receiver) = mpsc::channel(100);
        Reader::open(&path, wanted).unwrap().run(sender, base::Clock::system(), || async { false }).await.unwrap();
        let mut all = Vec::new();
        while let Some(bytes) = receiver.recv().await {
            all.extend_from_slice(&bytes);
        }
        String::from_utf8(all).unwrap()
    }

    #[tokio::test]
    async fn gives_what_is_wanted() {
        let log = "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stdout P tw\n2026-01-01T00:00:02Z stdout F o\n\
                   2026-01-01T00:00:03Z stderr F three\n";
        let since = "2026-01-01T00:00:03Z".parse().unwrap();
        let cases = [
            (Wanted::default(), "one\ntwo\nthree\n"),
            (Wanted { tail: Some(1), ..Wanted::default() }, "three\n"),
            (Wanted { tail: Some(0), ..Wanted::default() }, ""),
            (Wanted { tail: Some(9), ..Wanted::default() }, "one\ntwo\nthree\n"),
            (Wanted { since: Some(since), timestamps: true, ..Wanted::default() }, "2026-01-01T00:00:03Z three\n"),
            (Wanted { limit: Some(5), ..Wanted::default() }, "one\nt"),
            (Wanted { stream: Some("stderr".into()), ..Wanted::default() }, "three\n"),
        ];
        for (wanted, expected) in cases {
            assert_eq!(read(log, wanted.clone()).await, expected, "{wanted:?}");
        }
    }

    #[tokio::test]
    async fn follows_across_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, "t stdout F a\n").unwrap();
        let (sender, mut receiver) = mpsc::channel(1);
        let reader = Reader::open(&path, Wanted { follow: true, ..Wanted::default() }).unwrap();
        let task = base::spawn("follow", reader.run(sender, base::Clock::system(), || async { true }));
        assert_eq!(receiver.recv().await.unwrap(), "a\n");
        std::fs::rename(&path, dir.path().join("0.log.1")).unwrap();
        std::fs::write(&path, "t stdout F b\n").unwrap();
        assert_eq!(receiver.recv().await.unwrap(), "b\n");
        drop(receiver);
        task.await.unwrap().unwrap();
    }
}
