//! Creates and patches from many clients at once, each on its own connection; deletion of a collection.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Connection};
use crate::process::Cox;

/// What a run of writes took.
pub struct Writes {
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
) -> Result<Writes> {
    let path: Arc<str> = format!("/api/v1/namespaces/{namespace}/pods").into();
    shared_out(cox, cluster, (clients, count), move |connection, number| {
        let path = path.clone();
        async move { connection.create(&path, &pod(&name(number))).await.map(drop) }
    })
    .await
}

/// Tells the status of each of `count` pods once, as their kubelets do.
///
/// # Errors
/// The first patch that fails.
pub async fn tell_status(
    cox: &Cox,
    cluster: &Cluster,
    namespace: &str,
    (clients, count): (u64, u64),
) -> Result<Writes> {
    let (path, patch) = (format!("/api/v1/namespaces/{namespace}/pods"), status_patch().to_string());
    let shared: Arc<(String, String)> = Arc::new((path, patch));
    shared_out(cox, cluster, (clients, count), move |connection, number| {
        let shared = shared.clone();
        async move {
            let path = format!("{}/{}/status", shared.0, name(number));
            let body = ("application/strategic-merge-patch+json", shared.1.clone().into());
            connection.bytes(Method::PATCH, &path, Some(body)).await.map(drop)
        }
    })
    .await
}

/// Deletes the `count` pods of a namespace with one request.
///
/// # Errors
/// When the server refuses.
pub async fn delete_all(cox: &Cox, connection: &Connection, namespace: &str, count: u64) -> Result<Writes> {
    let (begun, before) = (Instant::now(), cox.cpu()?);
    let path = format!("/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0");
    connection.bytes(Method::DELETE, &path, None).await?;
    Ok(Writes { count, wall: begun.elapsed(), cpu: cox.cpu()?.saturating_sub(before) })
}

fn name(number: u64) -> String {
    format!("pod-{number:06}")
}

fn status_patch() -> Value {
    let kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let condition = |kind| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({"status": {
        "phase": "Running",
        "conditions": (kinds.map(condition)),
        "hostIP": "192.0.2.1", "podIP": "198.51.100.1", "podIPs": [{"ip": "198.51.100.1"}],
        "startTime": "2026-01-01T00:00:00Z",
    }})
}

/// Does `work` once for each number below `count`, `clients` of them at a time.
async fn shared_out<F>(
    cox: &Cox,
    cluster: &Cluster,
    (clients, count): (u64, u64),
    work: impl Fn(Connection, u64) -> F + Clone + Send + 'static,
) -> Result<Writes>
where
    F: Future<Output = Result<()>> + Send,
{
    let connections = try_join_all((0..clients).map(|_| cluster.connect())).await?;
    let next = Arc::new(AtomicU64::new(0));
    let (begun, before) = (Instant::now(), cox.cpu()?);
    let workers = connections.into_iter().map(|connection| {
        let (next, work) = (next.clone(), work.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                work(connection.clone(), number).await?;
            }
        })
    });
    for worker in try_join_all(workers).await? {
        worker?;
    }
    Ok(Writes { count, wall: begun.elapsed(), cpu: cox.cpu()?.saturating_sub(before) })
}
