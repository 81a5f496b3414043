//! `/containerLogs`: what a container wrote.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use client::{Body, serving};
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::detach;
use crate::logs::read::{Reader, Wanted};
use crate::node::Node;
use crate::pod::{labels, spec};
use crate::proto::cri::ContainerState;

/// So many blocks may wait for a slow reader.
const WAITING_BLOCKS: usize = 4;

pub(super) async fn serve(node: &Arc<Node>, pod: &Pod, container: &str, query: Option<&str>) -> Response<Body> {
    if spec::container(pod, container).is_none() {
        let text = format!("container \"{container}\" not found in pod \"{}\"\n", spec::name(pod));
        return serving::text(StatusCode::NOT_FOUND, text);
    }
    let (wanted, previous) = match wanted(query.unwrap_or_default(), node) {
        Ok(parsed) => parsed,
        Err(text) => return serving::text(StatusCode::BAD_REQUEST, text),
    };
    let (id, path) = match find(node, pod, container, previous).await {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let reader = match Reader::open(Path::new(&path), wanted) {
        Ok(reader) => reader,
        Err(error) => {
            return serving::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("failed to try resolving symlinks in path \"{path}\": {error}\n"),
            );
        }
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING_BLOCKS);
    let (runtime, clock) = (node.runtime.clone(), node.clock().clone());
    detach(node.cancel(), "log reader", async move {
        let alive = || async {
            let status = runtime.container_status(&id).await.ok().flatten();
            status.is_some_and(|status| status.state == ContainerState::ContainerRunning as i32)
        };
        if let Err(error) = reader.run(sender, clock, alive).await {
            tracing::debug!(%error, "a log cannot be read further");
        }
    });
    let frames = ReceiverStream::new(receiver).map(|bytes| Ok::<_, client::BoxError>(http_body::Frame::data(bytes)));
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    answer
}

/// The id and log of the container's newest run, or of the one before.
async fn find(node: &Node, pod: &Pod, container: &str, previous: bool) -> Result<(String, String), Response<Body>> {
    let selector = [(labels::POD_UID, spec::uid(pod)), (labels::CONTAINER_NAME, container)];
    let runs = node.runtime.list_containers(&selector).await;
    let mut runs = runs.map_err(|error| serving::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.created_at));
    let made = runs.into_iter().filter(|run| run.state != ContainerState::ContainerCreated as i32);
    let (name, bad) = (spec::name(pod), |text: String| serving::text(StatusCode::BAD_REQUEST, text));
    let Some(run) = made.into_iter().nth(usize::from(previous)) else {
        return Err(bad(if previous {
            format!("previous terminated container \"{container}\" in pod \"{name}\" not found")
        } else {
            format!("container \"{container}\" in pod \"{name}\" is waiting to start: {}", waiting(pod, container))
        }));
    };
    let status = node.runtime.container_status(&run.id).await.ok().flatten();
    let path = status.map(|status| status.log_path).unwrap_or_default();
    Ok((run.id, path))
}

fn waiting(pod: &Pod, container: &str) -> String {
    let status = pod.status.as_ref();
    let lists = status.map(|status| [&status.init_container_statuses, &status.container_statuses]);
    let mut statuses = lists.into_iter().flatten().flatten().flatten();
    let status = statuses.find(|status| status.name == container);
    let state = status.and_then(|status| status.state.as_ref()).and_then(|state| state.waiting.as_ref());
    state.and_then(|waiting| waiting.reason.clone()).unwrap_or_else(|| "ContainerCreating".to_owned())
}

/// Reads the query; the second part is `previous`.
fn wanted(query: &str, node: &Node) -> Result<(Wanted, bool), String> {
    let mut wanted = Wanted::default();
    let mut previous = false;
    for (name, value) in super::streams::pairs(query) {
        let number = || value.parse::<u64>().map_err(|_| format!("invalid value \"{value}\" of {name}\n"));
        match name.as_str() {
            "follow" => wanted.follow = is_true(&value),
            "previous" => previous = is_true(&value),
            "timestamps" => wanted.timestamps = is_true(&value),
            "tailLines" => wanted.tail = Some(number()?),
            "limitBytes" => wanted.limit = Some(number()?),
            "sinceSeconds" => {
                let seconds = i64::try_from(number()?).unwrap_or(i64::MAX / 2);
                wanted.since = node.clock().now().checked_sub(SignedDuration::from_secs(seconds)).ok();
            }
            "sinceTime" => {
                wanted.since = Some(value.parse().map_err(|_| format!("invalid value \"{value}\" of sinceTime\n"))?)
            }
            "stream" => wanted.stream = Some(value.to_lowercase()).filter(|stream| stream != "all"),
            _ => {}
        }
    }
    Ok((wanted, previous))
}

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "1" | "True" | "")
}
