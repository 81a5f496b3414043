//! One open stream of changes from one member.

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};

use super::cluster::{ATTEMPT_LIMIT, Cluster, MESSAGE_LIMIT_BYTES};
use super::failure::Failure;
use super::progress;
use super::proto::maintenance_client::MaintenanceClient;
use super::proto::watch_client::WatchClient;
use super::proto::watch_request::RequestUnion;
use super::proto::{Event, StatusRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use crate::Error;

/// So many requests wait to be sent on one stream; one more is left out, for those waiting ask the same.
const REQUESTS: usize = 4;

/// A watch as a member runs it.
#[derive(Debug)]
pub struct Connection {
    /// Which member.
    pub member: usize,
    /// Whether it answers requests for progress in order.
    pub tells_progress: bool,
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    /// The beginning of an answer that comes in several fragments.
    fragments: Vec<Event>,
}

/// The size of the database of the member that is asked now.
pub async fn size_bytes(cluster: &Cluster) -> Option<u64> {
    let (_, channel) = cluster.preferred();
    let mut maintenance = MaintenanceClient::new(channel);
    let status = cluster.clock.timeout(ATTEMPT_LIMIT, maintenance.status(StatusRequest {})).await;
    u64::try_from(status.ok()?.ok()?.into_inner().db_size).ok()
}

impl Connection {
    /// Opens a watch at the member that is asked now.
    ///
    /// # Errors
    /// Its failure, and which member it was.
    pub async fn open(cluster: &Cluster, create: WatchCreateRequest) -> Result<Self, (usize, Error)> {
        let (member, _) = cluster.preferred();
        let opened = cluster.clock.timeout(ATTEMPT_LIMIT, Self::open_at(cluster, create)).await;
        let opened = opened.unwrap_or_else(|_| Err(Failure::silence("open a watch")));
        opened.map_err(|failure| (member, failure.error))
    }

    async fn open_at(cluster: &Cluster, create: WatchCreateRequest) -> Result<Self, Failure> {
        let (member, channel) = cluster.preferred();
        let mut maintenance = MaintenanceClient::new(channel.clone());
        let status = maintenance.status(StatusRequest {}).await.map_err(|status| Failure::of(&status))?;
        let (requests, queue) = mpsc::channel(REQUESTS);
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        requests.try_send(create).expect("a new queue has room");
        let mut request = Request::new(ReceiverStream::new(queue));
        // A member that loses the others ends the stream, instead of falling silent.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut client = WatchClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
        let answers = client.watch(request).await.map_err(|status| Failure::of(&status))?.into_inner();
        let tells_progress = progress::is_reliable(&status.into_inner().version);
        Ok(Self { member, tells_progress, requests, answers, fragments: Vec::new() })
    }

    /// The next whole answer.
    ///
    /// # Errors
    /// Why the stream ended.
    pub async fn next(&mut self) -> Result<WatchResponse, Error> {
        loop {
            let mut answer = match self.answers.next().await {
                Some(Ok(answer)) => answer,
                Some(Err(status)) => return Err(Failure::of(&status).error),
                None => return Err(Error::Unavailable { message: "the member ended the watch".to_owned() }),
            };
            self.fragments.append(&mut answer.events);
            if !answer.fragment {
                answer.events = std::mem::take(&mut self.fragments);
                return Ok(answer);
            }
        }
    }

    /// A future that asks the member until where the watch is complete.
    pub fn ask_progress(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let requests = self.requests.clone();
        async move {
            let ask = RequestUnion::ProgressRequest(WatchProgressRequest {});
            // A full queue holds the same request already; a closed one is noticed by who reads the answers.
            drop(requests.try_send(WatchRequest { request_union: Some(ask) }));
        }
    }
}
