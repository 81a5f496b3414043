//! The life of a component: a runtime, a context, and an end when the process is asked to end.

use std::future::Future;
use std::path::Path;

use anyhow::{Context as _, Result};
use base::{CancellationToken, Clock, Random};
use client::{Client, Context};

use crate::logging;

/// Runs `work` on a runtime of its own until it ends.
///
/// # Errors
/// Those of `work`.
pub fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    logging::start();
    // One provider of cryptography for the whole process; a second installation would be a mistake of ours.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("the cryptography provider was installed before");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?.block_on(work)
}

/// What a component called `agent` that talks to an API server elsewhere lives in.
///
/// # Errors
/// When the kubeconfig cannot be read.
pub async fn context(agent: &'static str, kubeconfig: &Path, cancel: CancellationToken) -> Result<Context> {
    let client = Client::from_kubeconfig(kubeconfig)
        .await
        .with_context(|| format!("reading the kubeconfig {}", kubeconfig.display()))?
        .named(agent);
    Ok(Context { client, clock: Clock::system(), random: Random::system(), cancel })
}
