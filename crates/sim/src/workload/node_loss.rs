//! Nodes that fall silent: their pods run elsewhere five minutes later; one node comes back, another is given up.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use machinery::{Value, value};

use super::{Workload, pause};
use crate::checker::{BoundOnce, Checker, Objects, under};
use crate::cluster::Cluster;
use crate::faults::Rates;
use crate::objects::is_available;

pub const WORKLOAD: Workload = Workload { name: "node-loss", nodes: 6, checkers, run };

const REPLICAS: usize = 12;
/// The grace of a silent node, the tolerance of its pods (KEP-166), and what evicting and starting anew takes.
const MOVED_AFTER: Duration = Duration::from_secs(50 + 300 + 240);
const LONGEST_PAUSE_SECONDS: usize = 90;

fn checkers(_: Rates) -> Vec<Box<dyn Checker>> {
    vec![Box::new(BoundOnce)]
}

fn run(cluster: &mut Cluster) -> BoxFuture<'_, Result<(), String>> {
    async {
        cluster.create::<Deployment>("default", deployment()).await?;
        cluster.wait(pause(cluster, LONGEST_PAUSE_SECONDS)).await?;
        let (back, gone) = (draw(cluster), draw(cluster));
        cluster.lose_node(&back);
        cluster.wait(pause(cluster, LONGEST_PAUSE_SECONDS)).await?;
        cluster.lose_node(&gone);
        cluster.wait(MOVED_AFTER).await?;
        let lost = [back.as_str(), gone.as_str()];
        let elsewhere = cluster.history.ask(|all| available_off(all, &lost));
        if elsewhere != REPLICAS {
            let now = cluster.now();
            return Err(format!("{now}: {elsewhere} of {REPLICAS} pods run off the lost nodes {back} and {gone}"));
        }
        cluster.start_node(&back);
        if gone != back {
            let deleted = cluster.client.delete::<Node>("", &gone, &Default::default()).await;
            deleted.map_err(|error| format!("deleting the node {gone}: {error}"))?;
        }
        Ok(())
    }
    .boxed()
}

fn draw(cluster: &Cluster) -> String {
    let nodes: Vec<&str> = cluster.nodes().collect();
    nodes[cluster.house.random.below(nodes.len())].to_owned()
}

fn available_off(all: &Objects, lost: &[&str]) -> usize {
    let pods = under(all, "/registry/pods/default/").filter(|(_, pod)| is_available(pod));
    pods.filter(|(_, pod)| !pod.str_at(&["spec", "nodeName"]).is_some_and(|node| lost.contains(&node))).count()
}

fn deployment() -> Value {
    value!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": (REPLICAS as i64),
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [
                    {"name": "web", "image": "web:0", "resources": {"requests": {"cpu": "250m"}}}
                ]}
            }
        }
    })
}
