//! Deployments that get new images and new sizes, often before the last change is through; a service before one of them.

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use machinery::{Value, value};

use super::{Workload, pause};
use crate::checker::{BoundOnce, Checker, Rolling};
use crate::cluster::Cluster;
use crate::faults::Rates;

pub const WORKLOAD: Workload = Workload { name: "rolling-update", nodes: 5, checkers, run };

const NAMES: [&str; 2] = ["web", "api"];
const STEPS: usize = 8;
const MOST_REPLICAS: usize = 9;
const LONGEST_PAUSE_SECONDS: usize = 40;

fn checkers(_: Rates) -> Vec<Box<dyn Checker>> {
    vec![Box::new(BoundOnce), Box::new(Rolling::default())]
}

fn run(cluster: &mut Cluster) -> BoxFuture<'_, Result<(), String>> {
    async {
        cluster.create::<Service>("default", service("web")).await?;
        for name in NAMES {
            cluster.create::<Deployment>("default", deployment(cluster, name)).await?;
        }
        for step in 0..STEPS {
            cluster.wait(pause(cluster, LONGEST_PAUSE_SECONDS)).await?;
            let name = NAMES[cluster.house.random.below(NAMES.len())];
            cluster.change::<Deployment>("default", name, change(cluster, name, step)).await?;
        }
        Ok(())
    }
    .boxed()
}

/// A new image, a new size, or both.
fn change(cluster: &Cluster, name: &str, step: usize) -> Value {
    let random = &cluster.house.random;
    let (what, mut patch) = (random.below(3), value!({}));
    if what != 0 {
        patch.set_at(&["spec", "replicas"], random.below(MOST_REPLICAS + 1) as i64);
    }
    if what != 1 {
        // Sometimes an old image comes back, which is a rollback.
        let image = format!("web:{}", if random.below(4) == 0 { 0 } else { step + 1 });
        patch.set_at(&["spec", "template", "spec", "containers"], value!([{"name": name, "image": image}]));
    }
    patch
}

fn deployment(cluster: &Cluster, name: &str) -> Value {
    let random = &cluster.house.random;
    let share = || match random.below(3) {
        0 => Value::from("25%"),
        1 => Value::from("50%"),
        _ => Value::from(1 + random.below(3) as i64),
    };
    value!({
        "metadata": {"name": name},
        "spec": {
            "replicas": (1 + random.below(MOST_REPLICAS) as i64),
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": (share()), "maxUnavailable": (share())}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [
                    {"name": name, "image": "web:0", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}}
                ]}
            }
        }
    })
}

fn service(name: &str) -> Value {
    value!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})
}
