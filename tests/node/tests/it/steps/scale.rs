//! `kubectl scale`.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::DRILL;
use crate::{manifests, wait};

/// Two pods, four, one; the service's endpoints and the deployment's status follow.
pub fn up_and_down(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::deployment("crew"))?;
    cluster.ready_pods(DRILL, "app=crew", 2)?;
    for count in [4, 1] {
        let said = cluster.kubectl(&format!("-n {DRILL} scale deployment/crew --replicas={count}")).ok()?;
        ensure!(said == "deployment.apps/crew scaled\n", "scale says {said}");
        cluster.ready_pods(DRILL, "app=crew", count)?;
        wait::until("the deployment counts the same", || {
            let status = cluster.json(&format!("deployment -n {DRILL} crew"))?["status"].take();
            ensure!(status["readyReplicas"] == count && status["replicas"] == count, "{status}");
            Ok(())
        })?;
    }
    Ok(())
}
