//! A watch: one line of JSON an event, read as it comes.

use bytes::{Buf, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{ApiError, Body};

/// No event is longer: an object has at most 3 MiB, and the answer may name its fields' managers beside it.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// What happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent<T> {
    /// It is new to the watcher.
    Added(T),
    /// It changed.
    Modified(T),
    /// It is gone; this is its last state.
    Deleted(T),
    /// Nothing happened up to this revision.
    Bookmark {
        /// The revision.
        resource_version: String,
        /// Whether the objects that existed at the start of the watch are all sent.
        initial_events_end: bool,
    },
}

/// The events of a watch, until the server or the connection ends it.
pub type WatchStream<T> = BoxStream<'static, Result<WatchEvent<T>, ApiError>>;

#[derive(Deserialize)]
struct Line<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
}

/// Reads the body of a watch of the given `request` (for errors only).
pub(crate) fn events<T: DeserializeOwned + Send + 'static>(body: Body, request: String) -> WatchStream<T> {
    lines(body, request.clone())
        .and_then(move |line| std::future::ready(event(&line).map_err(|error| error.of(&request))))
        .boxed()
}

fn lines(body: Body, request: String) -> BoxStream<'static, Result<Vec<u8>, ApiError>> {
    futures::stream::try_unfold((body, BytesMut::new(), 0), move |(mut body, mut buffer, mut seen)| {
        let request = request.clone();
        async move {
            loop {
                if let Some(end) = buffer[seen..].iter().position(|byte| *byte == b'\n') {
                    let line = buffer.split_to(seen + end).to_vec();
                    buffer.advance(1);
                    return Ok(Some((line, (body, buffer, 0))));
                }
                seen = buffer.len();
                if seen > MAX_EVENT_BYTES {
                    return Err(ApiError::EventTooLarge { request, limit: MAX_EVENT_BYTES });
                }
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(source)) => return Err(ApiError::Transport { request, source }),
                    Some(Ok(frame)) => {
                        if let Some(bytes) = frame.data_ref() {
                            buffer.extend_from_slice(bytes);
                        }
                    }
                }
            }
        }
    })
    .boxed()
}

enum Bad {
    Json(serde_json::Error),
    Status(ApiError),
}

impl Bad {
    fn of(self, request: &str) -> ApiError {
        match self {
            Self::Json(source) => ApiError::Decode { request: request.to_owned(), source },
            Self::Status(error) => error,
        }
    }
}

impl From<serde_json::Error> for Bad {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

fn event<T: DeserializeOwned>(line: &[u8]) -> Result<WatchEvent<T>, Bad> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    let object = line.object.get();
    Ok(match line.r#type {
        "ADDED" => WatchEvent::Added(serde_json::from_str(object)?),
        "MODIFIED" => WatchEvent::Modified(serde_json::from_str(object)?),
        "DELETED" => WatchEvent::Deleted(serde_json::from_str(object)?),
        "BOOKMARK" => bookmark(serde_json::from_str(object)?),
        "ERROR" => return Err(Bad::Status(ApiError::Status(serde_json::from_str(object)?))),
        other => return Err(Bad::Json(serde::de::Error::custom(format!("unknown event type {other:?}")))),
    })
}

fn bookmark<T>(bookmark: Bookmark) -> WatchEvent<T> {
    let annotations = bookmark.metadata.annotations.unwrap_or_default();
    WatchEvent::Bookmark {
        resource_version: bookmark.metadata.resource_version.unwrap_or_default(),
        initial_events_end: annotations.get("k8s.io/initial-events-end").is_some_and(|value| value == "true"),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::StreamBody;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;
    use crate::Object;

    #[test]
    fn lines_may_be_split_anywhere() {
        let text = concat!(
            r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#,
            "\n",
            r#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"7"}}}"#,
            "\n",
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#,
            "\n"
        );
        for size in [1, 7, 1000] {
            let frames: Vec<_> = text
                .as_bytes()
                .chunks(size)
                .map(|chunk| Ok(http_body::Frame::data(bytes::Bytes::copy_from_slice(chunk))))
                .collect();
            let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
            let seen: Vec<String> = events::<Pod>(body, "GET /api/v1/pods".into())
                .map(|event| match event {
                    Ok(WatchEvent::Added(pod)) => format!("added {}", pod.name()),
                    Ok(WatchEvent::Bookmark { resource_version, .. }) => format!("bookmark {resource_version}"),
                    Err(error) => format!("{error} {}", error.is_expired()),
                    Ok(other) => format!("{other:?}"),
                })
                .collect::<Vec<_>>()
                .now_or_never()
                .unwrap();
            assert_eq!(seen, ["added a", "bookmark 7", "too old true"]);
        }
    }
}
