//! What is counted of every component of this process, under the names of upstream's client library: work queues,
//! leases, requests to API servers, the process itself.

mod queues;
mod requests;

use std::sync::LazyLock;

use base::metrics::{Family, Gauges, Registry, alpha, with_process};

pub(crate) use queues::{OfQueue, Working, since};
pub(crate) use requests::{Answered, OfHost};

/// One for the process, as in upstream: queues and leases have names of their own.
static ALL: LazyLock<All> = LazyLock::new(All::new);

struct All {
    registry: Registry,
    queues: queues::Families,
    requests: requests::Families,
    leads: Gauges,
}

impl All {
    fn new() -> Self {
        let registry = Registry::new();
        Self {
            queues: queues::Families::new(&registry),
            requests: requests::Families::new(&registry),
            leads: registry.gauges(
                alpha("leader_election_master_status", "Whether this process leads, by the lease's name."),
                &["name"],
            ),
            registry,
        }
    }
}

/// Whether this process holds the lease of this name.
pub(crate) fn leads(lease: &str, leads: bool) {
    ALL.leads.with(&[lease]).set_count(usize::from(leads));
}

/// What all components share, and what the component itself counts, in `own`.
#[must_use]
pub fn gather(own: Vec<Family>) -> Vec<Family> {
    ALL.queues.look();
    let mut families = own;
    families.extend(ALL.registry.gather());
    with_process(families, machinery::release::build_info())
}

/// Counts begin anew, as a DELETE of `/metrics` asks.
pub fn reset() {
    ALL.registry.reset();
}
