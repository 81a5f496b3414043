//! What goes away comes back by itself.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::kubectl::{DRILL, is_ready, text};
use crate::program::Line;
use crate::{manifests, wait};

/// Another pod takes its place.
pub fn deleted_pod(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::deployment("relay"))?;
    let before = cluster.ready_pods(DRILL, "app=relay", 2)?;
    let name = text(&before[0], "/metadata/name");
    cluster.kubectl(&format!("-n {DRILL} delete pod {name}")).ok()?;
    let after = cluster.ready_pods(DRILL, "app=relay", 2)?;
    ensure!(after.iter().all(|pod| text(pod, "/metadata/name") != name), "{name} is still there");
    ensure!(
        after.iter().any(|pod| text(pod, "/metadata/name") == text(&before[1], "/metadata/name")),
        "the other pod was replaced too"
    );
    Ok(())
}

/// The same pod, a new container, and the status says how the old one ended.
pub fn killed_container(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::long_pod("rower", "while true; do sleep 1; done"))?;
    let pod = cluster.ready_pod("rower")?;
    let container = container_id(&pod)?;
    let process = processes(cluster)?.into_iter().find(|(id, _)| *id == container).context("no such task")?.1;
    Line::new("kill").arg("-9").arg(&process).ok()?;
    let after = wait::until("the container runs again", || {
        let pod = cluster.json(&format!("pod -n {DRILL} rower"))?;
        ensure!(is_ready(&pod) && pod["status"]["containerStatuses"][0]["restartCount"] == 1, "{}", pod["status"]);
        Ok(pod)
    })?;
    ensure!(after["metadata"]["uid"] == pod["metadata"]["uid"], "another pod");
    ensure!(container_id(&after)? != container, "the same container");
    let ended = &after["status"]["containerStatuses"][0]["lastState"]["terminated"];
    ensure!(ended["exitCode"] == 137 && ended["reason"] == "Error", "the old container ended with {ended}");
    let table = cluster.kubectl(&format!("-n {DRILL} get pod rower")).ok()?;
    ensure!(table.contains("1/1     Running   1 ("), "get shows\n{table}");
    Ok(())
}

fn container_id(pod: &Value) -> Result<String> {
    let id = text(pod, "/status/containerStatuses/0/containerID").strip_prefix("containerd://");
    id.map(str::to_owned).context("no container")
}

/// Every task of the runtime, container and process, in order.
///
/// # Errors
/// When the runtime cannot be asked.
pub fn processes(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let table = cluster.ctr("tasks ls").ok()?;
    let mut tasks: Vec<(String, String)> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect();
    tasks.sort();
    Ok(tasks)
}
