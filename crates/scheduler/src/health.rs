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
        let passes = move || health.ready.load(Ordering::Acquire);
        Check { name: "sched-handler-sync", only_ready: true, passes: Box::new(passes) }
    }
}
