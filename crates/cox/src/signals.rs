//! Ending when asked to: SIGTERM and SIGINT.

use anyhow::{Context, Result};
use base::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

/// A token that is cancelled by the first SIGTERM or SIGINT. The second one ends the process at once, with code 1.
///
/// # Errors
/// When the process cannot listen for signals.
pub fn cancelled_by_signals() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    // The task ends with the process.
    drop(base::spawn("signals", async move {
        let mut next = async || tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () };
        next().await;
        token.cancel();
        next().await;
        std::process::exit(1);
    }));
    Ok(cancel)
}
