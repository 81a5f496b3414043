//! Wakes watchers: few at once, a crowd at intervals. To wake a thousand connections costs tens of milliseconds, whether
//! each then finds one event or twenty; so after a crowd was woken, the next call waits until watchers have had no more
//! than their part of the time, and those who write and read have had the rest.

use std::sync::Arc;
use std::time::Duration;

use base::Instant;

use super::audience::Signal;

/// So many watchers of one change are woken at once, always.
const FEW: usize = 64;

/// What it costs to have a watcher write to its connection, about.
const COST: Duration = Duration::from_micros(20);

/// Crowds have one part in so many of the time.
const PARTS: u32 = 3;

/// A crowd waits no longer than this.
const LONGEST: Duration = Duration::from_millis(100);

/// The watchers that are to be woken.
#[derive(Debug, Default)]
pub struct Crowd {
    few: Vec<Arc<Signal>>,
    many: Vec<Arc<Signal>>,
    /// When the crowd may be woken again.
    again: Option<Instant>,
}

impl Crowd {
    /// Adds those whom one change concerns.
    pub fn add(&mut self, mut waking: Vec<Arc<Signal>>) {
        let place = if waking.len() < FEW { &mut self.few } else { &mut self.many };
        place.append(&mut waking);
    }

    /// When [`Crowd::wake`] must be called again, if there is somebody left to wake.
    pub fn due(&self) -> Option<Instant> {
        if self.many.is_empty() { None } else { self.again }
    }

    /// Wakes those whose time has come.
    pub fn wake(&mut self, now: Instant) {
        self.few.drain(..).for_each(|signal| signal.wake());
        if self.many.is_empty() || self.again.is_some_and(|again| now < again) {
            return;
        }
        let count = u32::try_from(self.many.len()).unwrap_or(u32::MAX);
        self.again = Some(now + COST.saturating_mul(count).saturating_mul(PARTS).min(LONGEST));
        self.many.drain(..).for_each(|signal| signal.wake());
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.few.iter().chain(&self.many).for_each(|signal| signal.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::super::audience::{Audience, Interest};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_crowd_waits_few_do_not() {
        let signals = |count: usize| Vec::from_iter((0..count).map(|_| Audience::default().join(&Interest::All)));
        let (mut crowd, start) = (Crowd::default(), base::Clock::system().instant());
        crowd.add(signals(1000));
        crowd.wake(start);
        assert_eq!((crowd.many.len(), crowd.due()), (0, None));
        crowd.add(signals(1000));
        crowd.add(signals(3));
        crowd.wake(start + Duration::from_millis(1));
        assert_eq!((crowd.few.len(), crowd.many.len()), (0, 1000));
        let due = crowd.due().unwrap();
        assert_eq!(due - start, Duration::from_millis(60));
        crowd.wake(due);
        assert!(crowd.many.is_empty());
    }
}
