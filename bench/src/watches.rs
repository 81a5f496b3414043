//! Many watchers, each on its own connection, of one namespace in which one pod changes again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::cluster::{Cluster, Connection};
use crate::objects;
use crate::process::Cox;
use crate::writes;

/// So many connections are opened at once.
const OPENING: usize = 16;
/// The last event is waited for so long.
const LIMIT: Duration = Duration::from_secs(120);
/// How often the count is looked at.
const LOOK: Duration = Duration::from_millis(5);
const NAMESPACE: &str = "watched";
const PODS: &str = "/api/v1/namespaces/watched/pods";

/// What a run of changes took.
pub struct Watches {
    /// Events delivered: watchers times changes.
    pub delivered: u64,
    /// The size of one event.
    pub event_bytes: u64,
    /// From the first change until the last watcher has the last event.
    pub wall: Duration,
    /// The server's CPU time, less what the same changes take with nobody watching.
    pub cpu: Duration,
    /// The server's memory with all watchers connected.
    pub pss_kb: u64,
}

/// Changes a pod `changes` times before `watchers` watchers.
///
/// # Errors
/// When a watch breaks or the events do not all arrive.
pub async fn watch(cox: &Cox, cluster: &Cluster, watchers: u64, changes: u64) -> Result<Watches> {
    let writer = cluster.connect().await?;
    writes::namespace(&writer, NAMESPACE).await?;
    writer.create(PODS, &objects::small_pod("changing")).await?;
    let before = cox.cpu()?;
    change(&writer, changes, "alone").await?;
    let alone = cox.cpu()?.saturating_sub(before);

    let version = writer.version(PODS).await?;
    let opening = futures::stream::iter(0..watchers).map(|_| open(cluster, &version));
    let open: Vec<(Connection, Incoming)> = opening.buffer_unordered(OPENING).try_collect().await?;
    let (events, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> =
        open.into_iter().map(|watcher| tokio::spawn(read(watcher, events.clone(), bytes.clone()))).collect();
    let (begun, before, pss_kb) = (Instant::now(), cox.cpu()?, cox.pss_kb()?);
    change(&writer, changes, "watched").await?;
    let delivered = watchers * changes;
    while events.load(Ordering::Relaxed) < delivered {
        if begun.elapsed() > LIMIT {
            bail!("only {} of {delivered} events arrived", events.load(Ordering::Relaxed));
        }
        tokio::time::sleep(LOOK).await;
    }
    let (wall, cpu) = (begun.elapsed(), cox.cpu()?.saturating_sub(before).saturating_sub(alone));
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(Watches { delivered, event_bytes: bytes.load(Ordering::Relaxed) / delivered, wall, cpu, pss_kb })
}

async fn open(cluster: &Cluster, version: &str) -> Result<(Connection, Incoming)> {
    let connection = cluster.connect().await?;
    let body = connection.watch(PODS, version).await?;
    Ok((connection, body))
}

/// Counts what a watcher gets: an event is a line.
async fn read((_connection, mut body): (Connection, Incoming), events: Arc<AtomicU64>, bytes: Arc<AtomicU64>) {
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        events.fetch_add(data.iter().filter(|byte| **byte == b'\n').count() as u64, Ordering::Relaxed);
    }
}

/// Changes the pod, one change after the other.
async fn change(connection: &Connection, changes: u64, label: &str) -> Result<()> {
    let path = format!("{PODS}/changing");
    for number in 0..changes {
        let patch = serde_json::json!({"metadata": {"labels": {label: number.to_string()}}});
        let body = ("application/merge-patch+json", Bytes::from(patch.to_string()));
        connection.bytes(Method::PATCH, &path, Some(body)).await?;
    }
    Ok(())
}
