//! Pods from create to Running, as a watch shows it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use crate::cluster::{Cluster, Connection};
use crate::objects;

/// The pods of one round must run by then, and be gone by then.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether the pods are gone.
const LOOK: Duration = Duration::from_millis(50);
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Creates `count` pods at once; gives how long each took until Running was seen, and removes them.
///
/// # Errors
/// When they do not run within the limit.
pub async fn round(cluster: &Cluster, name: &str, count: usize) -> Result<Vec<Duration>> {
    let (connection, watcher) = (cluster.connect().await?, cluster.connect().await?);
    let version = connection.version(PODS).await?;
    let mut lines = Lines { body: watcher.watch(PODS, &version).await?, rest: BytesMut::new() };
    let names: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
    let begun = Instant::now();
    let pods: Vec<Value> = names.iter().map(|name| objects::small_pod(name)).collect();
    let creates = try_join_all(pods.iter().map(|pod| connection.create(PODS, pod)));
    let running = tokio::time::timeout(LIMIT, all_running(&mut lines, &names));
    let (created, running) = futures::join!(creates, running);
    created?;
    let running = match running {
        Ok(running) => running,
        Err(_) => bail!("pods do not run after {LIMIT:?}: {}", phases(&connection).await?),
    };
    remove(&connection, &names).await?;
    Ok(running?.into_values().map(|seen| seen.duration_since(begun)).collect())
}

/// When each pod was first seen Running.
async fn all_running(lines: &mut Lines, names: &[String]) -> Result<BTreeMap<String, Instant>> {
    let mut seen = BTreeMap::new();
    while seen.len() < names.len() {
        let event: Value = serde_json::from_slice(&lines.next().await?).context("an event that is not JSON")?;
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        if event["object"]["status"]["phase"] == "Running" && names.iter().any(|wanted| wanted == name) {
            seen.entry(name.to_owned()).or_insert_with(Instant::now);
        }
    }
    Ok(seen)
}

async fn remove(connection: &Connection, names: &[String]) -> Result<()> {
    for name in names {
        connection.bytes(Method::DELETE, &format!("{PODS}/{name}?gracePeriodSeconds=0"), None).await?;
    }
    let begun = Instant::now();
    while !connection.get_json(PODS).await?["items"].as_array().is_none_or(Vec::is_empty) {
        if begun.elapsed() > LIMIT {
            bail!("pods are not gone after {LIMIT:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn phases(connection: &Connection) -> Result<String> {
    let list = connection.get_json(PODS).await?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let first = items.iter().find(|pod| pod["status"]["phase"] != "Running");
    Ok(first.map_or_else(String::new, |pod| format!("{}: {}", pod["metadata"]["name"], pod["status"])))
}

/// A watch's body cut into lines.
struct Lines {
    body: Incoming,
    rest: BytesMut,
}

impl Lines {
    async fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                return Ok(self.rest.split_to(end + 1).freeze());
            }
            let frame = self.body.frame().await.context("the watch ended")??;
            if let Some(data) = frame.data_ref() {
                self.rest.extend_from_slice(data);
            }
        }
    }
}
