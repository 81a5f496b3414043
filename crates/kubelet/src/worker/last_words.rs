//! A container's last words: its termination message file, or the end of its log when the pod asks for that.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use super::Worker;
use crate::pod::labels;
use crate::pod::observed::{Instance, Observed, Phase};
use crate::pod::spec;

/// Upstream's limits of a message and of the log's end.
const MESSAGE_LIMIT_BYTES: u64 = 4096;
const LOG_LIMIT_BYTES: u64 = 2048;
const LOG_LIMIT_LINES: usize = 80;
/// All containers of a pod together say no more than this.
const POD_LIMIT_BYTES: u64 = 12 << 10;

impl Worker {
    pub(super) fn hear_last_words(&self, pod: &Pod, observed: &Observed) {
        let mut memory = self.memory.lock();
        let containers = spec::containers(pod).count().max(1) as u64;
        let limit = MESSAGE_LIMIT_BYTES.min(POD_LIMIT_BYTES / containers);
        for run in observed.instances.iter().filter(|run| run.phase == Phase::Exited) {
            if !memory.last_words.contains_key(&run.id) {
                memory.last_words.insert(run.id.clone(), last_words(run, limit));
            }
        }
        let known = |id: &String| observed.instances.iter().any(|run| run.id == *id);
        memory.last_words.retain(|id, _| known(id));
        memory.probes.retain(|id, _| known(id));
        memory.stopping.retain(|id| known(id));
        memory.starting.retain(|id| known(id));
    }
}

fn last_words(run: &Instance, limit: u64) -> String {
    let file = run.termination_log.as_deref().map(|path| read_end(Path::new(path), limit)).unwrap_or_default();
    let policy = run.annotations.get(labels::TERMINATION_MESSAGE_POLICY).map(String::as_str);
    if !file.is_empty() || policy != Some("FallbackToLogsOnError") || run.exit_code == 0 {
        return file;
    }
    // Lines of the log carry time, stream and flag before the text.
    let log = read_end(Path::new(&run.log_path), limit.min(LOG_LIMIT_BYTES) * 2);
    let lines: Vec<&str> = log.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let text: String =
        lines[lines.len().saturating_sub(LOG_LIMIT_LINES)..].iter().map(|line| format!("{line}\n")).collect();
    let mut from = text.len().saturating_sub(usize::try_from(limit.min(LOG_LIMIT_BYTES)).unwrap_or(0));
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

fn read_end(path: &Path, limit: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(limit)))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
