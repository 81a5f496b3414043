//! How components ask: transport, informers with indexes, work queues, the driver, events, leader election.
//!
//! A component gets a [`Client`] (in process or HTTPS, it cannot tell) and reads through [`Informers`]. Controllers are
//! data for the [`driver`]: a pure plan over a [`View`], carried out as [`Action`]s.

mod action;
mod api;
mod cache;
mod changes;
mod correlator;
pub mod driver;
mod error;
mod informer;
mod informers;
pub mod leader;
pub mod metrics;
mod options;
mod queue;
mod recorder;
mod resource;
pub mod serving;
mod transport;
mod view;
mod watch;

pub use action::{Action, Write, WriteKind};
pub use api::Api;
pub use cache::{Change, IndexFn, Key};
pub use changes::Changes;
pub use correlator::Occurrence;
pub use error::ApiError;
pub use informer::{Informer, InformerOptions};
pub use informers::{Context, Informers};
pub use options::{List, ListOptions, Patch, WatchOptions};
pub use queue::{QUEUE_BACKOFF, Queue};
pub use recorder::{EventApi, Recorder, reference};
pub use resource::{Kind, Object, PartialObject, Resource, key, split_key};
pub use transport::{Body, BoxError, Client, full};
pub use view::{Settings, View};
pub use watch::{WatchEvent, WatchStream};
