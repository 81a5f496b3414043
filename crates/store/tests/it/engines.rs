//! The engines under test, and what tests of any engine need.

use std::sync::Arc;

use base::Clock;
use futures::StreamExt;
use store::embedded::{self, Sizes};
use store::{Batch, Error, Event, Store, WatchStream, memory};

use crate::disk::SimDisk;
use crate::members::Members;

/// Small files, so that a test of a few writes seals segments and trims the log.
pub const SMALL: Sizes = Sizes { segment_bytes: 300, trim_bytes: 300, ahead_bytes: 256 };

/// Which engine.
#[derive(Clone)]
pub enum Engine {
    Memory,
    Embedded(SimDisk),
    Etcd(Arc<Members>),
}

impl Engine {
    /// Those that keep everything themselves, and can live in virtual time.
    pub fn own() -> [Self; 2] {
        [Self::Memory, Self::Embedded(SimDisk::default())]
    }

    /// A real etcd with one member.
    pub fn etcd() -> Self {
        Self::Etcd(Arc::new(Members::start(1)))
    }

    /// Opens it; an embedded one again with what it has on its disk.
    pub fn open(&self) -> Arc<dyn Store> {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        match self {
            Self::Memory => memory::open(clock),
            Self::Embedded(disk) => embedded::open_on(Arc::new(disk.clone()), SMALL, clock).unwrap(),
            Self::Etcd(members) => members.open(),
        }
    }
}

/// Runs `test` on every engine, empty.
pub async fn on_all(test: impl AsyncFn(Arc<dyn Store>)) {
    on(Engine::own().into_iter().chain([Engine::etcd()]), test).await;
}

/// Runs `test` on the engines that keep everything themselves.
pub async fn on_own(test: impl AsyncFn(Arc<dyn Store>)) {
    on(Engine::own(), test).await;
}

async fn on(engines: impl IntoIterator<Item = Engine>, test: impl AsyncFn(Arc<dyn Store>)) {
    for engine in engines {
        let store = engine.open();
        test(store.clone()).await;
        store.close().await;
    }
}

/// The next batch of a stream that has one.
pub async fn next(watch: &mut WatchStream) -> Result<Batch, Error> {
    watch.next().await.expect("the stream goes on")
}

/// An event as text: `5 put /a=x (was y)`.
pub fn show(event: &Event) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match event {
        Event::Put { entry, previous } => {
            let was = previous.as_ref().map(|previous| format!(" (was {})", text(&previous.value)));
            format!("{} put {}={}{}", entry.revision, entry.key, text(&entry.value), was.unwrap_or_default())
        }
        Event::Delete { revision, previous } => {
            format!("{revision} delete {} (was {})", previous.key, text(&previous.value))
        }
    }
}
