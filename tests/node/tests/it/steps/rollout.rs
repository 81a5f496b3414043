//! Rolling updates.

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::{DRILL, text};
use crate::{manifests, wait};

/// A second name of the same image is a change of the template.
const OTHER_IMAGE: &str = "docker.io/library/busybox:other";

/// To another image and back again, with the history that `rollout history` shows.
pub fn image_and_undo(cluster: &Cluster) -> Result<()> {
    cluster.ctr("images tag --force docker.io/library/busybox:1.35").arg(OTHER_IMAGE).ok()?;
    cluster.apply(&manifests::deployment("oars"))?;
    rolled_out(cluster, "busybox:1.35")?;

    let said = cluster.kubectl(&format!("-n {DRILL} set image deployment/oars main={OTHER_IMAGE}")).ok()?;
    ensure!(said == "deployment.apps/oars image updated\n", "set image says {said}");
    rolled_out(cluster, OTHER_IMAGE)?;
    let history = cluster.kubectl(&format!("-n {DRILL} rollout history deployment/oars")).ok()?;
    let expected = "deployment.apps/oars \nREVISION  CHANGE-CAUSE\n1         <none>\n2         <none>\n\n";
    ensure!(history == expected, "rollout history says\n{history}");

    let said = cluster.kubectl(&format!("-n {DRILL} rollout undo deployment/oars")).ok()?;
    ensure!(said == "deployment.apps/oars rolled back\n", "rollout undo says {said}");
    rolled_out(cluster, "busybox:1.35")?;
    let sets = cluster.items(&format!("replicasets -n {DRILL} -l app=oars"))?;
    ensure!(sets.len() == 2, "{} replica sets", sets.len());
    Ok(())
}

/// `rollout status` ends well and both pods run `image`.
fn rolled_out(cluster: &Cluster, image: &str) -> Result<()> {
    cluster.kubectl(&format!("-n {DRILL} rollout status deployment/oars --timeout=90s")).ok()?;
    wait::until("the old pods are gone", || {
        let pods = cluster.ready_pods(DRILL, "app=oars", 2)?;
        let other = pods.iter().map(|pod| text(pod, "/spec/containers/0/image")).find(|i| *i != image);
        other.map_or(Ok(()), |other| Err(anyhow::anyhow!("a pod runs {other}"))).context("not yet")
    })
}
