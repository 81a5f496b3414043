//! How many requests may be under way at once.

use machinery::Status;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::RequestInfo;

/// What a request that is turned away is told; when to come back, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The two limits: one for reads, one for writes. Watches and connections are not counted.
#[derive(Debug)]
pub struct Flow {
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
}

/// A place among the requests under way; given back when dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Flow {
    /// So many reads and so many writes at once.
    #[must_use]
    pub fn new(reading: usize, writing: usize) -> Self {
        Self { reading: Arc::new(Semaphore::new(reading)), writing: Arc::new(Semaphore::new(writing)) }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// 429 when none is free.
    pub fn enter(&self, info: &RequestInfo) -> Result<Place, Status> {
        if info.is_long_running() {
            return Ok(Place(None));
        }
        let places = if info.is_read_only() { &self.reading } else { &self.writing };
        match places.clone().try_acquire_owned() {
            Ok(permit) => Ok(Place(Some(permit))),
            Err(_) => Err(Status::too_many_requests("Too many requests, please try again later.", RETRY_AFTER_SECONDS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    #[test]
    fn writes_have_places_of_their_own() {
        let flow = Flow::new(1, 1);
        let info = |method: &str| RequestInfo::parse(&method.parse().unwrap(), "/api/v1/pods", &Query::default());
        let first = flow.enter(&info("GET")).unwrap();
        assert_eq!(flow.enter(&info("GET")).unwrap_err().code, 429);
        let _write = flow.enter(&info("POST")).unwrap();
        drop(first);
        flow.enter(&info("GET")).unwrap();
    }
}
