//! `kubectl logs`.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::DRILL;
use crate::{manifests, wait};

/// All lines, the last one, with times, and those of the run before. Lines of one stream are in order; a runtime copies
/// the two streams each by itself, so between them there is none.
pub fn shown(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::long_pod(
        "talker",
        "if [ -e /shared/done ]; then echo again; else echo one; echo two; fi; sleep 3600",
    ))?;
    cluster.ready_pod("talker")?;
    let logs = |words: &str| cluster.kubectl(&format!("-n {DRILL} logs talker {words}"));
    wait::until("both lines are there", || {
        let said = logs("").ok()?;
        ensure!(said == "one\ntwo\n", "logs says {said:?}");
        Ok(())
    })?;
    ensure!(logs("--tail=1").ok()? == "two\n", "logs --tail=1 says something else");
    ensure!(logs("--since=1h").ok()? == "one\ntwo\n", "logs --since=1h says something else");
    let timed = logs("--timestamps").ok()?;
    ensure!(timed.lines().all(|line| line.contains('T') && line.contains("Z ")), "no times: {timed}");
    let previous = logs("--previous").code(1)?.stderr;
    ensure!(previous.contains("previous terminated container \"main\" in pod \"talker\" not found"), "{previous}");

    cluster.apply(&manifests::long_pod("repeater", "echo run >&2; sleep 1"))?;
    wait::until("the run before has a log", || {
        let said = cluster.kubectl(&format!("-n {DRILL} logs repeater --previous")).ok()?;
        ensure!(said == "run\n", "{said:?}");
        Ok(())
    })?;
    cluster.kubectl(&format!("-n {DRILL} delete pod repeater talker")).ok().map(drop)
}

/// Lines as they come, until the container ends.
pub fn followed(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::job_pod("counter", "for n in 1 2 3; do echo line $n; sleep 1; done"))?;
    wait::until("it has started", || {
        let said = cluster.kubectl(&format!("-n {DRILL} logs -f counter")).ok()?;
        ensure!(said == "line 1\nline 2\nline 3\n", "logs -f says {said:?}");
        Ok(())
    })
}
