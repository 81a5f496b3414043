//! What happens to containers, as a stream: CRI's own events, or containerd's where CRI has none (containerd 1.6).
//!
//! An event says only which container or sandbox moved; what it is now, the listener asks the runtime.

use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Clock};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Code, Streaming};

use super::{MESSAGE_LIMIT_BYTES, Runtime};
use crate::proto::containerd_events::events_client::EventsClient;
use crate::proto::containerd_events::{Envelope, SubscribeRequest, TaskEvent, TaskExit};
use crate::proto::cri::{ContainerEventResponse, GetEventsRequest};

/// How long to wait before listening again after the stream broke.
const RECONNECT: Duration = Duration::from_secs(1);
/// containerd keeps Kubernetes' containers in this namespace.
const NAMESPACE: &str = "k8s.io";
const EXIT: &str = "/tasks/exit";

/// Something happened in the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// The stream starts (again): whatever happened before was not heard.
    Connected,
    /// The stream broke: the runtime is gone or restarts.
    Lost,
    /// The container or sandbox of this id changed its state.
    Changed {
        /// The runtime's id of the container or sandbox.
        id: Arc<str>,
        /// The pod's uid, where the event tells it.
        pod_uid: Option<Arc<str>>,
        /// It ended. CRI may still say that it runs: containerd tells everyone at the same time.
        ended: bool,
    },
}

enum Stream {
    Cri(Streaming<ContainerEventResponse>),
    Containerd(Streaming<Envelope>),
}

/// Hands every event to `events` until cancelled; a listener that lags slows the stream down, none is dropped.
pub async fn listen(runtime: Runtime, events: mpsc::Sender<RuntimeEvent>, clock: Clock, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        let work = follow(&runtime, &events);
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = work => {}
        }
        if events.send(RuntimeEvent::Lost).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = clock.sleep(RECONNECT) => {}
        }
    }
}

async fn follow(runtime: &Runtime, events: &mpsc::Sender<RuntimeEvent>) {
    let mut stream = match open(runtime).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "cannot listen to the runtime's events"),
    };
    if events.send(RuntimeEvent::Connected).await.is_err() {
        return;
    }
    loop {
        match next(&mut stream).await {
            Ok(Some(event)) => {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "the runtime's event stream broke"),
        }
    }
}

async fn open(runtime: &Runtime) -> Result<Stream, tonic::Status> {
    match runtime.runtime().get_container_events(GetEventsRequest {}).await {
        Ok(answer) => Ok(Stream::Cri(answer.into_inner())),
        Err(status) if status.code() == Code::Unimplemented => containerd(runtime).await,
        Err(status) => Err(status),
    }
}

async fn containerd(runtime: &Runtime) -> Result<Stream, tonic::Status> {
    let topics = ["/tasks/start", EXIT, "/tasks/oom"];
    let filters = topics.iter().map(|topic| format!("namespace==\"{NAMESPACE}\",topic==\"{topic}\"")).collect();
    let mut client = EventsClient::new(runtime.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT_BYTES);
    Ok(Stream::Containerd(client.subscribe(SubscribeRequest { filters }).await?.into_inner()))
}

async fn next(stream: &mut Stream) -> Result<Option<RuntimeEvent>, tonic::Status> {
    match stream {
        Stream::Cri(stream) => Ok(stream.message().await?.map(from_cri)),
        Stream::Containerd(stream) => loop {
            let Some(envelope) = stream.message().await? else { return Ok(None) };
            if let Some(event) = from_containerd(&envelope) {
                return Ok(Some(event));
            }
        },
    }
}

fn from_cri(event: ContainerEventResponse) -> RuntimeEvent {
    let uid = event.pod_sandbox_status.and_then(|sandbox| sandbox.metadata).map(|metadata| metadata.uid.into());
    RuntimeEvent::Changed { id: event.container_id.into(), pod_uid: uid, ended: false }
}

fn from_containerd(envelope: &Envelope) -> Option<RuntimeEvent> {
    let event = envelope.event.as_ref()?;
    if envelope.topic == EXIT {
        let exit = TaskExit::decode(event.value.as_slice()).ok()?;
        // The end of a command run inside changes nothing.
        return (exit.id == exit.container_id).then(|| changed(exit.container_id, true));
    }
    // The first field of the others is the container's id; the rest of each is skipped.
    let task = TaskEvent::decode(event.value.as_slice()).ok()?;
    Some(changed(task.container_id, false))
}

fn changed(id: String, ended: bool) -> RuntimeEvent {
    RuntimeEvent::Changed { id: id.into(), pod_uid: None, ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_task_exit() {
        let exit = |id: &str| {
            let value = TaskExit { container_id: "c1".into(), id: id.into() }.encode_to_vec();
            let event = prost_types::Any { type_url: "containerd.events.TaskExit".into(), value };
            from_containerd(&Envelope { topic: EXIT.into(), event: Some(event), ..Default::default() })
        };
        assert_eq!(exit("c1"), Some(changed("c1".into(), true)));
        assert_eq!(exit("a command"), None);
    }
}
