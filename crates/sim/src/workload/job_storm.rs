//! Many jobs at once, some of which fail, on nodes that do not hold all their pods at a time.

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use machinery::{Value, value};

use super::{Workload, pause};
use crate::checker::{BoundOnce, Checker, Parallelism};
use crate::cluster::Cluster;
use crate::faults::Rates;
use crate::node::{EXIT_CODE, RUNS_FOR};

pub const WORKLOAD: Workload = Workload { name: "job-storm", nodes: 3, checkers, run };

const JOBS: usize = 10;
const MOST_COMPLETIONS: usize = 5;
const LONGEST_RUN_SECONDS: usize = 40;
const LONGEST_PAUSE_SECONDS: usize = 8;

fn checkers(rates: Rates) -> Vec<Box<dyn Checker>> {
    vec![Box::new(BoundOnce), Box::new(Parallelism { answers_are_lost: rates.lost_answers > 0 })]
}

fn run(cluster: &mut Cluster) -> BoxFuture<'_, Result<(), String>> {
    async {
        for number in 0..JOBS {
            cluster.create::<Job>("default", job(cluster, number)).await?;
            cluster.wait(pause(cluster, LONGEST_PAUSE_SECONDS)).await?;
        }
        Ok(())
    }
    .boxed()
}

fn job(cluster: &Cluster, number: usize) -> Value {
    let random = &cluster.house.random;
    let (name, completions) = (format!("job-{number}"), 1 + random.below(MOST_COMPLETIONS));
    let exit_code = if random.below(4) == 0 { "1" } else { "0" };
    let mut spec = value!({
        "completions": (completions as i64),
        "parallelism": (1 + random.below(completions) as i64),
        "backoffLimit": (random.below(2) as i64),
        "completionMode": (if random.below(2) == 0 { "Indexed" } else { "NonIndexed" }),
        "template": {
            "metadata": {"annotations": {}},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "work", "image": "work:1", "resources": {"requests": {"cpu": "1"}}}]
            }
        }
    });
    let annotations = ["template", "metadata", "annotations"];
    let runs_for = (1 + random.below(LONGEST_RUN_SECONDS)).to_string();
    spec.set_at(&[annotations[0], annotations[1], annotations[2], RUNS_FOR], runs_for);
    spec.set_at(&[annotations[0], annotations[1], annotations[2], EXIT_CODE], exit_code);
    if random.below(3) == 0 {
        spec.set_at(&["ttlSecondsAfterFinished"], 30);
    }
    value!({"metadata": {"name": name}, "spec": spec})
}
