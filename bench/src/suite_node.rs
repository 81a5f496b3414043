//! A whole one-node cluster: how fast it starts, what it costs idle, how fast pods run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::cri::Runtime;
use crate::figure::{longest, median, print, progress};
use crate::node;
use crate::pods;
use crate::process::Cox;

/// The node must be ready by then.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Single pods that are measured one after the other.
const SINGLE_PODS: usize = 5;

/// How much is done.
#[derive(clap::Args)]
pub struct Arguments {
    /// An image archive with busybox in it.
    #[arg(long)]
    busybox: PathBuf,
    /// The image's name.
    #[arg(long, default_value = "docker.io/library/busybox:1.35")]
    image: String,
    /// Starts to measure, each in an empty data directory.
    #[arg(long, default_value_t = 3)]
    starts: usize,
    /// The port of the API server.
    #[arg(long, default_value_t = 6443)]
    secure_port: u16,
    /// Seconds to settle before the memory is read.
    #[arg(long, default_value_t = 30)]
    settle_seconds: u64,
    /// Seconds over which the idle CPU is taken.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// Pods to create at once.
    #[arg(long, default_value_t = 30)]
    pods: usize,
}

/// Runs the suite.
///
/// # Errors
/// When another cluster runs, something does not start, or pods do not run.
pub async fn run(cox: &Path, data_dir: &Path, arguments: &Arguments) -> Result<()> {
    node::alone_on_machine()?;
    let (mut api, mut ready) = (Vec::new(), Vec::new());
    let mut last = None;
    for number in 0..arguments.starts.max(1) {
        // The one before must be gone: both want the same ports.
        drop(last.take());
        progress(&format!("start {}", number + 1));
        let started = start(cox, data_dir, arguments.secure_port).await?;
        api.push(started.api);
        ready.push(started.node);
        last = Some((started.cox, started.cluster));
    }
    let (slow_api, slow_node) = (longest(&api), longest(&ready));
    let text = format!(
        "{:.2} s / {:.2} s (median of {}, empty data directory; the slowest {:.2} / {:.2})",
        median(&mut api).as_secs_f64(),
        median(&mut ready).as_secs_f64(),
        api.len(),
        slow_api.as_secs_f64(),
        slow_node.as_secs_f64(),
    );
    print("start", &text);
    let Some((cox, cluster)) = last else { return Ok(()) };
    idle(&cox, arguments).await?;
    run_pods(&cluster, data_dir, arguments).await
}

struct Started {
    cox: Cox,
    cluster: Cluster,
    api: Duration,
    node: Duration,
}

async fn start(program: &Path, data_dir: &Path, port: u16) -> Result<Started> {
    let begun = Instant::now();
    let cox = Cox::start(program, data_dir, &["server", "--secure-port", &port.to_string()])?;
    let cluster = Cluster::ready(&cox.kubeconfig(), READY_LIMIT).await?;
    let api = begun.elapsed();
    node::ready(&cluster.connect().await?, READY_LIMIT).await?;
    Ok(Started { cox, cluster, api, node: begun.elapsed() })
}

async fn idle(cox: &Cox, arguments: &Arguments) -> Result<()> {
    progress("idle");
    tokio::time::sleep(Duration::from_secs(arguments.settle_seconds)).await;
    print("idle memory", &format!("{:.1} MB PSS", cox.pss_kb()? as f64 * 1024.0 / 1e6));
    let (begun, before) = (Instant::now(), cox.cpu()?);
    tokio::time::sleep(Duration::from_secs(arguments.idle_seconds)).await;
    let share = cox.cpu()?.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64();
    print("idle CPU", &format!("{:.2} % of a core over {} s", share * 100.0, arguments.idle_seconds));
    Ok(())
}

async fn run_pods(cluster: &Cluster, data_dir: &Path, arguments: &Arguments) -> Result<()> {
    progress("pods");
    let socket = data_dir.join("containerd/containerd.sock");
    import(&socket, &arguments.busybox)?;
    node::account(&cluster.connect().await?, READY_LIMIT).await?;
    // The first pod of a node sets up what later ones find.
    pods::round(cluster, "first", 1).await?;
    let (mut raw, mut single) = (Vec::new(), Vec::new());
    let runtime = Runtime::connect(&socket).await?;
    for number in 0..SINGLE_PODS {
        raw.push(runtime.start_pod(number, &arguments.image).await?);
        single.extend(pods::round(cluster, &format!("single-{number}"), 1).await?);
    }
    let mut many = pods::round(cluster, "many", arguments.pods).await?;
    let text = format!(
        "{:.3} s, CRI alone {:.3} s (medians of {SINGLE_PODS}; RunPodSandbox, CreateContainer, StartContainer by gRPC); \
         {} pods at once: all after {:.2} s, median {:.2} s",
        median(&mut single).as_secs_f64(),
        median(&mut raw).as_secs_f64(),
        many.len(),
        longest(&many).as_secs_f64(),
        median(&mut many).as_secs_f64(),
    );
    print("pod start", &text);
    Ok(())
}

fn import(socket: &Path, archive: &Path) -> Result<()> {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images", "import"]).arg(archive);
    let output = ctr.output().context("starting ctr")?;
    if !output.status.success() {
        bail!("ctr images import: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
