//! Forgets the store's history, some minutes behind the present.

use std::sync::Arc;

use base::CancellationToken;

use crate::server::Server;

/// Compacts every interval up to where the store was one interval before, so that a list under way can finish.
pub async fn run(server: Arc<Server>, stop: CancellationToken) {
    let mut before = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = server.clock.sleep(server.options.compaction_interval) => {}
        }
        if let Some(revision) = before.take()
            && let Err(error) = server.store.compact(revision).await
        {
            tracing::warn!(%error, "the store's history was not compacted");
        }
        before = server.store.revision().await.ok();
    }
}
