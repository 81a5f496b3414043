//! Creates from many clients at once, each on its own connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Connection};
use crate::process::Cox;

/// What a run of creates took.
pub struct Creates {
    /// How many.
    pub count: u64,
    /// From the first request to the last answer.
    pub wall: Duration,
    /// The server's time on the CPUs.
    pub cpu: Duration,
}

/// Makes a namespace, and the account that pods in it run as.
///
/// # Errors
/// When the server refuses.
pub async fn namespace(connection: &Connection, name: &str) -> Result<()> {
    connection.create("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await?;
    let account = json!({"metadata": {"name": "default"}});
    connection.create(&format!("/api/v1/namespaces/{name}/serviceaccounts"), &account).await?;
    Ok(())
}

/// Creates `count` pods in a namespace, made by `pod`, from `clients` connections.
///
/// # Errors
/// The first create that fails.
pub async fn create(
    cox: &Cox,
    cluster: &Cluster,
    namespace: &str,
    (clients, count): (u64, u64),
    pod: fn(&str) -> Value,
) -> Result<Creates> {
    let connections = try_join_all((0..clients).map(|_| cluster.connect())).await?;
    let next = Arc::new(AtomicU64::new(0));
    let path: Arc<str> = format!("/api/v1/namespaces/{namespace}/pods").into();
    let (begun, before) = (Instant::now(), cox.cpu()?);
    let workers = connections.into_iter().map(|connection| {
        let (next, path) = (next.clone(), path.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                connection.create(&path, &pod(&format!("pod-{number:06}"))).await?;
            }
        })
    });
    for worker in try_join_all(workers).await? {
        worker?;
    }
    Ok(Creates { count, wall: begun.elapsed(), cpu: cox.cpu()?.saturating_sub(before) })
}
