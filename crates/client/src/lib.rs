//! How components ask: transport, informers with indexes, work queues, the driver, events, leader election.
//!
//! A component gets a [`Client`] (in process or HTTPS, it cannot tell) and reads through [`Informers`]. Controllers are
//! data for the [`driver`]: a pure plan over a [`View`], carried out as [`Action`]s.

mod api;
mod error;
mod options;
mod resource;
mod transport;
mod watch;

pub use api::Api;
pub use error::ApiError;
pub use options::{List, ListOptions, Patch, WatchOptions};
pub use resource::{Kind, Object, PartialObject, Resource, key, split_key};
pub use transport::{Body, BoxError, Client, full};
pub use watch::{WatchEvent, WatchStream};
