//! The engine without a disk: for simulations and tests. What it holds ends with the process.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Clock, Tasks};

use crate::index::Index;
use crate::plan::{Request, plan};
use crate::shared::Shared;
use crate::{Change, Entry, Error, Expect, Range, RangeResult, Revision, Store, WatchStream, expiry};

/// An empty store whose entries expire by `clock`. Call it inside the runtime.
#[must_use]
pub fn open(clock: Clock) -> Arc<dyn Store> {
    let shared = Shared::new(Index::new());
    let mut tasks = Tasks::new();
    tasks.spawn("store expiry", expire(shared.clone(), clock.clone()));
    Arc::new(Memory { shared, clock, _expiry: tasks })
}

struct Memory {
    shared: Arc<Shared>,
    clock: Clock,
    _expiry: Tasks,
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        self.shared.get(key, at)
    }

    async fn range(&self, range: Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        self.shared.range(&range, at)
    }

    async fn write(&self, key: &str, expect: Expect, change: Change) -> Result<Revision, Error> {
        write(&self.shared, Request::new(key, expect, change, self.clock.now())?)
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<WatchStream, Error> {
        self.shared.watch(prefix, after)
    }

    async fn request_progress(&self, prefix: &str) -> Result<(), Error> {
        self.shared.request_progress(prefix)
    }

    async fn compact(&self, at: Revision) -> Result<(), Error> {
        self.shared.check_happened(at)?;
        self.shared.compact(at);
        Ok(())
    }

    async fn revision(&self) -> Result<Revision, Error> {
        self.shared.revision()
    }

    async fn close(&self) {
        self.shared.close();
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.shared.close();
    }
}

fn write(shared: &Shared, request: Request) -> Result<Revision, Error> {
    let revision = shared.decide(|index| {
        let previous = index.current(&request.key);
        let record = plan(request, previous.as_ref(), index.revision().next())?;
        let revision = record.as_ref().map_or(index.revision(), |record| record.revision);
        Ok((record, revision))
    })?;
    if let Some(at) = shared.history_overflow() {
        shared.compact(at);
    }
    Ok(revision)
}

async fn expire(shared: Arc<Shared>, clock: Clock) {
    let delete = |key, revision| std::future::ready(write(&shared, Request::expire(key, revision)).map(drop));
    expiry::run(shared.clone(), clock.clone(), delete).await;
}
