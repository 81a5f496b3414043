//! How many requests may be under way at once.

use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::reply::{self, Reply};
use crate::{RequestInfo, User};

/// When a request that is turned away may come back, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Who always gets in, so that an overloaded server can be mended.
const EXEMPT_GROUP: &str = "system:masters";

/// The two limits: one for reads, one for writes. Watches and connections are not counted.
#[derive(Debug)]
pub struct Flow {
    reading: Limit,
    writing: Limit,
}

#[derive(Debug)]
struct Limit {
    places: Arc<Semaphore>,
    size: usize,
}

impl Limit {
    fn new(size: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(size)), size }
    }

    fn taken(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }
}

/// A place among the requests under way; given back when dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Flow {
    /// So many reads and so many writes at once.
    #[must_use]
    pub fn new(reading: usize, writing: usize) -> Self {
        Self { reading: Limit::new(reading), writing: Limit::new(writing) }
    }

    /// Takes a place; nothing when none is free.
    pub fn enter(&self, user: &User, info: &RequestInfo) -> Option<Place> {
        if info.is_long_running() {
            return Some(Place(None));
        }
        let limit = if info.is_read_only() { &self.reading } else { &self.writing };
        match limit.places.clone().try_acquire_owned() {
            Ok(permit) => Some(Place(Some(permit))),
            Err(_) => user.groups.iter().any(|group| group == EXEMPT_GROUP).then_some(Place(None)),
        }
    }

    /// How many reads and how many writes are under way.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        (self.reading.taken(), self.writing.taken())
    }
}

/// The answer when no place is free.
#[must_use]
pub fn turned_away() -> Reply {
    let text = "Too many requests, please try again later.\n";
    let mut answer = reply::text(StatusCode::TOO_MANY_REQUESTS, text);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    let no_guessing = HeaderName::from_static("x-content-type-options");
    answer.headers_mut().insert(no_guessing, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[test]
    fn writes_have_places_of_their_own() {
        let flow = Flow::new(1, 1);
        let info = |method: &str| RequestInfo::parse(&method.parse().unwrap(), "/api/v1/pods", &Query::default());
        let (jane, admin) = (User::new("jane", &[]), User::new("admin", &["system:masters"]));
        let first = flow.enter(&jane, &info("GET")).unwrap();
        assert!(flow.enter(&jane, &info("GET")).is_none());
        assert!(flow.enter(&admin, &info("GET")).is_some());
        let _write = flow.enter(&jane, &info("POST")).unwrap();
        assert_eq!(flow.under_way(), (1, 1));
        drop(first);
        assert!(flow.enter(&jane, &info("GET")).is_some());
    }
}
