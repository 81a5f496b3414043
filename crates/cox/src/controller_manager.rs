//! `cox controller-manager`: the controllers alone, against any API server.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use client::leader::Watchdog;

use crate::{cluster, component, secure, signals};

const AGENT: &str = "kube-controller-manager";

/// Flags, named as kube-controller-manager's.
#[derive(clap::Args)]
pub struct Arguments {
    /// The kubeconfig with the API server and the credentials.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Where health and metrics are answered over HTTPS; 0 for nowhere.
    #[arg(long, default_value_t = 10257)]
    secure_port: u16,
    #[command(flatten)]
    secure: secure::Flags,
    /// Which controllers run: `*` for all, `name` for one, `-name` for all but one.
    #[arg(long, value_delimiter = ',', default_value = "*")]
    controllers: Vec<String>,
    /// The certificates that pods trust the API server by, published in every namespace.
    #[arg(long)]
    root_ca_file: Option<PathBuf>,
    /// The addresses of pods, of which every node gets a part.
    #[arg(long, value_delimiter = ',')]
    cluster_cidr: Vec<String>,
    /// Whether to elect a leader first.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    leader_elect: bool,
}

/// Runs the controllers until a signal comes.
///
/// # Errors
/// The kubeconfig cannot be read, a controller is not known, the lead was lost.
pub async fn run(arguments: Arguments) -> Result<()> {
    let context = component::context(AGENT, &arguments.kubeconfig, signals::cancelled_by_signals()?).await?;
    let root_ca = match &arguments.root_ca_file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
    };
    let identity = format!("{}_{}", cluster::host_name(), context.random.uuid());
    let watchdog = Watchdog::default();
    let checks = if arguments.leader_elect { vec![watchdog.check(&context.clock, &["/healthz"])] } else { Vec::new() };
    let options = controllers::Options {
        watchdog,
        controllers: arguments.controllers,
        root_ca,
        cluster_cidrs: arguments.cluster_cidr,
        leader_identity: arguments.leader_elect.then_some(identity),
        ..controllers::Options::default()
    };
    let port = arguments.secure_port;
    let mut tasks =
        secure::serve(&arguments.secure, AGENT, port, &context, checks, controllers::job::metrics::registry()).await?;
    let cancel = context.cancel.clone();
    let ended = controllers::run(context.client, options, context.clock, context.random, context.cancel).await;
    cancel.cancel();
    tasks.join_all().await;
    Ok(ended?)
}
