//! The one clock: wall time and waiting, real in production, virtual in a simulation.
//!
//! A virtual clock counts from a fixed epoch along tokio's monotonic time, so `tokio::time::pause` steers both.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

/// A point of monotonic time; differences between two are durations.
pub type Instant = tokio::time::Instant;

/// The wait ended before the work did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// Hands out the time. Cheap to clone; all clones of one clock agree.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Virtual { epoch: Timestamp, start: Instant },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `epoch` now and then follows tokio's time, paused or not. Call it inside the runtime.
    #[must_use]
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self(Kind::Virtual { epoch, start: Instant::now() })
    }

    /// The wall time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Kind::System => Timestamp::now(),
            Kind::Virtual { epoch, start } => epoch + Instant::now().duration_since(start),
        }
    }

    /// The monotonic time.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Waits until `deadline`; at once if it is past.
    pub async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(deadline).await;
    }

    /// Waits until the wall clock shows `deadline`; at once if it is past.
    pub async fn sleep_until_wall(&self, deadline: Timestamp) {
        let wait = deadline.duration_since(self.now());
        self.sleep(Duration::try_from(wait).unwrap_or(Duration::ZERO)).await;
    }

    /// Runs `work`, but for no longer than `limit`.
    ///
    /// # Errors
    /// [`Elapsed`] when the limit came first; the work is dropped.
    pub async fn timeout<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::time::timeout(limit, work).await.map_err(|_| Elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_follows_the_paused_clock() {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T01:00:00Z");
        clock.sleep_until_wall("2026-01-02T00:00:00Z".parse().unwrap()).await;
        assert_eq!(clock.now().to_string(), "2026-01-02T00:00:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_ends_what_never_ends() {
        let clock = Clock::system();
        assert_eq!(clock.timeout(Duration::from_secs(5), std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(clock.timeout(Duration::from_secs(5), async { 7 }).await, Ok(7));
    }
}
