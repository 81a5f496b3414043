//! Reads: always linearizable, so that they show what any server has written.

use super::Link;
use super::cluster::MESSAGE_LIMIT_BYTES;
use super::failure::{Again, Failure, Kind};
use super::keys::{number, revision};
use super::proto::kv_client::KvClient;
use super::proto::{RangeRequest, RangeResponse};
use super::watch;
use crate::{Entry, Error, Range, RangeResult, Reread, Revision};

/// So many entries come in one answer; longer ranges are read page by page at one revision.
const PAGE_ENTRIES: usize = 1000;

/// A key that nobody has: who reads it asks for the revision only.
const NO_KEY: &[u8] = b"\0";

impl Link {
    /// See [`crate::Store::get`].
    pub async fn get(&self, key: &str, at: Option<Revision>) -> Result<(Option<Entry>, Revision), Error> {
        let found = self.page(self.keys.theirs(key), Vec::new(), None, at).await?;
        let answers_for = at.unwrap_or(header(&found));
        Ok((found.kvs.into_iter().next().and_then(|found| self.keys.entry(found)), answers_for))
    }

    /// See [`crate::Store::reread`].
    pub async fn reread(&self, key: &str, known: Revision) -> Result<Reread, Error> {
        let failed = |failure: Failure| failure.error;
        let newer = number(known.next())?;
        let request = RangeRequest { key: self.keys.theirs(key), min_mod_revision: newer, ..RangeRequest::default() };
        let found = self.ask(request).await.map_err(failed)?;
        // The count is that of the keys, newer or not.
        let is_there = found.count > 0;
        Ok(match found.kvs.into_iter().next() {
            Some(found) => Reread::Other(self.keys.entry(found)),
            None if !is_there => Reread::Other(None),
            // A cluster that was put back to an earlier state does not know what is known here.
            None if revision(found.header.as_ref().map_or(0, |header| header.revision)) < known => {
                Reread::Other(self.get(key, None).await?.0)
            }
            None => Reread::Same,
        })
    }

    /// See [`crate::Store::range`].
    pub async fn range(&self, range: Range, at: Option<Revision>) -> Result<RangeResult, Error> {
        let (mut start, end) = self.keys.range(&range);
        let mut page = self.page(start, end.clone(), Some(page_limit(range.limit, 0)), at).await?;
        let at = at.unwrap_or(header(&page));
        let count = usize::try_from(page.count).unwrap_or_default();
        let (mut taken, mut entries) = (0, Vec::with_capacity(page.kvs.len()));
        loop {
            taken += page.kvs.len();
            let next = page.kvs.last().map(|last| [last.key.as_slice(), b"\0"].concat());
            entries.extend(page.kvs.into_iter().filter_map(|found| self.keys.entry(found)));
            let wanted = page_limit(range.limit, taken);
            match next {
                Some(next) if page.more && wanted > 0 => start = next,
                _ => return Ok(RangeResult { entries, more: count > taken, count, revision: at }),
            }
            page = self.page(start, end.clone(), Some(wanted), Some(at)).await?;
        }
    }

    /// The revision of the latest change.
    pub async fn revision(&self) -> Result<Revision, Error> {
        let found = self.page(NO_KEY.to_vec(), Vec::new(), Some(0), None).await?;
        Ok(header(&found))
    }

    /// Whether `at` can still be read; that it has not happened yet is no error.
    pub async fn check_known(&self, at: Revision) -> Result<(), Error> {
        match self.page(NO_KEY.to_vec(), Vec::new(), Some(0), Some(at)).await {
            Ok(_) | Err(Error::Future { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One answer: the entries from `start` to `end` (of `start` alone if that is empty); none with a limit of 0.
    async fn page(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        limit: Option<usize>,
        at: Option<Revision>,
    ) -> Result<RangeResponse, Error> {
        if at == Some(Revision(0)) {
            return Err(Error::Compacted { requested: Revision(0), oldest: self.oldest().await? });
        }
        match self.read(start, end, limit, at).await {
            Ok(found) => Ok(found),
            Err(failure) => Err(self.explained(failure, at).await),
        }
    }

    async fn read(
        &self,
        start: Vec<u8>,
        end: Vec<u8>,
        limit: Option<usize>,
        at: Option<Revision>,
    ) -> Result<RangeResponse, Failure> {
        let at = at.map(number).transpose().map_err(|error| Failure { kind: Kind::Refused, error })?;
        let request = RangeRequest {
            key: start,
            range_end: end,
            limit: i64::try_from(limit.unwrap_or(0)).unwrap_or(i64::MAX),
            // To etcd 0 means now.
            revision: at.unwrap_or(0),
            // To etcd a limit of 0 is none.
            count_only: limit == Some(0),
            ..RangeRequest::default()
        };
        self.ask(request).await
    }

    async fn ask(&self, request: RangeRequest) -> Result<RangeResponse, Failure> {
        let ask = async |channel| {
            let mut client = KvClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
            client.range(request.clone()).await
        };
        self.cluster.ask("read", Again::Harmless, ask).await
    }

    /// Fills in what etcd does not tell: which revisions could be read instead.
    async fn explained(&self, failure: Failure, at: Option<Revision>) -> Error {
        let requested = at.unwrap_or(Revision(0));
        match failure.kind {
            Kind::Compacted => match self.oldest().await {
                Ok(oldest) => Error::Compacted { requested, oldest },
                Err(error) => error,
            },
            Kind::Future => match self.read(NO_KEY.to_vec(), Vec::new(), Some(0), None).await {
                Ok(found) => Error::Future { requested, current: header(&found) },
                Err(failure) => failure.error,
            },
            _ => failure.error,
        }
    }

    /// The oldest revision that can be read. Only a watch from before it is told.
    async fn oldest(&self) -> Result<Revision, Error> {
        match self.read(NO_KEY.to_vec(), Vec::new(), Some(0), Some(Revision::FIRST)).await {
            Ok(_) => Ok(Revision::FIRST),
            Err(failure) if failure.kind == Kind::Compacted => watch::compacted(&self.cluster).await,
            Err(failure) => Err(failure.error),
        }
    }
}

fn page_limit(limit: Option<usize>, taken: usize) -> usize {
    limit.map_or(PAGE_ENTRIES, |limit| (limit - taken.min(limit)).min(PAGE_ENTRIES))
}

fn header(found: &RangeResponse) -> Revision {
    revision(found.header.as_ref().map_or(0, |header| header.revision))
}
