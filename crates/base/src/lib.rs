//! What every crate may lean on and nothing outside may take for itself: time, chance, tasks, back-off,
//! and what is counted.
//!
//! Invariant: this is the only crate that reads a clock, draws a random number or sleeps (design decision 6). It knows
//! no Kubernetes word.
#![allow(clippy::disallowed_methods, reason = "this crate is the door to what clippy.toml bans everywhere else")]

mod backoff;
mod clock;
pub mod metrics;
mod never;
#[doc(hidden)]
pub use never::never_log;
mod random;
mod task;

pub use backoff::{Backoff, BackoffTable};
pub use clock::{Clock, Elapsed, Instant};
pub use random::Random;
pub use task::{Tasks, spawn};
pub use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
