//! What can go wrong, and whether trying again helps.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Entry, Revision};

/// Why a store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The key is not what the write expected; read again, then try again.
    #[error("the key is not what the write expected: {}", .current.as_ref().map_or_else(|| "it has no value".to_owned(), |entry| format!("{} was changed at revision {}", entry.key, entry.revision)))]
    Conflict {
        /// What is there.
        current: Option<Entry>,
    },
    /// That part of the history is forgotten; list anew and watch from there.
    #[error("revision {requested} is compacted, the oldest one known is {oldest}")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// The oldest revision that can be read, and watched after.
        oldest: Revision,
    },
    /// That revision has not happened yet.
    #[error("revision {requested} is in the future, the store is at {current}")]
    Future {
        /// What was asked for.
        requested: Revision,
        /// Where the store is.
        current: Revision,
    },
    /// The disk has no room: the change was not made. Writes work again once there is room.
    #[error("no space left for the store: {doing}")]
    Full {
        /// What was being done, to which file.
        doing: String,
    },
    /// The disk failed: the store answers reads but takes no writes until it is opened again.
    #[error("the store takes no writes since its disk failed: {doing}: {source}")]
    Failed {
        /// What was being done, to which file.
        doing: String,
        /// The disk's answer.
        source: Arc<io::Error>,
    },
    /// A store could not be opened.
    #[error("cannot open the store: {doing}: {source}")]
    Open {
        /// What was being done, to which file.
        doing: String,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// Another process has the directory open.
    #[error("the store in {} is in use by another process", .dir.display())]
    Locked {
        /// The store's directory.
        dir: PathBuf,
    },
    /// A file of the store is not what was written.
    #[error("the store's file {} is damaged at byte {offset}: {what}", .file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The key or value is longer than a store takes.
    #[error("{what} has {bytes} bytes, the store takes at most {limit}")]
    TooLarge {
        /// The key or the value.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// What is taken.
        limit: usize,
    },
    /// What was given is no address of an etcd member.
    #[error("{address:?} is no address of an etcd member: {why}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The etcd cluster will not do it; it was not done.
    #[error("{message}")]
    Refused {
        /// In etcd's words.
        message: String,
    },
    /// No member of the etcd cluster answered: whether a write was made is not known, a read can be repeated.
    #[error("{message}")]
    Unavailable {
        /// In the words of etcd and its client.
        message: String,
    },
    /// The etcd cluster did not answer in time: whether a write was made is not known.
    #[error("etcd did not answer in time: {doing}")]
    TimedOut {
        /// What was being done.
        doing: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    pub(crate) fn opening(doing: String, source: io::Error) -> Self {
        Self::Open { doing, source: Arc::new(source) }
    }

    pub(crate) fn failed(doing: String, source: io::Error) -> Self {
        Self::Failed { doing, source: Arc::new(source) }
    }
}
