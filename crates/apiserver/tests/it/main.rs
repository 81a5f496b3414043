//! Scenarios over the whole server in one process: requests in, answers out.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail a test by panicking")]

mod crud;
mod deletion;
mod documents;
mod limits;
mod list;
mod subresources;
mod watch;
mod world;
