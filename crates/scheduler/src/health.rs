//! Whether the scheduler works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use client::serving::Check;

/// What the scheduler says of itself.
#[derive(Default)]
pub struct Health {
    ready: AtomicBool,
}

impl Health {
    /// The scheduler works, or waits for its turn to.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// The check that `/readyz` asks for.
    #[must_use]
    pub fn check(self: &Arc<Self>) -> Check {
        let health = self.clone();
        let failure =
            move || (!health.ready.load(Ordering::Acquire)).then(|| "waiting for handlers to sync".to_owned());
        Check { name: "sched-handler-sync", roots: &["/readyz"], failure: Box::new(failure) }
    }
}
