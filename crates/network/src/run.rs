//! The network's life: learn the pod range, then keep the host as the plan says.

use std::time::Duration;

use base::{Backoff, CancellationToken, Clock, Random, Tasks};
use client::{Client, Context, Informer, InformerOptions};
use k8s_openapi::api::core::v1::{Node, Pod};

use crate::Options;
use crate::cni::find_plugins;
use crate::desired::{View, plan};
use crate::host::{Host, NetworkError};

/// Between attempts after the host refused.
const RETRY: Backoff = Backoff { first: Duration::from_millis(200), limit: Duration::from_secs(30), jitter: 0.1 };

/// Keeps pods of this node networked until cancelled. Everything stays when it ends, so that pods keep their network;
/// [`crate::remove`] takes it back.
///
/// # Errors
/// When plugins or programs are missing.
pub async fn run(
    client: Client,
    options: Options,
    clock: Clock,
    random: Random,
    cancel: CancellationToken,
) -> Result<(), NetworkError> {
    find_plugins(&options.plugin_dirs)?;
    let context = Context { client, clock: clock.clone(), random: random.clone(), cancel: cancel.clone() };
    let (nodes, pods, mut tasks) = (Informer::<Node>::new(), Informer::<Pod>::new(), Tasks::new());
    let here = format!("spec.nodeName={}", options.node_name);
    let of_node = InformerOptions { field_selector: here, transform: Some(trim_pod), ..InformerOptions::default() };
    let all_nodes = InformerOptions { transform: Some(trim_node), ..InformerOptions::default() };
    tasks.spawn("nodes", nodes.clone().run(context.clone(), all_nodes));
    tasks.spawn("pods", pods.clone().run(context, of_node));
    let ended = cancel.run_until_cancelled(keep(&options, &nodes, &pods, &clock, &random)).await;
    if ended.is_none() {
        tasks.join_all().await;
    }
    ended.unwrap_or(Ok(()))
}

async fn keep(
    options: &Options,
    nodes: &Informer<Node>,
    pods: &Informer<Pod>,
    clock: &Clock,
    random: &Random,
) -> Result<(), NetworkError> {
    let (node_changes, pod_changes) = (nodes.changes(), pods.changes());
    tokio::join!(nodes.synced(), pods.synced());
    let mut host = Host::new(&options.conf_dir, &options.state_dir);
    let mut failures = 0;
    loop {
        let (node_list, pod_list) = (nodes.list(), pods.list());
        let view = View::new(options, node_list.iter().map(|node| &**node), pod_list.iter().map(|pod| &**pod));
        match host.make(plan(&view, options)).await {
            Ok(()) => failures = 0,
            Err(error @ NetworkError::Start { .. }) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "the pod network could not be set up; trying again");
                failures += 1;
            }
        }
        tokio::select! {
            _ = node_changes.next() => {}
            _ = pod_changes.next() => {}
            () = clock.sleep(RETRY.delay(failures, random)), if failures > 0 => {}
        }
    }
}

/// Keeps of a node what routes need.
fn trim_node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.images = None;
        status.conditions = None;
    }
}

/// Keeps of a pod what host ports need.
fn trim_pod(pod: &mut Pod) {
    pod.metadata.annotations = None;
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            (container.env, container.volume_mounts) = (None, None);
        }
    }
}
