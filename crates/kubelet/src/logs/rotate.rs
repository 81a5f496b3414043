//! Keeps logs small: a log that has grown too large is set aside, older ones are packed, the oldest go.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use crate::node::Node;
use crate::pod::labels;
use crate::proto::cri::ContainerState;

/// How often sizes are looked at (upstream's `containerLogMonitorInterval`).
const PERIOD: Duration = Duration::from_secs(10);

/// How large and how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) files: usize,
}

/// Rotates until cancelled.
pub(crate) async fn run(node: Arc<Node>, limits: Limits) {
    let cancel = node.cancel().clone();
    let work = async {
        loop {
            node.clock().sleep(PERIOD).await;
            for log in grown(&node.directories.pod_logs(), limits.bytes) {
                if let Err(error) = rotate(&node, &log, limits.files).await {
                    tracing::warn!(error, log = %log.display(), "cannot rotate a log");
                }
            }
        }
    };
    let _cancelled = cancel.run_until_cancelled(work).await;
}

/// The logs in use that are larger than `limit`.
fn grown(pods: &Path, limit: u64) -> Vec<PathBuf> {
    let children = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = children(pods.to_owned()).flat_map(children).flat_map(children);
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > limit))
        .collect()
}

async fn rotate(node: &Node, log: &Path, files: usize) -> Result<(), String> {
    let Some(id) = writer(node, log).await? else { return Ok(()) };
    tidy(log, files.saturating_sub(2)).map_err(|error| error.to_string())?;
    let aside = aside(log, node.clock().now());
    std::fs::rename(log, &aside).map_err(|error| error.to_string())?;
    if let Err(error) = node.runtime.reopen_container_log(&id).await {
        // The container still writes to the old file: it gets its name back.
        std::fs::rename(&aside, log).map_err(|error| error.to_string())?;
        return Err(error.to_string());
    }
    Ok(())
}

/// The running container that writes to `log`.
async fn writer(node: &Node, log: &Path) -> Result<Option<String>, String> {
    let name = |path: Option<&Path>| path.and_then(Path::file_name).and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(container), Some(pod)) = (name(log.parent()), name(log.parent().and_then(Path::parent))) else {
        return Ok(None);
    };
    let uid = pod.rsplit('_').next().unwrap_or_default();
    let selector = [(labels::POD_UID, uid), (labels::CONTAINER_NAME, container.as_str())];
    let runs = node.runtime.list_containers(&selector).await.map_err(|error| error.to_string())?;
    for run in runs.into_iter().filter(|run| run.state == ContainerState::ContainerRunning as i32) {
        let status = node.runtime.container_status(&run.id).await.map_err(|error| error.to_string())?;
        if status.is_some_and(|status| Path::new(&status.log_path) == log) {
            return Ok(Some(run.id));
        }
    }
    Ok(None)
}

/// `0.log.20261121-100000`, as upstream names a log that was set aside.
fn aside(log: &Path, now: Timestamp) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{}", now.strftime("%Y%m%d-%H%M%S")));
    name.into()
}

/// Packs the logs that were set aside and keeps the newest `keep` of them.
fn tidy(log: &Path, keep: usize) -> io::Result<()> {
    let (Some(dir), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else { return Ok(()) };
    let prefix = format!("{name}.");
    let mut old: Vec<PathBuf> = std::fs::read_dir(dir)?
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .map(|entry| entry.path())
        .collect();
    // Dated names sort by age.
    old.sort();
    let gone = old.len().saturating_sub(keep);
    for path in old.drain(..gone) {
        std::fs::remove_file(path)?;
    }
    old.iter().filter(|path| path.extension().is_none_or(|extension| extension != "gz")).try_for_each(|path| pack(path))
}

fn pack(path: &Path) -> io::Result<()> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let mut encoder = GzEncoder::new(File::create(&packed)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_the_newer_and_drops_the_older() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        for name in ["0.log", "0.log.20260101-000000.gz", "0.log.20260102-000000", "0.log.20260103-000000", "1.log"] {
            std::fs::write(dir.path().join(name), "text").unwrap();
        }
        tidy(&log, 2).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["0.log", "0.log.20260102-000000.gz", "0.log.20260103-000000.gz", "1.log"]);
        let now = "2026-01-04T05:06:07Z".parse().unwrap();
        assert!(aside(&log, now).ends_with("0.log.20260104-050607"));
    }

    #[test]
    fn finds_what_has_grown() {
        let dir = tempfile::tempdir().unwrap();
        let container = dir.path().join("n_p_u/c");
        std::fs::create_dir_all(&container).unwrap();
        std::fs::write(container.join("0.log"), "large").unwrap();
        std::fs::write(container.join("1.log"), "s").unwrap();
        assert_eq!(grown(dir.path(), 2), [container.join("0.log")]);
    }
}
