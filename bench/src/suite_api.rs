//! The API server alone: creates, lists, memory, watches. Its pods go unscheduled.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::figure::{median, micros_each, print, progress};
use crate::process::Cox;
use crate::writes::Creates;
use crate::{lists, objects, watches, writes};

/// The API server must be ready by then.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How much is done.
#[derive(clap::Args)]
pub struct Arguments {
    /// Clients that create at once.
    #[arg(long, default_value_t = 64)]
    clients: u64,
    /// Pods in the list; the memory is measured with twice as many.
    #[arg(long, default_value_t = 10_000)]
    pods: u64,
    /// Small pods to create.
    #[arg(long, default_value_t = 4_000)]
    small_pods: u64,
    /// Lists to take.
    #[arg(long, default_value_t = 8)]
    lists: usize,
    /// Watchers of one namespace.
    #[arg(long, default_value_t = 1_000)]
    watchers: u64,
    /// Changes that they are told of.
    #[arg(long, default_value_t = 200)]
    changes: u64,
}

/// Runs the suite.
///
/// # Errors
/// When the server does not start or refuses something.
pub async fn run(cox: &Path, data_dir: &Path, arguments: &Arguments) -> Result<()> {
    measure_watches(cox, data_dir, arguments).await?;
    let command = ["apiserver", "--bind-address", "127.0.0.1", "--secure-port", "0"];
    let cox = Cox::start(cox, data_dir, &command)?;
    let cluster = Cluster::ready(&cox.kubeconfig(), READY_LIMIT).await?;
    let connection = cluster.connect().await?;
    print("apiserver idle memory", &format!("{:.0} MB PSS just started", megabytes(cox.pss_kb()?)));
    for namespace in ["small", "large-1", "large-2"] {
        writes::namespace(&connection, namespace).await?;
    }
    progress("creating pods");
    let small = (arguments.clients, arguments.small_pods);
    let small = writes::create(&cox, &cluster, "small", small, objects::small_pod).await?;
    print_creates("create", &connection_size(&connection, "small").await?, &small);
    connection.bytes(http::Method::DELETE, "/api/v1/namespaces/small/pods", None).await?;

    let each = (arguments.clients, arguments.pods);
    let large = writes::create(&cox, &cluster, "large-1", each, objects::large_pod).await?;
    print_creates("create", &connection_size(&connection, "large-1").await?, &large);
    measure_lists(&cox, &cluster, arguments.lists).await?;

    progress("filling the memory");
    writes::create(&cox, &cluster, "large-2", each, objects::large_pod).await?;
    let text = format!("{:.0} MB PSS with {} pods", megabytes(cox.pss_kb()?), arguments.pods * 2);
    print("memory", &text);
    Ok(())
}

/// On a server of its own: a thousand connections' memory is not to count as the pods'.
async fn measure_watches(cox: &Path, data_dir: &Path, arguments: &Arguments) -> Result<()> {
    let command = ["apiserver", "--bind-address", "127.0.0.1", "--secure-port", "0"];
    let cox = Cox::start(cox, data_dir, &command)?;
    let cluster = Cluster::ready(&cox.kubeconfig(), READY_LIMIT).await?;
    progress("watching");
    let watched = watches::watch(&cox, &cluster, arguments.watchers, arguments.changes).await?;
    let text = format!(
        "{:.1} µs ({} events of {:.1} kB to {} watchers in {:.1} s: {:.0} a second; {:.0} MB PSS with them connected)",
        micros_each(watched.cpu, watched.delivered),
        watched.delivered,
        watched.event_bytes as f64 / 1e3,
        arguments.watchers,
        watched.wall.as_secs_f64(),
        watched.delivered as f64 / watched.wall.as_secs_f64(),
        megabytes(watched.pss_kb),
    );
    print("watch", &text);
    Ok(())
}

async fn measure_lists(cox: &Cox, cluster: &Cluster, times: usize) -> Result<()> {
    progress("listing");
    let first = lists::list(cox, cluster, "large-1", 1).await?;
    let mut more = lists::list(cox, cluster, "large-1", times).await?;
    let speed = |bytes: u64, wall: Duration| bytes as f64 / 1e6 / wall.as_secs_f64();
    let text = format!(
        "{:.0} MB/s, {:.0} MB in {:.3} s (median of {times}; the first {:.0} MB/s); server CPU {:.3} s each",
        speed(more.bytes, median(&mut more.walls)),
        more.bytes as f64 / 1e6,
        median(&mut more.walls).as_secs_f64(),
        speed(first.bytes, median(&mut first.walls.clone())),
        more.cpu.as_secs_f64() / times as f64,
    );
    print("list", &text);
    Ok(())
}

/// How large one of a namespace's pods is when read.
async fn connection_size(connection: &crate::cluster::Connection, namespace: &str) -> Result<String> {
    let bytes = connection.get(&format!("/api/v1/namespaces/{namespace}/pods/pod-000000")).await?.len();
    Ok(format!("{:.1} kB", bytes as f64 / 1e3))
}

fn print_creates(key: &str, size: &str, creates: &Creates) {
    let text = format!(
        "{:.0} µs for a pod of {size} ({:.0} a second over {})",
        micros_each(creates.cpu, creates.count),
        creates.count as f64 / creates.wall.as_secs_f64(),
        creates.count,
    );
    print(key, &text);
}

fn megabytes(kb: u64) -> f64 {
    kb as f64 * 1024.0 / 1e6
}
