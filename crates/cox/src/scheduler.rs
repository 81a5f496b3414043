//! `cox scheduler`: the scheduler alone, against any API server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base::CancellationToken;
use client::Context;
use client::leader::{Candidate, Timing, Watchdog, lead_timed};
use client::serving::Check;
use scheduler::config::{LeaderElection, Settings, duration};
use scheduler::health::Health;
use scheduler::metrics::Metrics;

use crate::{cluster, component, secure, signals};

const AGENT: &str = "kube-scheduler";

/// Flags, named as kube-scheduler's.
#[derive(clap::Args)]
pub struct Arguments {
    /// The kubeconfig with the API server and the credentials.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1).
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where health and metrics are answered over HTTPS; 0 for nowhere.
    #[arg(long, default_value_t = 10259)]
    secure_port: u16,
    #[command(flatten)]
    secure: secure::Flags,
    /// Whether of several instances only one works.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// A leader that did not renew for so long has lost the lead.
    #[arg(long, value_parser = duration)]
    leader_elect_lease_duration: Option<Duration>,
    /// A leader that cannot renew for so long gives up.
    #[arg(long, value_parser = duration)]
    leader_elect_renew_deadline: Option<Duration>,
    /// Between attempts to take or renew the lease.
    #[arg(long, value_parser = duration)]
    leader_elect_retry_period: Option<Duration>,
    /// What is locked.
    #[arg(long, value_parser = ["leases"])]
    leader_elect_resource_lock: Option<String>,
    /// The lease's name.
    #[arg(long)]
    leader_elect_resource_name: Option<String>,
    /// The lease's namespace.
    #[arg(long)]
    leader_elect_resource_namespace: Option<String>,
    /// A rejected pod is tried again after so long whatever happens.
    #[arg(long, value_parser = duration)]
    pod_max_in_unschedulable_pods_duration: Option<Duration>,
}

/// Places pods until a signal comes.
///
/// # Errors
/// When a flag or file is wrong, a port is taken, or the lead is lost.
pub async fn run(arguments: Arguments) -> Result<()> {
    let settings = settings(&arguments)?;
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let cancel = signals::cancelled_by_signals()?;
    let from_file = settings.kubeconfig.as_ref().map(PathBuf::from);
    let Some(kubeconfig) = from_file.or_else(|| arguments.kubeconfig.clone()) else {
        bail!("--kubeconfig, or clientConnection.kubeconfig in the file of --config, is needed");
    };
    let context = component::context(AGENT, &kubeconfig, cancel).await?;
    let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::default()));
    let watchdog = Watchdog::default();
    let mut checks = Vec::new();
    if settings.leader_election.enabled {
        checks.push(watchdog.check(&context.clock, &["/healthz", "/readyz"]));
    }
    checks.extend([shutdown(&context), health.check()]);
    let port = arguments.secure_port;
    let mut tasks = secure::serve(&arguments.secure, AGENT, port, &context, checks, metrics.registry()).await?;
    let ended = work(&context, settings, watchdog, metrics, &health).await;
    context.cancel.cancel();
    tasks.join_all().await;
    if ended { Ok(()) } else { bail!("leaderelection lost") }
}

/// Whether it is not about to end.
fn shutdown(context: &Context) -> Check {
    let cancel = context.cancel.clone();
    let failure = move || cancel.is_cancelled().then(|| "process is shutting down".to_owned());
    Check { name: "shutdown", roots: &["/readyz"], failure: Box::new(failure) }
}

/// Schedules, when it is this instance's turn; whether that ended because it was asked to.
async fn work(
    context: &Context,
    settings: Settings,
    watchdog: Watchdog,
    metrics: Arc<Metrics>,
    health: &Health,
) -> bool {
    let election = settings.leader_election.clone();
    if !election.enabled {
        scheduler::run_observed(context.clone(), settings, metrics, health).await;
        return true;
    }
    // Who waits for the lead is well.
    health.set_ready();
    let LeaderElection { lease_duration, renew_deadline, retry_period, namespace, name, .. } = election;
    let identity = format!("{}_{}", cluster::host_name(), context.random.uuid());
    let candidate = Candidate { namespace, name, identity, watchdog };
    let timing = Timing { lease_duration, renew_deadline, retry_period };
    lead_timed(context, &candidate, timing, |cancel: CancellationToken| {
        let context = Context { cancel, ..context.clone() };
        scheduler::run_observed(context, settings, metrics, health)
    })
    .await
}

fn settings(arguments: &Arguments) -> Result<Settings> {
    let mut settings = match &arguments.config {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            Settings::parse(&text).with_context(|| format!("reading the configuration {}", path.display()))?
        }
        None => Settings::default(),
    };
    let election = &mut settings.leader_election;
    let set = |target: &mut Duration, given: Option<Duration>| *target = given.unwrap_or(*target);
    set(&mut election.lease_duration, arguments.leader_elect_lease_duration);
    set(&mut election.renew_deadline, arguments.leader_elect_renew_deadline);
    set(&mut election.retry_period, arguments.leader_elect_retry_period);
    set(&mut settings.longest_rejection, arguments.pod_max_in_unschedulable_pods_duration);
    let election = &mut settings.leader_election;
    election.enabled = arguments.leader_elect.unwrap_or(election.enabled);
    election.name = arguments.leader_elect_resource_name.clone().unwrap_or(election.name.clone());
    election.namespace = arguments.leader_elect_resource_namespace.clone().unwrap_or(election.namespace.clone());
    election.check()?;
    Ok(settings)
}
