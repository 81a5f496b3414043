//! Tasks with a name and an owner who joins them.

use std::future::Future;

use tokio::task::{JoinHandle, JoinSet};
use tracing::Instrument;

/// Starts `work` as a task called `name`; the caller keeps the handle and joins it.
pub fn spawn<T: Send + 'static>(name: &'static str, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work.instrument(tracing::debug_span!("task", name)))
}

/// A component's tasks. Dropping the set ends them all.
#[derive(Debug, Default)]
pub struct Tasks(JoinSet<()>);

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts `work` as a task called `name`. Finished tasks are reaped on the way, so a long-lived set stays small.
    pub fn spawn(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        while let Some(done) = self.0.try_join_next() {
            report(done);
        }
        self.0.spawn(work.instrument(tracing::debug_span!("task", name)));
    }

    /// How many have not ended yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until one task ends; `false` when there is none.
    pub async fn join_next(&mut self) -> bool {
        let Some(done) = self.0.join_next().await else { return false };
        report(done);
        true
    }

    /// Waits until all have ended. A task that panicked is logged, not spread.
    pub async fn join_all(&mut self) {
        while self.join_next().await {}
    }
}

fn report(done: Result<(), tokio::task::JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        tracing::error!(%error, "a task panicked");
    }
}
