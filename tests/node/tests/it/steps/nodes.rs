//! What `kubectl get` shows of the cluster.

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::{manifests, wait};

/// The node is ready, with its address, system and runtime; the tests' namespace is made.
pub fn shown(cluster: &Cluster) -> Result<()> {
    let table = cluster.kubectl("get nodes -o wide").ok()?;
    let lines: Vec<&str> = table.lines().collect();
    let columns: Vec<&str> = lines.first().copied().unwrap_or_default().split("  ").map(str::trim).collect();
    let columns: Vec<&str> = columns.into_iter().filter(|column| !column.is_empty()).collect();
    let expected = [
        "NAME",
        "STATUS",
        "ROLES",
        "AGE",
        "VERSION",
        "INTERNAL-IP",
        "EXTERNAL-IP",
        "OS-IMAGE",
        "KERNEL-VERSION",
        "CONTAINER-RUNTIME",
    ];
    ensure!(columns == expected, "other columns:\n{table}");
    ensure!(lines.len() == 2, "not one node:\n{table}");
    for part in [" Ready ", " v1.36.", &cluster.node_address()?, "containerd://"] {
        ensure!(lines[1].contains(part), "no {part:?} in\n{table}");
    }
    ensure!(cluster.apply(&manifests::namespace())? == "namespace/drill created\n", "apply says something else");
    Ok(())
}

/// Several kinds over all namespaces in one command.
pub fn everything(cluster: &Cluster) -> Result<()> {
    let table = cluster.kubectl("get nodes,pods,svc,deploy -A -o wide").ok()?;
    for part in ["node/", "pod/web-", "service/kubernetes", "service/kube-dns", "deployment.apps/api", "80:30080/TCP"] {
        ensure!(table.contains(part), "no {part:?} in\n{table}");
    }
    Ok(())
}

/// What somebody else writes into the node's status is put right at once, and a deleted node comes back.
pub fn put_right(cluster: &Cluster) -> Result<()> {
    let name = cluster.items("nodes")?.pop().context("no node")?["metadata"]["name"].clone();
    let name = name.as_str().context("a node without a name")?;
    let untrue = r#"{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"Rumour"}]}}"#;
    cluster.kubectl(&format!("patch node {name} --subresource=status -p")).arg(untrue).ok()?;
    let ready = || cluster.kubectl(&format!("wait --for=condition=Ready node/{name} --timeout=1s")).ok();
    wait::until("the node is ready again", ready)?;
    cluster.kubectl(&format!("delete node {name}")).ok()?;
    wait::until("the node is back and ready", ready)?;
    wait::until("its lease belongs to the new node", || {
        let uid = cluster.json(&format!("node {name}"))?["metadata"]["uid"].clone();
        let lease = cluster.json(&format!("lease -n kube-node-lease {name}"))?;
        ensure!(lease["metadata"]["ownerReferences"][0]["uid"] == uid, "{}", lease["metadata"]);
        Ok(())
    })?;
    wait::until("it takes pods again", || {
        let node = cluster.json(&format!("node {name}"))?;
        ensure!(node["spec"]["taints"].is_null(), "{}", node["spec"]["taints"]);
        Ok(())
    })
}
