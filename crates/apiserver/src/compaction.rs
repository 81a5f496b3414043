//! Forgets the store's history, some minutes behind the present.

use std::sync::Arc;

use base::CancellationToken;
use store::Turn;

use crate::server::Server;

/// Takes a turn every interval: what was overwritten before the last one is forgotten, so that a list under way can
/// finish. Servers in front of one store share the turns.
pub async fn run(server: Arc<Server>, stop: CancellationToken) {
    let mut last = Turn::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = server.clock.sleep(server.options.compaction_interval) => {}
        }
        match server.store.compact_in_turn(last).await {
            Ok(turn) => last = turn,
            Err(error) => tracing::warn!(%error, "the store's history was not compacted"),
        }
    }
}
