//! Short answers.

use bytes::Bytes;
use client::Body;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};

/// Plain text with a code.
pub(super) fn text(code: StatusCode, text: impl Into<String>) -> Response<Body> {
    with_type(code, "text/plain; charset=utf-8", text.into().into_bytes())
}

/// A JSON document.
pub(super) fn json(value: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(StatusCode::OK, "application/json", bytes),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn with_type(code: StatusCode, kind: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Full::new(Bytes::from(bytes)).map_err(Into::into).boxed_unsync());
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    answer
}
