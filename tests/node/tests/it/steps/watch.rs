//! Commands that last until something happens.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::DRILL;
use crate::manifests;

/// Sleeps until it is told to end, and then ends at once.
const SLEEP: &str = "trap 'exit 0' TERM; while true; do sleep 1; done";

/// For a condition, for a field and for the end.
pub fn wait_for(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::long_pod("swimmer", SLEEP))?;
    for what in ["condition=Ready", "jsonpath={.status.phase}=Running"] {
        let said = cluster.kubectl(&format!("-n {DRILL} wait pod/swimmer --timeout=60s --for={what}")).ok()?;
        ensure!(said == "pod/swimmer condition met\n", "wait says {said}");
    }
    let said = cluster.kubectl(&format!("-n {DRILL} delete pod swimmer --wait=false")).ok()?;
    ensure!(said == format!("pod \"swimmer\" deleted from {DRILL} namespace\n"), "delete says {said}");
    cluster.kubectl(&format!("-n {DRILL} wait pod/swimmer --timeout=60s --for=delete")).ok()?;
    let ended = cluster.kubectl(&format!("-n {DRILL} get pod swimmer")).code(1)?;
    ensure!(ended.stderr == "Error from server (NotFound): pods \"swimmer\" not found\n", "{}", ended.stderr);
    let ended = cluster.kubectl(&format!("-n {DRILL} wait deployment --all --timeout=1s --for=condition=Nonsense"));
    ensure!(ended.run()?.code == 1, "wait for what never comes ends well");
    Ok(())
}

/// One line per change, in the order in which things happen.
pub fn come_and_go(cluster: &Cluster) -> Result<()> {
    let watch = cluster.kubectl_beside(&format!("-n {DRILL} get pods -l app=guest -w")).start()?;
    cluster.apply(&manifests::long_pod("guest", SLEEP))?;
    watch.prints(&["NAME", "guest", "Pending", "guest", "ContainerCreating", "guest", "1/1", "Running"])?;
    cluster.kubectl(&format!("-n {DRILL} delete pod guest")).ok()?;
    watch.prints(&["Running", "guest", "Terminating"])
}
