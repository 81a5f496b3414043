//! A component that runs, crashes between two of its writes and is started anew, as a process is.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, User};
use base::{CancellationToken, Clock, Random};
use client::{Client, Context};
use futures::future::BoxFuture;

use crate::faults::Faults;
use crate::wire::{Fuse, Wire};

/// A crashed component is back within this time.
const RESTART_LIMIT_MS: usize = 10_000;

/// Where a component runs.
#[derive(Clone)]
pub struct House {
    /// The API server.
    pub server: ApiServer,
    /// What goes wrong between it and the component.
    pub faults: Arc<Faults>,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
}

/// A component to be run.
pub struct Component {
    /// Its name in the logs.
    pub name: &'static str,
    /// Who it is to the API server.
    pub user: User,
    /// Starts it; it works until its context is cancelled.
    pub start: Box<dyn Fn(Context) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl House {
    /// A context of one start.
    #[must_use]
    pub fn context(&self, user: User, fuse: Arc<Fuse>) -> Context {
        let (server, faults, clock) = (self.server.clone(), self.faults.clone(), self.clock.clone());
        let client = Client::in_process(Wire { server, faults, clock: clock.clone(), fuse }, user);
        Context { client, clock, random: Random::seeded(self.random.u64()), cancel: CancellationToken::new() }
    }

    /// Runs `component` until `stop`, again and again when it crashes.
    pub async fn run(self, component: Component, stop: CancellationToken) {
        loop {
            let fuse = Arc::new(Fuse::new(&self.faults));
            let context = self.context(component.user.clone(), fuse.clone());
            let cancel = context.cancel.clone();
            let mut work = base::spawn(component.name, (component.start)(context));
            let crashed = tokio::select! {
                biased;
                () = stop.cancelled() => false,
                () = fuse.blown.cancelled() => true,
                _ = &mut work => true,
            };
            // As `kill -9` does: nothing that it meant to do is done.
            work.abort();
            fuse.blown.cancel();
            cancel.cancel();
            if !crashed {
                return;
            }
            tracing::debug!(component = component.name, "a component crashed");
            self.clock.sleep(Duration::from_millis(self.random.below(RESTART_LIMIT_MS) as u64)).await;
        }
    }
}
