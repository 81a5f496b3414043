//! The engine for clusters of several servers: a client of etcd (3.4 or later), which keeps everything.
//!
//! `docs/decisions/0008-etcd.md` says how failover, progress and compaction work and why.

mod cluster;
mod compaction;
mod connect;
mod connection;
mod failure;
mod keys;
mod lease;
mod options;
mod progress;
mod proto;
mod read;
mod watch;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use base::{Clock, Random};

use crate::{Change, Entry, Error, Expect, Range, RangeResult, Reread, Revision, Store, Turn, WatchStream};
use cluster::Cluster;
use keys::Keys;
use lease::Leases;
pub use options::{Options, Rename, TlsFiles};
use progress::Requests;
use watch::Following;

/// A store in an etcd cluster. Nothing is connected yet: what fails later, fails in the call that needs it.
///
/// # Errors
/// [`Error::Address`] when an endpoint is none.
pub fn open(options: &Options, clock: Clock, random: Random) -> Result<Arc<dyn Store>, Error> {
    let cluster = Cluster::new(options, clock, random)?;
    let (keys, leases) = (Keys::new(options.rename.clone()), Leases::new());
    Ok(Arc::new(Etcd { link: Arc::new(Link { cluster, keys, leases }), requests: Requests::default() }))
}

struct Etcd {
    link: Arc<Link>,
    requests: Requests,
}

/// What requests and watches share.
struct Link {
    cluster: Cluster,
    keys: Keys,
    leases: Leases,
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        self.link.get(key, at).await
    }

    async fn reread(&self, key: &str, known: Revision) -> Result<Reread, Error> {
        self.link.reread(key, known).await
    }

    async fn range(&self, range: Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        self.link.range(range, at).await
    }

    async fn write(&self, key: &str, expect: Expect, change: Change) -> Result<Revision, Error> {
        self.link.write(key, expect, change).await
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<WatchStream, Error> {
        self.link.check_known(after).await?;
        let wanted = self.requests.register(prefix);
        Ok(Following::new(self.link.clone(), prefix, after, wanted).stream())
    }

    async fn request_progress(&self, prefix: &str) -> Result<(), Error> {
        let now = self.link.revision().await?;
        self.requests.request(prefix, now);
        Ok(())
    }

    async fn compact(&self, at: Revision) -> Result<(), Error> {
        self.link.compact(at).await
    }

    async fn compact_in_turn(&self, last: Turn) -> Result<Turn, Error> {
        self.link.compact_in_turn(last).await
    }

    async fn revision(&self) -> Result<Revision, Error> {
        self.link.revision().await
    }

    async fn size_bytes(&self) -> Option<u64> {
        connection::size_bytes(&self.link.cluster).await
    }

    async fn close(&self) {
        self.link.cluster.closed.cancel();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.link.cluster.closed.cancel();
    }
}
