//! The members of the cluster, and which one is asked: the one that answered last, until it fails.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{Backoff, CancellationToken, Clock, Random};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::connect::channel;
use super::failure::{Again, Failure, Kind};
use super::options::Options;
use crate::Error;

/// A request that no member has answered by then is given up: well before the API's own limit of a minute.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// A member that says nothing for so long is taken for hung. A member without a leader gives up after seven seconds and
/// says so.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// The wait after all members have failed in turn.
const PAUSE: Backoff = Backoff { first: Duration::from_millis(50), limit: Duration::from_secs(1), jitter: 0.5 };

/// An answer has at most so many bytes: what etcd's own client takes.
pub const MESSAGE_LIMIT_BYTES: usize = i32::MAX as usize;

/// The members. One of them serves all requests while it can, so that a client's reads and writes meet the same one.
pub struct Cluster {
    members: Vec<Channel>,
    preferred: AtomicUsize,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Cancelled when the store closes.
    pub closed: CancellationToken,
}

impl Cluster {
    /// The members that the options name. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn new(options: &Options, clock: Clock, random: Random) -> Result<Self, Error> {
        if options.endpoints.is_empty() {
            return Err(Error::Address { address: String::new(), why: "there is none".to_owned() });
        }
        let members: Result<Vec<_>, _> =
            options.endpoints.iter().map(|url| channel(url, &options.tls, &clock)).collect();
        let members = members?;
        // Servers in front of one cluster begin with different members.
        let preferred = AtomicUsize::new(random.below(members.len()));
        Ok(Self { members, preferred, clock, random, closed: CancellationToken::new() })
    }

    /// The member to ask now, and its number.
    pub fn preferred(&self) -> (usize, Channel) {
        let number = self.preferred.load(Ordering::Relaxed) % self.members.len();
        (number, self.members[number].clone())
    }

    /// The next member is asked from now on, unless somebody has turned away from `member` already.
    pub fn turn_from(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.preferred.compare_exchange(member, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The wait before the attempt that follows `failures` others: none while there are members not asked yet.
    pub async fn pause(&self, failures: u32) {
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        if failures > 0 && failures.is_multiple_of(members) {
            self.clock.sleep(PAUSE.delay(failures / members, &self.random)).await;
        }
    }

    /// Asks members until one answers. `doing` is for the error's text.
    ///
    /// # Errors
    /// Why the last one did not.
    pub async fn ask<A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        doing: &'static str,
        again: Again,
        request: impl Fn(Channel) -> F,
    ) -> Result<A, Failure> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Failure { kind: Kind::Refused, error: Error::Closed }),
            answer = self.clock.timeout(REQUEST_LIMIT, self.attempts(doing, again, request)) => {
                answer.unwrap_or_else(|_| Err(Failure::silence(doing)))
            }
        }
    }

    async fn attempts<A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        doing: &'static str,
        again: Again,
        request: impl Fn(Channel) -> F,
    ) -> Result<A, Failure> {
        let mut failures = 0;
        loop {
            let (member, channel) = self.preferred();
            let failure = match self.clock.timeout(ATTEMPT_LIMIT, request(channel)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => Failure::of(&status),
                Err(_) => Failure::silence(doing),
            };
            if failure.is_the_members() {
                self.turn_from(member);
            }
            if !failure.may_repeat(again) {
                return Err(failure);
            }
            tracing::debug!(error = %failure.error, doing, "an etcd member failed, the next one is asked");
            failures += 1;
            self.pause(failures).await;
        }
    }
}
