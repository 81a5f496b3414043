//! Waiting for a state of the cluster, with a limit. These tests watch real processes, so their time is the machine's.
#![expect(clippy::disallowed_methods, reason = "real containers run in real time; every wait here is for a state")]

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What the cluster may take for anything that a user waits for at the screen.
pub const LIMIT: Duration = Duration::from_secs(90);
/// How often a state is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A moment, to measure from.
pub struct Started(Instant);

/// This moment.
pub fn now() -> Started {
    Started(Instant::now())
}

impl Started {
    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Looks again and again until `look` succeeds; gives what it found.
///
/// # Errors
/// What `look` said last, when [`LIMIT`] is over.
pub fn until<T>(state: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if started.elapsed() > LIMIT => {
                bail!("after {} s not yet: {state}; the last look: {error:#}", LIMIT.as_secs())
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
