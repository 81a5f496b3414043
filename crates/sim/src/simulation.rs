//! One simulation: a seed, a workload, faults; then peace, in which the cluster must come to what was asked and rest.

use std::time::Duration;

use base::Random;

use crate::cluster::Cluster;
use crate::faults::Rates;
use crate::workload::{self, Workload};

/// Without faults the cluster comes to rest within this: controllers may back off for minutes.
const SETTLES_WITHIN: Duration = Duration::from_secs(30 * 60);
/// What is written after all has come true is written within this: events, counts, old revisions.
const WINDS_DOWN_WITHIN: Duration = Duration::from_secs(90);
/// Then nothing is written for so long.
const RESTS_FOR: Duration = Duration::from_secs(3 * 60);

/// What is to be simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// The workload's name; drawn from the seed without one.
    pub workload: Option<String>,
    /// Whether things go wrong.
    pub faults: bool,
    /// Whether every write is shown on standard output.
    pub print: bool,
}

/// How a simulation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The workload.
    pub workload: &'static str,
    /// How many writes there were.
    pub writes: u64,
    /// A hash over all of them.
    pub hash: u64,
    /// How long it took in there.
    pub seconds: i64,
    /// What was found wrong, as a sentence.
    pub complaint: Option<String>,
}

/// Runs a simulation on this thread.
///
/// # Errors
/// When there is no such workload, or the runtime cannot start.
pub fn simulate(plan: &Plan) -> Result<Outcome, String> {
    let workload = choose(plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("starting a runtime: {error}"))?;
    Ok(runtime.block_on(run(plan, workload)))
}

fn choose(plan: &Plan) -> Result<&'static Workload, String> {
    match &plan.workload {
        None => Ok(&workload::ALL[usize::try_from(plan.seed).unwrap_or_default() % workload::ALL.len()]),
        Some(name) => {
            let names = workload::ALL.iter().map(|workload| workload.name).collect::<Vec<_>>().join(", ");
            let found = workload::ALL.iter().find(|workload| workload.name == name);
            found.ok_or_else(|| format!("there is no workload {name:?}; there are {names}"))
        }
    }
}

async fn run(plan: &Plan, workload: &'static Workload) -> Outcome {
    let random = Random::seeded(plan.seed);
    let rates = if plan.faults { Rates::drawn(&random) } else { Rates::default() };
    let checkers = (workload.checkers)(rates);
    let mut cluster = match Cluster::start(random, workload.nodes, rates, checkers, plan.print).await {
        Ok(cluster) => cluster,
        Err(complaint) => {
            return Outcome { workload: workload.name, writes: 0, hash: 0, seconds: 0, complaint: Some(complaint) };
        }
    };
    let began = cluster.now();
    let complaint = course(&mut cluster, workload).await.err();
    let (writes, hash) = cluster.history.fingerprint();
    let seconds = cluster.now().duration_since(began).as_secs();
    cluster.stop().await;
    Outcome { workload: workload.name, writes, hash, seconds, complaint }
}

async fn course(cluster: &mut Cluster, workload: &Workload) -> Result<(), String> {
    (workload.run)(cluster).await?;
    cluster.house.faults.end();
    cluster.settle(SETTLES_WITHIN).await?;
    cluster.wait(WINDS_DOWN_WITHIN).await?;
    let rest = cluster.now();
    cluster.wait(RESTS_FOR).await?;
    if let Some((at, key)) = cluster.history.last_write().filter(|(at, _)| *at > rest) {
        return Err(format!("{at}: {key} was written, though all has come true before {rest}"));
    }
    cluster.settle(Duration::ZERO).await?;
    for mirror in &cluster.mirrors {
        mirror.compare(&cluster.client, &cluster.history).await?;
    }
    Ok(())
}
