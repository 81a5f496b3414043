//! `cox reset`: stops a cluster of this machine and removes everything that it made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::Clock;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::component;
use crate::pid_file::PidFile;

/// A cox that was asked to end has so long before it is killed.
const END_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Stop a cluster of this machine and remove everything it made.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the cluster keeps everything.
    #[arg(long, default_value = "/var/lib/coxswain")]
    data_dir: PathBuf,
    /// Keep the data directory, so that a later start finds the objects again.
    #[arg(long)]
    keep_data: bool,
}

/// Takes everything down.
///
/// # Errors
/// When something stays behind.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("removing a cluster takes root");
    }
    component::run(take_down(arguments))?;
    println!("nothing of the cluster in {} is left", arguments.data_dir.display());
    Ok(())
}

async fn take_down(arguments: &Arguments) -> Result<()> {
    let data_dir = &arguments.data_dir;
    end_process(data_dir, &Clock::system()).await?;
    kubelet::containerd::stop(data_dir).await;
    unmount_below(data_dir);
    let mut options = network::Options::new("", data_dir.join("network"));
    options.conf_dir = data_dir.join("cni");
    network::remove(&options).await.context("removing the pod network")?;
    proxy::cleanup().await.context("removing the proxy's rules")?;
    if let Ok(cgroups) = kubelet::cgroups::Cgroups::detect("/") {
        cgroups.remove_all();
    }
    if !arguments.keep_data && data_dir.exists() {
        std::fs::remove_dir_all(data_dir).with_context(|| format!("removing {}", data_dir.display()))?;
    }
    Ok(())
}

/// Ends the server that runs the cluster, if one does.
async fn end_process(data_dir: &Path, clock: &Clock) -> Result<()> {
    let Some(pid) = PidFile::holder(data_dir)? else { return Ok(()) };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        match kill(Pid::from_raw(pid), signal) {
            // It ended between the look and the signal.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("ending process {pid}")),
        }
        let ended = async {
            while PidFile::holder(data_dir)?.is_some() {
                clock.sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        if let Ok(ended) = clock.timeout(END_LIMIT, ended).await {
            return ended;
        }
    }
    bail!("process {pid} does not end")
}

/// Unmounts all that is mounted below `folder`, deepest first.
fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut below: Vec<&str> = points.filter(|point| Path::new(point).starts_with(folder)).collect();
    below.sort_by_key(|point| std::cmp::Reverse(point.len()));
    for point in below {
        if let Err(error) = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH) {
            tracing::warn!(point, %error, "cannot unmount");
        }
    }
}
