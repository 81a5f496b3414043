//! Taking things away.

use anyhow::{Result, ensure};

use super::heal::processes;
use crate::cluster::Cluster;
use crate::kubectl::{DRILL, text};
use crate::wait;

/// The namespaces, their objects and their containers are gone.
pub fn namespace_gone(cluster: &Cluster) -> Result<()> {
    let said = cluster.kubectl(&format!("delete namespace regatta {DRILL} --timeout=120s")).ok()?;
    ensure!(said == format!("namespace \"regatta\" deleted\nnamespace \"{DRILL}\" deleted\n"), "delete says {said}");
    let ended = cluster.kubectl("get namespace regatta").code(1)?;
    ensure!(ended.stderr == "Error from server (NotFound): namespaces \"regatta\" not found\n", "{}", ended.stderr);
    let left = cluster.items("pods,deployments,replicasets,services,configmaps,endpointslices -A")?;
    let left: Vec<&str> = left
        .iter()
        .filter(|object| ["regatta", DRILL].contains(&text(object, "/metadata/namespace")))
        .map(|object| text(object, "/metadata/name"))
        .collect();
    ensure!(left.is_empty(), "still there: {left:?}");
    wait::until("no container is left", || {
        let tasks = processes(cluster)?;
        ensure!(tasks.is_empty(), "{tasks:?}");
        Ok(())
    })
}
