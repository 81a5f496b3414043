//! The API server alone: creates, lists, memory, watches. Its pods go unscheduled.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::etcd::Etcd;
use crate::figure::{median, micros_each, print, progress};
use crate::process::Cox;
use crate::single::Single;
use crate::writes::Writes;
use crate::{leases, lists, objects, single, watches, writes};

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
    /// Small pods to create; single requests are timed with so many, and with all pods of the memory's figure.
    #[arg(long, default_value_t = 2_000)]
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
    /// Seconds over which leases are renewed.
    #[arg(long, default_value_t = 10)]
    lease_seconds: u32,
    /// Keep everything in an etcd of one member, started for this, instead of the embedded store.
    #[arg(long)]
    etcd: bool,
}

impl Arguments {
    /// The row of a figure: those with etcd stand beside those without.
    fn row(&self, key: &str) -> String {
        if self.etcd { format!("{key} (etcd)") } else { key.to_owned() }
    }
}

/// An API server, and its etcd if it has one. Dropped in this order.
struct Measured {
    cox: Cox,
    _etcd: Option<Etcd>,
}

impl Measured {
    fn start(cox: &Path, data_dir: &Path, arguments: &Arguments) -> Result<Self> {
        let etcd = arguments.etcd.then(|| Etcd::start(data_dir)).transpose()?;
        let mut command = vec!["apiserver", "--bind-address", "127.0.0.1", "--secure-port", "0"];
        command.extend(etcd.iter().flat_map(|etcd| ["--etcd-servers", etcd.url()]));
        Ok(Self { cox: Cox::start(cox, data_dir, &command)?, _etcd: etcd })
    }
}

/// Runs the suite.
///
/// # Errors
/// When the server does not start or refuses something.
pub async fn run(cox: &Path, data_dir: &Path, arguments: &Arguments) -> Result<()> {
    measure_watches(cox, data_dir, arguments).await?;
    let measured = Measured::start(cox, data_dir, arguments)?;
    let cox = &measured.cox;
    let cluster = Cluster::ready(&cox.kubeconfig(), READY_LIMIT).await?;
    let connection = cluster.connect().await?;
    let started_kb = cox.pss_kb()?;
    print(&arguments.row("apiserver idle memory"), &format!("{:.0} MB PSS just started", megabytes(started_kb)));
    progress("renewing leases");
    let share = leases::share(cox, &cluster, arguments.lease_seconds).await?;
    print(&arguments.row("leases"), &format!("{:.1} % of a core at {} a second", share * 100.0, leases::per_second()));
    for namespace in ["small", "large-1", "large-2"] {
        writes::namespace(&connection, namespace).await?;
    }
    progress("creating pods");
    let small = (arguments.clients, arguments.small_pods);
    let created = writes::create(cox, &cluster, "small", small, objects::small_pod).await?;
    print_writes(&arguments.row("create"), &connection_size(&connection, "small").await?, &created);
    let few = single::time(&connection, "small").await?;
    let told = writes::tell_status(cox, &cluster, "small", small).await?;
    print_writes(&arguments.row("status patch"), &connection_size(&connection, "small").await?, &told);
    let deleted = writes::delete_all(cox, &connection, "small", arguments.small_pods).await?;
    print_writes(&arguments.row("delete"), "that size, with one request", &deleted);

    let each = (arguments.clients, arguments.pods);
    let large = writes::create(cox, &cluster, "large-1", each, objects::large_pod).await?;
    print_writes(&arguments.row("create"), &connection_size(&connection, "large-1").await?, &large);
    let bytes = measure_lists(cox, &cluster, arguments).await?;

    progress("filling the memory");
    writes::create(cox, &cluster, "large-2", each, objects::large_pod).await?;
    print_memory(&arguments.row("memory"), started_kb, cox.pss_kb()?, bytes * 2, arguments.pods * 2);
    let many = single::time(&connection, "large-2").await?;
    print_single(&arguments.row("single requests"), &few, arguments.small_pods, &many, arguments.pods * 2);
    Ok(())
}

fn print_memory(row: &str, started_kb: u64, pss_kb: u64, json_bytes: u64, pods: u64) {
    let json = json_bytes as f64 / 1e6;
    let text = format!(
        "{:.0} MB PSS with {pods} pods ({json:.0} MB of JSON; {:.2} of their JSON above the start)",
        megabytes(pss_kb),
        (megabytes(pss_kb) - megabytes(started_kb)) / json,
    );
    print(row, &text);
}

fn print_single(row: &str, few: &Single, few_pods: u64, many: &Single, many_pods: u64) {
    let change = |few: Duration, many: Duration| (many.as_secs_f64() / few.as_secs_f64() - 1.0) * 100.0;
    let text = format!(
        "GET {:.0} µs, create {:.0} µs with {few_pods} pods; {:.0} µs ({:+.0} %) and {:.0} µs ({:+.0} %) with {many_pods} (medians)",
        few.get.as_secs_f64() * 1e6,
        few.create.as_secs_f64() * 1e6,
        many.get.as_secs_f64() * 1e6,
        change(few.get, many.get),
        many.create.as_secs_f64() * 1e6,
        change(few.create, many.create),
    );
    print(row, &text);
}

/// On a server of its own: a thousand connections' memory is not to count as the pods'.
async fn measure_watches(cox: &Path, data_dir: &Path, arguments: &Arguments) -> Result<()> {
    let measured = Measured::start(cox, data_dir, arguments)?;
    let cox = &measured.cox;
    let cluster = Cluster::ready(&cox.kubeconfig(), READY_LIMIT).await?;
    progress("watching");
    let watched = watches::watch(cox, &cluster, arguments.watchers, arguments.changes).await?;
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
    print(&arguments.row("watch"), &text);
    Ok(())
}

/// Gives the size of the list.
async fn measure_lists(cox: &Cox, cluster: &Cluster, arguments: &Arguments) -> Result<u64> {
    progress("listing");
    let times = arguments.lists;
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
    print(&arguments.row("list"), &text);
    Ok(more.bytes)
}

/// How large one of a namespace's pods is when read.
async fn connection_size(connection: &crate::cluster::Connection, namespace: &str) -> Result<String> {
    let bytes = connection.get(&format!("/api/v1/namespaces/{namespace}/pods/pod-000000")).await?.len();
    Ok(format!("{:.1} kB", bytes as f64 / 1e3))
}

fn print_writes(key: &str, size: &str, writes: &Writes) {
    let text = format!(
        "{:.0} µs for a pod of {size} ({:.0} a second over {})",
        micros_each(writes.cpu, writes.count),
        writes.count as f64 / writes.wall.as_secs_f64(),
        writes.count,
    );
    print(key, &text);
}

fn megabytes(kb: u64) -> f64 {
    kb as f64 * 1024.0 / 1e6
}
