//! Leases: entries that end at about the same time share one, for a lease costs the cluster more than an entry.

use std::time::Duration;

use base::Instant;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::Link;
use super::cluster::MESSAGE_LIMIT_BYTES;
use super::failure::Again;
use super::proto::LeaseGrantRequest;
use super::proto::lease_client::LeaseClient;
use crate::Error;

/// An entry may live longer than asked by this part of its time, and by no more than the other: stock servers
/// share within the same bounds.
const SHARED_PART: u32 = 20;
const SHARED_LIMIT: Duration = Duration::from_secs(60);

/// So many entries share a lease at most: they all go in one revision.
const ENTRIES: usize = 1000;

/// The lease that new entries share.
#[derive(Debug)]
pub struct Leases {
    latest: Mutex<Option<Bucket>>,
    /// One grant at a time; who waited finds a fresh lease.
    granting: Semaphore,
}

#[derive(Debug, Clone, PartialEq)]
struct Bucket {
    lease: i64,
    ends: Instant,
    entries: usize,
}

impl Leases {
    /// None granted yet.
    pub fn new() -> Self {
        Self { latest: Mutex::new(None), granting: Semaphore::new(1) }
    }

    /// A lease that ends in `ttl` or a little later.
    pub async fn lease(&self, link: &Link, ttl: Duration) -> Result<i64, Error> {
        if let Some(lease) = self.shared(link.cluster.clock.instant(), ttl) {
            return Ok(lease);
        }
        let _one_at_a_time = self.granting.acquire().await.map_err(|_| Error::Closed)?;
        let now = link.cluster.clock.instant();
        if let Some(lease) = self.shared(now, ttl) {
            return Ok(lease);
        }
        let seconds = whole_seconds(ttl).saturating_add(whole_seconds(spread(ttl)));
        let answer = link.cluster.ask("grant a lease", Again::Harmless, async |channel| {
            let mut client = LeaseClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
            client.lease_grant(LeaseGrantRequest { ttl: seconds }).await
        });
        let granted = answer.await?;
        let ends = now + Duration::from_secs(granted.ttl.unsigned_abs());
        *self.latest.lock() = Some(Bucket { lease: granted.id, ends, entries: 1 });
        Ok(granted.id)
    }

    /// `lease` is over: nobody shares it any longer.
    pub fn forget(&self, lease: i64) {
        self.latest.lock().take_if(|bucket| bucket.lease == lease);
    }

    fn shared(&self, now: Instant, ttl: Duration) -> Option<i64> {
        let mut latest = self.latest.lock();
        let bucket = latest.as_mut()?;
        let fits = bucket.ends >= now + ttl && bucket.ends <= now + ttl + spread(ttl) && bucket.entries < ENTRIES;
        bucket.entries += usize::from(fits);
        fits.then_some(bucket.lease)
    }
}

/// In whole seconds, as leases are: what lives for less than twenty has a lease of its own.
fn spread(ttl: Duration) -> Duration {
    Duration::from_secs((ttl / SHARED_PART).min(SHARED_LIMIT).as_secs())
}

fn whole_seconds(time: Duration) -> i64 {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_about_the_same_end_share() {
        let clock = base::Clock::system();
        let now = clock.instant();
        let hour = Duration::from_secs(3600);
        let leases = Leases::new();
        let bucket = |entries| Bucket { lease: 7, ends: now + hour + Duration::from_secs(60), entries };
        *leases.latest.lock() = Some(bucket(1));
        assert_eq!(leases.shared(now, hour), Some(7), "right after the grant");
        assert_eq!(leases.shared(now + Duration::from_secs(60), hour), Some(7), "a minute later");
        assert_eq!(leases.shared(now + Duration::from_secs(61), hour), None, "it would end too early");
        assert_eq!(leases.shared(now, hour / 2), None, "it would end much too late");
        *leases.latest.lock() = Some(bucket(ENTRIES));
        assert_eq!(leases.shared(now, hour), None, "it is full");
    }

    #[test]
    fn times_are_whole_seconds() {
        let cases = [(1, 1), (1000, 1), (1001, 2), (3_600_000, 3600)];
        for (ms, seconds) in cases {
            assert_eq!(whole_seconds(Duration::from_millis(ms)), seconds);
        }
    }
}
