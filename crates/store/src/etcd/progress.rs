//! Progress on request: until which revision a watch is complete, although nothing of its own has happened.
//!
//! etcd answers that since 3.4.25 and 3.5.8; older ones let the answer overtake events. With those a change of our own
//! is the mark: the watch covers one key more than its prefix, the first one after it, and what is written there comes
//! in order like any other change. It is written only if the watch is still behind after a moment: mostly the events
//! themselves arrive by then.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Revision;

/// So long a watch of an old member has for its own events to arrive.
pub const ARRIVAL: Duration = Duration::from_millis(30);

/// A member that has not caught up with the others is asked again after this.
pub const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A mark that was lost is written again after this.
pub const MARK_AGAIN: Duration = Duration::from_secs(1);

/// The open watches and what they are asked for.
#[derive(Debug, Default)]
pub struct Requests(Mutex<Vec<Weak<Wanted>>>);

/// What one watch is asked for.
#[derive(Debug)]
pub struct Wanted {
    prefix: String,
    /// It shall report when it is complete up to here.
    upto: Mutex<Option<Revision>>,
    changed: Notify,
}

impl Requests {
    /// A watch of `prefix` opens.
    pub fn register(&self, prefix: &str) -> Arc<Wanted> {
        let wanted = Wanted { prefix: prefix.to_owned(), upto: Mutex::new(None), changed: Notify::new() };
        let wanted = Arc::new(wanted);
        let mut open = self.0.lock();
        open.retain(|known| known.strong_count() > 0);
        open.push(Arc::downgrade(&wanted));
        wanted
    }

    /// Every watch of `prefix` shall report when it is complete up to `upto`.
    pub fn request(&self, prefix: &str, upto: Revision) {
        for wanted in self.0.lock().iter().filter_map(Weak::upgrade).filter(|wanted| wanted.prefix == prefix) {
            let mut asked = wanted.upto.lock();
            *asked = (*asked).max(Some(upto));
            wanted.changed.notify_one();
        }
    }
}

impl Wanted {
    /// What is asked for; `None` when nothing is.
    pub fn upto(&self) -> Option<Revision> {
        *self.upto.lock()
    }

    /// Takes back what is fulfilled when the watch is complete up to `seen`; whether there was something.
    pub fn fulfilled(&self, seen: Revision) -> bool {
        self.upto.lock().take_if(|upto| *upto <= seen).is_some()
    }

    /// Waits for the next wish.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Whether a member of this version answers requests for progress in order.
pub fn is_reliable(version: &str) -> bool {
    let numbers: Vec<u32> = version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect();
    match numbers[..] {
        [3, 4, patch, ..] => patch >= 25,
        [3, 5, patch, ..] => patch >= 8,
        [major, minor, ..] => (major, minor) >= (3, 6),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_answer_in_order() {
        let cases = [
            ("3.4.23", false),
            ("3.4.25", true),
            ("3.5.7", false),
            ("3.5.8", true),
            ("3.5.21-rc.0", true),
            ("3.6.0", true),
            ("4.0.0", true),
            ("3.3.27", false),
            ("unknown", false),
        ];
        for (version, reliable) in cases {
            assert_eq!(is_reliable(version), reliable, "{version}");
        }
    }

    #[test]
    fn wishes_add_up() {
        let requests = Requests::default();
        let wanted = requests.register("/pods/");
        requests.request("/pods/", Revision(7));
        requests.request("/pods/", Revision(5));
        requests.request("/nodes/", Revision(9));
        assert_eq!(wanted.upto(), Some(Revision(7)));
        assert!(!wanted.fulfilled(Revision(6)));
        assert!(wanted.fulfilled(Revision(8)));
        assert_eq!(wanted.upto(), None);
    }
}
