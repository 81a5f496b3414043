//! What is explained to a user.

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::text;

/// Scheduled, Pulled, Created, Started, by those who did it.
pub fn pod_events(cluster: &Cluster) -> Result<()> {
    let pods = cluster.ready_pods("regatta", "app=redis", 1)?;
    let pod = pods.first().context("no pod")?;
    let (name, node) = (text(pod, "/metadata/name"), text(pod, "/spec/nodeName"));
    let said = cluster.kubectl("-n regatta describe pod").arg(name).ok()?;
    let assigned = format!("Successfully assigned regatta/{name} to {node}");
    for part in ["Status:           Running", "Service Account:  default", "QoS Class:                   Burstable"] {
        ensure!(said.contains(part), "no {part:?} in\n{said}");
    }
    let (_, events) = said.split_once("Events:").context("no events are shown")?;
    for (reason, from, message) in [
        ("Scheduled", "default-scheduler", assigned.as_str()),
        ("Pulled", "kubelet", "Container image \"redis:7.0\" already present on machine"),
        ("Created", "kubelet", ""),
        ("Started", "kubelet", ""),
    ] {
        let line = events.lines().find(|line| line.split_whitespace().nth(1) == Some(reason));
        let line = line.with_context(|| format!("no {reason} in\n{events}"))?;
        ensure!(line.contains(from) && line.contains(message), "{line}");
    }
    Ok(())
}

/// The description of a field comes from the server's own document.
pub fn explain(cluster: &Cluster) -> Result<()> {
    let said = cluster.kubectl("explain pod.spec.containers").ok()?;
    for part in ["KIND:       Pod\nVERSION:    v1", "FIELD: containers <[]Container>", "  imagePullPolicy\t<string>"] {
        ensure!(said.contains(part), "no {part:?} in\n{said}");
    }
    ensure!(said.contains("name\t<string> -required-"), "the name is not shown as required:\n{said}");
    Ok(())
}
