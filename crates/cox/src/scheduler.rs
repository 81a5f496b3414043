//! `cox scheduler`: the scheduler alone, against any API server.

use std::path::PathBuf;

use anyhow::Result;
use scheduler::config::Profile;

use crate::component;
use crate::signals;

/// Flags, named as kube-scheduler's.
#[derive(clap::Args)]
pub struct Arguments {
    /// The kubeconfig with the API server and the credentials.
    #[arg(long)]
    kubeconfig: PathBuf,
}

/// Places pods until a signal comes.
///
/// # Errors
/// When the kubeconfig cannot be read.
pub async fn run(arguments: Arguments) -> Result<()> {
    let context = component::context("kube-scheduler", &arguments.kubeconfig, signals::cancelled_by_signals()?).await?;
    scheduler::run(context, Profile::default()).await;
    Ok(())
}
