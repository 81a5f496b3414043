//! The container runtime hangs, or dies.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::heal::processes;
use crate::cluster::Cluster;
use crate::kubectl::text;
use crate::program::Line;
use crate::wait;

/// The node says why it is not ready, and is ready again once the runtime goes on.
pub fn hangs(cluster: &Cluster) -> Result<()> {
    let stopped = Stopped::stop(&cluster.containerd_process()?)?;
    let down = wait::until("the node is not ready", || {
        let ready = ready_condition(cluster)?;
        ensure!(ready["status"] == "False", "{ready}");
        Ok(ready)
    })?;
    ensure!(text(&down, "/reason") == "KubeletNotReady", "{down}");
    ensure!(text(&down, "/message").contains("container runtime is down"), "{down}");
    let tainted = wait::until("the node is tainted", || {
        let node = cluster.items("nodes")?.pop().context("no node")?;
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        ensure!(taints.iter().any(|taint| taint["key"] == "node.kubernetes.io/not-ready"), "{taints:?}");
        Ok(())
    });
    drop(stopped);
    tainted?;
    ready_again(cluster)
}

/// It is started again, the containers never noticed, and new pods start.
pub fn dies(cluster: &Cluster) -> Result<()> {
    let tasks = processes(cluster)?;
    let before = cluster.containerd_process()?;
    Line::new("kill").arg("-9").arg(&before).ok()?;
    wait::until("another containerd answers", || {
        let now = cluster.containerd_process()?;
        ensure!(now != before, "still process {now}");
        cluster.ctr("version").ok()
    })?;
    ready_again(cluster)?;
    ensure!(processes(cluster)? == tasks, "containers changed:\n{tasks:?}\n{:?}", processes(cluster)?);
    cluster.apply(&crate::manifests::long_pod("after-the-runtime", "while true; do sleep 1; done"))?;
    cluster.ready_pod("after-the-runtime").map(drop)
}

fn ready_again(cluster: &Cluster) -> Result<()> {
    wait::until("the node is ready again and takes pods", || {
        let node = cluster.items("nodes")?.pop().context("no node")?;
        ensure!(node["spec"]["taints"].is_null(), "{}", node["spec"]["taints"]);
        let ready = ready_condition(cluster)?;
        ensure!(ready["status"] == "True", "{ready}");
        Ok(())
    })
}

fn ready_condition(cluster: &Cluster) -> Result<Value> {
    let node = cluster.items("nodes")?.pop().context("no node")?;
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "Ready").context("no Ready condition")
}

/// A process that stands still until this is dropped.
struct Stopped(String);

impl Stopped {
    fn stop(process: &str) -> Result<Self> {
        Line::new("kill").arg("-STOP").arg(process).ok()?;
        Ok(Self(process.to_owned()))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Err(error) = Line::new("kill").arg("-CONT").arg(&self.0).ok() {
            eprintln!("process {} does not go on: {error:#}", self.0);
        }
    }
}
