//! A priority level: so many seats, and queues for those who wait.
//!
//! Each flow is dealt a few of the queues and joins the shortest of them, so one noisy flow fills only its own hand
//! (shuffle sharding); free seats go round the queues.

use std::collections::VecDeque;
use std::sync::Arc;

use machinery::Value;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Why a request gets no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The level has no queues and no free seat.
    ConcurrencyLimit,
    /// All queues that the flow may join are full.
    QueueFull,
    /// It waited too long.
    TimeOut,
}

impl Refused {
    /// The word in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::QueueFull => "queue-full",
            Self::TimeOut => "time-out",
        }
    }
}

/// A level and who is in it.
#[derive(Debug)]
pub struct Level {
    /// The uid of its object.
    pub uid: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_exempt: bool,
    seats: usize,
    taken: usize,
    queues: Vec<VecDeque<oneshot::Sender<Seat>>>,
    /// How many queues a flow is dealt.
    hand: usize,
    /// How many may wait in a queue.
    length: usize,
    /// Whose turn it is.
    turn: usize,
}

/// A seat; when dropped the next one who waits gets it.
#[derive(Debug)]
pub struct Seat(Option<Arc<Level>>);

impl Level {
    /// An empty level; [`Level::configure`] gives it seats.
    #[must_use]
    pub fn new(uid: &str) -> Self {
        Self { uid: uid.to_owned(), state: Mutex::default() }
    }

    /// Takes over the object's settings and so many seats. Queues that go away are emptied: their requests are refused.
    pub fn configure(self: &Arc<Self>, object: &Value, seats: usize) {
        let number = |path: &[&str], other: usize| {
            object.int_at(path).and_then(|number| usize::try_from(number).ok()).unwrap_or(other)
        };
        let response = ["spec", "limited", "limitResponse"];
        let queueing = |field| [&response[..], &["queuing", field]].concat();
        let is_queue = object.str_at(&[&response[..], &["type"]].concat()) == Some("Queue");
        let mut state = self.state.lock();
        state.is_exempt = object.str_at(&["spec", "type"]) == Some("Exempt");
        state.seats = seats;
        state.hand = number(&queueing("handSize"), 8).max(1);
        state.length = number(&queueing("queueLengthLimit"), 50);
        let queues = if is_queue { number(&queueing("queues"), 64).max(1) } else { 0 };
        state.queues.resize_with(queues, VecDeque::new);
        while state.taken < state.seats {
            let Some(waiter) = state.next() else { break };
            state.taken += 1;
            give(self, &mut state, waiter);
        }
    }

    /// Takes a seat for a request of `flow`, or waits for one.
    ///
    /// # Errors
    /// When there is none and it may not wait.
    pub async fn enter(self: &Arc<Self>, flow: u64) -> Result<Seat, Refused> {
        let waiting = {
            let mut state = self.state.lock();
            if state.is_exempt || state.taken < state.seats {
                state.taken += 1;
                return Ok(Seat(Some(self.clone())));
            }
            let queue = state.shortest(flow).ok_or(Refused::ConcurrencyLimit)?;
            if state.queues[queue].len() >= state.length {
                return Err(Refused::QueueFull);
            }
            let (sender, waiting) = oneshot::channel();
            state.queues[queue].push_back(sender);
            waiting
        };
        waiting.await.map_err(|_| Refused::ConcurrencyLimit)
    }

    /// How many are taken.
    #[cfg(test)]
    pub fn taken(&self) -> usize {
        self.state.lock().taken
    }

    /// How many requests wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.queues.iter().flatten().filter(|waiter| !waiter.is_closed()).count()
    }
}

impl State {
    /// The shortest queue of a flow's hand; nothing when there are no queues.
    fn shortest(&mut self, flow: u64) -> Option<usize> {
        let (count, mut cards) = (self.queues.len() as u64, flow);
        let deal = |_| {
            // Knuth's generator: neighbouring hands share few queues.
            cards = cards.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((cards >> 33) % count.max(1)).unwrap_or(0)
        };
        let hand: Vec<usize> = (0..self.hand).map(deal).collect();
        for at in &hand {
            self.queues.get_mut(*at)?.retain(|waiter| !waiter.is_closed());
        }
        hand.into_iter().min_by_key(|at| self.queues[*at].len())
    }

    /// Who is to get the next seat.
    fn next(&mut self) -> Option<oneshot::Sender<Seat>> {
        for _ in 0..self.queues.len() {
            self.turn = (self.turn + 1) % self.queues.len();
            while let Some(waiter) = self.queues[self.turn].pop_front() {
                if !waiter.is_closed() {
                    return Some(waiter);
                }
            }
        }
        None
    }
}

/// Hands a taken seat to `waiter`, or to the next one who still waits.
fn give(level: &Arc<Level>, state: &mut State, waiter: oneshot::Sender<Seat>) {
    let mut waiter = Some(waiter);
    while let Some(one) = waiter {
        let Err(mut seat) = one.send(Seat(Some(level.clone()))) else { return };
        // It does not count as given back: it stays taken for the next.
        seat.0 = None;
        waiter = state.next();
    }
    state.taken -= 1;
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(level) = self.0.take() else { return };
        let mut state = level.state.lock();
        let next = if state.taken <= state.seats { state.next() } else { None };
        match next {
            Some(waiter) => give(&level, &mut state, waiter),
            None => state.taken -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    fn level(response: Value) -> Arc<Level> {
        let level = Arc::new(Level::new("u"));
        level.configure(&value!({"spec": {"type": "Limited", "limited": {"limitResponse": (response)}}}), 1);
        level
    }

    #[tokio::test]
    async fn a_seat_goes_to_who_waits() {
        let queueing = value!({"queues": 4, "handSize": 1, "queueLengthLimit": 1});
        let level = level(value!({"type": "Queue", "queuing": (queueing)}));
        let first = level.enter(1).await.unwrap();
        let mut second = Box::pin(level.enter(1));
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(level.enter(1).await.unwrap_err(), Refused::QueueFull);
        let mut impatient = Box::pin(level.enter(2));
        assert!(futures::poll!(&mut impatient).is_pending());
        assert_eq!((level.taken(), level.waiting()), (1, 2));
        drop(impatient);
        drop(first);
        let second = second.await.unwrap();
        assert_eq!((level.taken(), level.waiting()), (1, 0));
        drop(second);
        assert_eq!(level.taken(), 0);
    }

    #[tokio::test]
    async fn without_queues_nobody_waits() {
        let level = level(value!({"type": "Reject"}));
        let _first = level.enter(1).await.unwrap();
        assert_eq!(level.enter(2).await.unwrap_err(), Refused::ConcurrencyLimit);
    }
}
