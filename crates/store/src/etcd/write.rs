//! Writes: one transaction each, which compares the key's revision and tells what was there.

use std::time::Duration;

use super::Link;
use super::cluster::MESSAGE_LIMIT_BYTES;
use super::failure::{Again, Failure, Kind};
use super::keys::{number, revision};
use super::proto::compare::{CompareResult, CompareTarget, TargetUnion};
use super::proto::kv_client::KvClient;
use super::proto::request_op::Request;
use super::proto::response_op::Response;
use super::proto::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};
use crate::plan::{KEY_LIMIT, at_most};
use crate::{Change, Error, Expect, Revision};

impl Link {
    /// See [`crate::Store::write`].
    pub async fn write(&self, key: &str, expect: Expect, change: Change) -> Result<Revision, Error> {
        at_most("the key", key.len(), KEY_LIMIT)?;
        let key = self.keys.theirs(key);
        let Change::Put { value, ttl } = change else {
            let delete = DeleteRangeRequest { key: key.clone(), range_end: Vec::new() };
            return self.transact(key, expect, Request::RequestDeleteRange(delete)).await.map_err(Error::from)?;
        };
        let put = PutRequest { key: key.clone(), value: value.into(), lease: 0 };
        let Some(ttl) = ttl else {
            return self.transact(key, expect, Request::RequestPut(put)).await.map_err(Error::from)?;
        };
        self.put_for(key, expect, put, ttl).await
    }

    /// Puts on a lease; on another one if the shared one is over already.
    async fn put_for(
        &self,
        key: Vec<u8>,
        expect: Expect,
        mut put: PutRequest,
        ttl: Duration,
    ) -> Result<Revision, Error> {
        put.lease = self.leases.lease(self, ttl).await?;
        match self.transact(key.clone(), expect, Request::RequestPut(put.clone())).await {
            Err(Failure { kind: Kind::NoLease, .. }) => self.leases.forget(put.lease),
            done => return done.map_err(Error::from)?,
        }
        put.lease = self.leases.lease(self, ttl).await?;
        self.transact(key, expect, Request::RequestPut(put)).await.map_err(Error::from)?
    }

    /// The outer result is the cluster's, the inner one that of the comparison.
    async fn transact(
        &self,
        key: Vec<u8>,
        expect: Expect,
        change: Request,
    ) -> Result<Result<Revision, Error>, Failure> {
        let compare = compare(&key, expect).map_err(|error| Failure { kind: Kind::Refused, error })?;
        let look = Request::RequestRange(RangeRequest { key, ..RangeRequest::default() });
        let done = self.txn(TxnRequest { compare, success: vec![op(change)], failure: vec![op(look)] }).await?;
        let (succeeded, at) = (done.succeeded, revision(done.header.as_ref().map_or(0, |header| header.revision)));
        Ok(if succeeded {
            Ok(at)
        } else {
            Err(Error::Conflict { current: there(done).and_then(|found| self.keys.entry(found)) })
        })
    }

    /// One transaction.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Failure> {
        let ask = async |channel| {
            let mut client = KvClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
            client.txn(request.clone()).await
        };
        self.cluster.ask("write", Again::Never, ask).await
    }
}

/// A revision at which nothing was changed.
const NEVER: i64 = -1;

/// A step of a transaction.
pub fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// To etcd a key that is not there was last changed at revision 0; to our callers nothing ever was.
fn compare(key: &[u8], expect: Expect) -> Result<Vec<Compare>, Error> {
    let last_changed = match expect {
        Expect::Any => return Ok(Vec::new()),
        Expect::Absent => 0,
        Expect::Revision(Revision(0)) => NEVER,
        Expect::Revision(revision) => number(revision)?,
    };
    Ok(vec![Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.to_vec(),
        target_union: Some(TargetUnion::ModRevision(last_changed)),
    }])
}

/// What a transaction found that changed nothing.
fn there(done: TxnResponse) -> Option<KeyValue> {
    match done.responses.into_iter().next()?.response? {
        Response::ResponseRange(found) => found.kvs.into_iter().next(),
        Response::ResponsePut(_) | Response::ResponseDeleteRange(_) => None,
    }
}
