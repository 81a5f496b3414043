//! Tells when something in a directory changes, by inotify.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// Room for a good many events; what they say does not matter.
const BUFFER: usize = 4096;

/// A watched directory.
pub(crate) struct Watch {
    events: AsyncFd<OwnedFd>,
}

impl Watch {
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(
            &events,
            dir,
            WatchFlags::MODIFY
                | WatchFlags::CREATE
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE_SELF
                | WatchFlags::DELETE,
        )?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd stays open as long as the AsyncFd, which is what it asks"
        )]
        let events = AsyncFd::with_interest(events, tokio::io::Interest::READABLE)?;
        Ok(Self { events })
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.events.readable().await?;
            let mut buffer = [MaybeUninit::uninit(); BUFFER];
            let read =
                ready.try_io(|events| Ok(rustix::io::read(events.get_ref(), &mut buffer).map(|(read, _)| read.len())?));
            match read {
                Ok(read) => return read.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}
