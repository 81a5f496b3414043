//! Sets right what crashes, races and people have left wrong: addresses without an IPAddress, IPAddresses without a
//! service, ports that are taken but not noted, or noted but not taken.
//!
//! It looks every few minutes, and at once when something wrong is seen. All servers of a store do so.

mod addresses;
mod events;
mod ports;

use std::time::Duration;

use base::CancellationToken;
use machinery::Status;

use crate::ApiServer;
pub use events::Event;
use events::Events;

/// Between two looks when nothing seems wrong.
const INTERVAL: Duration = Duration::from_secs(180);

/// Repairs until `stop`.
pub async fn run(server: ApiServer, stop: CancellationToken) {
    let mut repair = Repair { events: Events::default(), leaks: ports::Leaks::default() };
    let mut interval_over = true;
    while !stop.is_cancelled() {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = repair.once(&server, interval_over) => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = server.server.allocator.wrong.notified() => interval_over = false,
            () = server.server.clock.sleep(INTERVAL) => interval_over = true,
        }
    }
}

/// What is remembered from one look to the next.
struct Repair {
    events: Events,
    leaks: ports::Leaks,
}

impl Repair {
    /// Ports are looked at only when their time has come: a port is leaked when several looks in a row say so.
    async fn once(&mut self, server: &ApiServer, with_ports: bool) {
        let metrics = &server.server.allocator.metrics;
        if let Err(status) = addresses::repair(server, &mut self.events).await {
            metrics.addresses_not_repaired();
            complain("addresses", &status);
        }
        if !with_ports {
            return;
        }
        if let Err(status) = ports::repair(server, &mut self.events, &mut self.leaks).await {
            metrics.ports_not_repaired();
            complain("node ports", &status);
        }
    }
}

fn complain(what: &str, status: &Status) {
    tracing::warn!(error = status.message, "the {what} of services were not repaired");
}
