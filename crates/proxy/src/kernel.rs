//! Carries transactions out: through `nft` when chains or sets change, by netlink when only elements do.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::batch::batch;
use crate::conntrack::{self, Doors};
use crate::diff::Transaction;
use crate::netlink::Socket;
use crate::ruleset::Family;

/// A plain transaction with more elements goes through `nft`: the kernel takes a batch as one message.
const MAX_BATCH_ELEMENTS: usize = 50_000;

/// Why the kernel does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// `nft` is not there or cannot be started.
    #[error("cannot run nft, which must be installed (package nftables): {0}")]
    Start(io::Error),
    /// `nft` refused the transaction.
    #[error("nft refused the rules: {0}")]
    Refused(String),
    /// The kernel refused a batch of elements.
    #[error("the kernel refused a change of map elements: {0}")]
    Batch(io::Error),
    /// Connections could not be listed or forgotten.
    #[error("cannot clean up connections: {0}")]
    Conntrack(io::Error),
}

/// Makes the kernel hold what the transaction says, at once or not at all.
///
/// # Errors
/// When it does not; the kernel then holds what it held before.
pub async fn apply(transaction: &Transaction) -> Result<(), KernelError> {
    if transaction.is_empty() {
        return Ok(());
    }
    let elements = transaction.delete_elements.len() + transaction.add_elements.len();
    if transaction.is_plain() && elements <= MAX_BATCH_ELEMENTS {
        let socket = Socket::open().map_err(KernelError::Batch)?;
        return socket.send(&batch(transaction)).map_err(KernelError::Batch);
    }
    nft(&transaction.to_string()).await
}

/// Makes the kernel forget UDP connections that lead through these doors to endpoints that are gone.
///
/// # Errors
/// When connections cannot be listed.
pub fn forget_connections(doors: &Doors) -> Result<u32, KernelError> {
    if doors.is_empty() {
        return Ok(0);
    }
    let socket = Socket::open().map_err(KernelError::Conntrack)?;
    conntrack::forget(&socket, doors).map_err(KernelError::Conntrack)
}

/// Takes everything out of the kernel that the proxy ever put in (`--cleanup`).
///
/// # Errors
/// When `nft` fails; tables that are not there are no error.
pub async fn cleanup() -> Result<(), KernelError> {
    apply(&Transaction { remove: vec![Family::V4, Family::V6], ..Transaction::default() }).await
}

async fn nft(script: &str) -> Result<(), KernelError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(KernelError::Start)?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // An nft that stops reading says why on stderr; a broken pipe is not the news.
    let _ = stdin.write_all(script.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(KernelError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    Err(KernelError::Refused(String::from_utf8_lossy(&output.stderr).lines().take(3).collect::<Vec<_>>().join("; ")))
}
