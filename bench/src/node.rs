//! Waiting for the node of a one-node cluster.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::Connection;

/// How often the node is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until a node says Ready.
///
/// # Errors
/// When that takes longer than `limit`; the conditions are told.
pub async fn ready(connection: &Connection, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut nodes = Value::Null;
    while begun.elapsed() < limit {
        nodes = connection.get_json("/api/v1/nodes").await?;
        let conditions = nodes["items"][0]["status"]["conditions"].as_array();
        if conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("no node is ready after {limit:?}: {}", nodes["items"][0]["status"]["conditions"])
}

/// Waits until pods of the default namespace have their account.
///
/// # Errors
/// When that takes longer than `limit`.
pub async fn account(connection: &Connection, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    while connection.get("/api/v1/namespaces/default/serviceaccounts/default").await.is_err() {
        if begun.elapsed() > limit {
            bail!("the default namespace has no account after {limit:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Says no where another cluster runs: the two would take each other's ports, rules and cgroups.
///
/// # Errors
/// When one does, or `ps` cannot be asked.
pub fn alone_on_machine() -> Result<()> {
    let all = Command::new("ps").args(["-eo", "comm=,args="]).output().context("starting ps")?;
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let cluster = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|name| name.ends_with("cox")) && words.nth(1) == Some("server")
    };
    match all.lines().find(cluster) {
        Some(line) => bail!("another cluster runs on this machine: {line}"),
        None => Ok(()),
    }
}
