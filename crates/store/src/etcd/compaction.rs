//! Compaction, in turn with the other servers in front of the same cluster, stock ones too.
//!
//! All of them keep one key, `compact_rev_key`, with the revision compacted last; its version counts the turns. Who
//! finds the version of an interval ago takes this turn; who does not was late and only notes where things stand.

use super::Link;
use super::cluster::MESSAGE_LIMIT_BYTES;
use super::failure::{Again, Kind};
use super::keys::{number, revision};
use super::proto::compare::{CompareResult, CompareTarget, TargetUnion};
use super::proto::kv_client::KvClient;
use super::proto::request_op::Request;
use super::proto::response_op::Response;
use super::proto::{CompactionRequest, Compare, PutRequest, RangeRequest, TxnRequest, TxnResponse};
use super::write::op;
use crate::{Error, Revision, Turn};

/// Where all servers look; outside of everybody's prefix.
const KEY: &[u8] = b"compact_rev_key";

impl Link {
    /// See [`crate::Store::compact`].
    pub async fn compact(&self, at: Revision) -> Result<(), Error> {
        let request = CompactionRequest { revision: number(at)? };
        let ask = async |channel| {
            let mut client = KvClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
            client.compact(request).await
        };
        match self.cluster.ask("compact", Again::Harmless, ask).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.kind == Kind::Compacted => Ok(()),
            Err(failure) if failure.kind == Kind::Future => {
                Err(Error::Future { requested: at, current: self.revision().await? })
            }
            Err(failure) => Err(failure.error),
        }
    }

    /// See [`crate::Store::compact_in_turn`].
    pub async fn compact_in_turn(&self, last: Turn) -> Result<Turn, Error> {
        let version = i64::try_from(last.number).unwrap_or(i64::MAX);
        let at = last.revision.map_or(0, |revision| revision.0).to_string();
        let put = PutRequest { key: KEY.to_vec(), value: at.into_bytes(), ..PutRequest::default() };
        let look = RangeRequest { key: KEY.to_vec(), ..RangeRequest::default() };
        let done = self.txn(TxnRequest {
            compare: vec![Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Version.into(),
                key: KEY.to_vec(),
                target_union: Some(TargetUnion::Version(version)),
            }],
            success: vec![op(Request::RequestPut(put))],
            failure: vec![op(Request::RequestRange(look))],
        });
        let done = done.await?;
        let now = revision(done.header.as_ref().map_or(0, |header| header.revision));
        if !done.succeeded {
            return Ok(Turn { number: turns(done), revision: Some(now) });
        }
        if let Some(at) = last.revision {
            self.compact(at).await?;
        }
        Ok(Turn { number: last.number + 1, revision: Some(now) })
    }
}

fn turns(done: TxnResponse) -> u64 {
    let found = done.responses.into_iter().next().and_then(|done| done.response);
    let Some(Response::ResponseRange(found)) = found else { return 0 };
    found.kvs.first().map_or(0, |key| key.version.unsigned_abs())
}
