//! `kubectl cp`.

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::DRILL;
use crate::manifests;

/// So large that it takes many messages, in bytes.
const SIZE: usize = 3_000_000;

/// There and back again, byte for byte.
pub fn copied(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::long_pod("locker", "trap 'exit 0' TERM; while true; do sleep 1; done"))?;
    cluster.ready_pod("locker")?;
    let (there, back) = (cluster.home().join("there"), cluster.home().join("back"));
    let bytes: Vec<u8> = (0..SIZE).map(|n| u8::try_from(n * 31 % 251).expect("below 251")).collect();
    std::fs::write(&there, &bytes).context("writing the file to copy")?;
    cluster.kubectl("cp").arg(&there).arg(format!("{DRILL}/locker:/tmp/boat")).ok()?;
    let size = cluster.kubectl(&format!("-n {DRILL} exec locker -- stat -c %s /tmp/boat")).ok()?;
    ensure!(size.trim() == SIZE.to_string(), "{size} bytes arrived");
    cluster.kubectl("cp").arg(format!("{DRILL}/locker:/tmp/boat")).arg(&back).ok()?;
    ensure!(std::fs::read(&back).context("reading what came back")? == bytes, "something else came back");
    Ok(())
}
