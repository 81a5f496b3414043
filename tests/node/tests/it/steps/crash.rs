//! The server dies in the middle of its work.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::heal::processes;
use crate::cluster::Cluster;
use crate::kubectl::{DRILL, text};
use crate::{http, wait};

/// Clients that create objects at the same time.
const WRITERS: usize = 4;
/// So many objects are acknowledged before the server is killed.
const ENOUGH: usize = 300;

/// Every object that a client was told is there is there after the restart, and every container is the same process.
pub fn under_load(cluster: &Cluster) -> Result<()> {
    let settled = wait::until("nothing is about to change", || settled(cluster))?;
    let tasks = processes(cluster)?;
    let renewed = lease(cluster)?;
    let acknowledged = load_until_killed(cluster)?;
    cluster.launch()?;

    let kept: BTreeSet<String> = cluster
        .items(&format!("configmaps -n {DRILL}"))?
        .iter()
        .map(|object| text(object, "/metadata/name").to_owned())
        .collect();
    let lost: Vec<&String> = acknowledged.difference(&kept).collect();
    ensure!(lost.is_empty(), "{} of {} acknowledged objects are lost: {lost:?}", lost.len(), acknowledged.len());

    wait::until("the kubelet works again", || {
        ensure!(lease(cluster)? > renewed, "the node's lease is still of {renewed}");
        cluster.kubectl("wait --for=condition=Ready node --all --timeout=1s").ok()
    })?;
    ensure!(processes(cluster)? == tasks, "containers changed:\n{tasks:?}\n{:?}", processes(cluster)?);
    let after = wait::until("the pods are as before", || self::settled(cluster))?;
    ensure!(after == settled, "the API shows other containers:\n{settled:?}\n{after:?}");
    crate::steps::application::node_port(cluster)
}

/// Creates objects with several clients and kills the server among them; gives the names that were acknowledged.
fn load_until_killed(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let proxy = cluster.kubectl_beside("proxy --port=0").start()?;
    proxy.prints(&["Starting to serve on 127.0.0.1:"])?;
    let printed = proxy.printed();
    let address = printed.split_whitespace().last().context("no address")?;
    let (acknowledged, stop) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (acknowledged, stop) = (&acknowledged, &stop);
            scope.spawn(move || create_until(address, writer, acknowledged, stop));
        }
        let enough = wait::until("enough is written", || {
            let count = acknowledged.lock().unwrap().len();
            ensure!(count >= ENOUGH, "{count} of {ENOUGH}");
            Ok(())
        });
        let killed = cluster.kill();
        stop.store(true, Ordering::SeqCst);
        enough.and(killed)
    })?;
    Ok(acknowledged.into_inner().unwrap())
}

/// One client: object after object, noting those that were acknowledged.
fn create_until(address: &str, writer: usize, acknowledged: &Mutex<BTreeSet<String>>, stop: &AtomicBool) {
    let path = format!("/api/v1/namespaces/{DRILL}/configmaps");
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let name = format!("load-{writer}-{number}");
        let body = format!(r#"{{"metadata":{{"name":"{name}"}},"data":{{"number":"{number}"}}}}"#);
        if let Ok((201, _)) = http::ask(address, "POST", &path, &body) {
            acknowledged.lock().unwrap().insert(name);
        }
    }
}

/// Every container of every pod with its restarts, once no pod is being deleted and all that run are ready.
fn settled(cluster: &Cluster) -> Result<Vec<String>> {
    let mut containers = Vec::new();
    for pod in cluster.items("pods -A")? {
        let name = text(&pod, "/metadata/name");
        ensure!(pod["metadata"]["deletionTimestamp"].is_null(), "{name} is being deleted");
        for container in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
            let ended = !container["state"]["terminated"].is_null();
            ensure!(ended || container["ready"] == Value::Bool(true), "{name} is not ready");
            containers.push(format!("{name} {} {}", container["containerID"], container["restartCount"]));
        }
    }
    Ok(containers)
}

/// When the node last said that it lives.
fn lease(cluster: &Cluster) -> Result<String> {
    let lease = cluster.items("leases -n kube-node-lease")?;
    Ok(text(lease.first().context("no lease")?, "/spec/renewTime").to_owned())
}
