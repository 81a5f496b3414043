//! Answers: the body type that everything shares and the ways to make a response.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::Stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use machinery::{Status, Value, json, meta, proto, schema};

use crate::negotiate::{Encoding, PROTOBUF};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of requests and responses.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A response with this body type.
pub type Reply = Response<Body>;

/// A body that is all there.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes piece by piece.
pub fn streamed(pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
    use futures::TryStreamExt as _;
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// A response of a content type.
#[must_use]
pub fn with_type(code: StatusCode, content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = code;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A response without a body.
#[must_use]
pub fn empty(code: StatusCode) -> Reply {
    let mut reply = Response::new(full(Bytes::new()));
    *reply.status_mut() = code;
    reply
}

/// The answer to a HEAD: the headers say how long the body would be. HTTP/2 would send it all the same.
#[must_use]
pub fn without_body(answer: Reply) -> Reply {
    let (mut parts, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Reply::from_parts(parts, full(Bytes::new()))
}

/// A plain text, as health checks and the 404 of unknown paths are.
#[must_use]
pub fn text(code: StatusCode, text: impl Into<String>) -> Reply {
    with_type(code, "text/plain; charset=utf-8", full(text.into()))
}

/// An object in the encoding asked for. What has no form in protobuf (a table, the version) is JSON to all.
#[must_use]
pub fn object(code: StatusCode, value: &Value, encoding: Encoding) -> Reply {
    match encoding {
        Encoding::Protobuf => match protobuf(value) {
            Some(bytes) => with_type(code, PROTOBUF, full(bytes)),
            None => object(code, value, Encoding::Json),
        },
        Encoding::Json => {
            let mut bytes = json::to_vec(value);
            bytes.push(b'\n');
            with_type(code, "application/json", full(bytes))
        }
        Encoding::JsonPretty => {
            let mut text = json::to_pretty(value);
            text.push('\n');
            with_type(code, "application/json", full(text))
        }
        Encoding::Yaml => with_type(code, "application/yaml", full(machinery::yaml::to_string(value))),
    }
}

/// An object as protobuf, if it has such a form.
#[must_use]
pub fn protobuf(value: &Value) -> Option<Vec<u8>> {
    let api_version = meta::api_version(value);
    let (group, version) = match api_version {
        // The core group's list of resources does not say its own version.
        "" => ("", "v1"),
        other => other.split_once('/').unwrap_or(("", other)),
    };
    let message = schema::of_kind(group, version, meta::kind(value))?;
    Some(proto::encode(message, value))
}

/// An error, with the headers that go with it.
#[must_use]
pub fn failure(status: &Status, encoding: Encoding) -> Reply {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = object(code, &status.to_value(), encoding);
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry));
    }
    reply
}

/// All warnings of an answer have at most about so many characters.
const WARNINGS_CHARACTERS: usize = 4096;

/// When they have more, each has at most so many.
const WARNING_CHARACTERS: usize = 256;

/// Adds the warnings that clients show to people (RFC 7234, `299 -`), each once; where they are too long together, they
/// are cut, and the last ones are left out.
pub fn warn_all(reply: &mut Reply, warnings: &[String]) {
    let mut told = BTreeSet::new();
    let all: Vec<&str> = warnings.iter().map(String::as_str).filter(|warning| told.insert(*warning)).collect();
    let length = |warning: &str| warning.chars().count();
    if all.iter().map(|warning| length(warning)).sum::<usize>() <= WARNINGS_CHARACTERS {
        return all.into_iter().for_each(|warning| warn(reply, warning));
    }
    let mut written = 0;
    for warning in all {
        if written >= WARNINGS_CHARACTERS {
            break;
        }
        let cut: String = warning.chars().take(WARNING_CHARACTERS).collect();
        written += length(&cut);
        warn(reply, &cut);
    }
}

/// Adds a warning. One with control characters has no form in a header.
fn warn(reply: &mut Reply, warning: &str) {
    if warning.chars().any(char::is_control) {
        return;
    }
    let text = warning.replace('\\', "\\\\").replace('"', "\\\"");
    if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
        reply.headers_mut().append(http::header::WARNING, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_have_a_limit() {
        let shown = |warnings: &[String]| {
            let mut reply = empty(StatusCode::OK);
            warn_all(&mut reply, warnings);
            let all: Vec<usize> = reply.headers().get_all(http::header::WARNING).iter().map(HeaderValue::len).collect();
            (all.len(), all.first().copied(), all.last().copied())
        };
        let of = |count: usize, length: usize| (0..count).map(|n| format!("{n:length$}")).collect::<Vec<_>>();
        assert_eq!(shown(&of(100, 18)), (100, Some(26), Some(26)));
        assert_eq!(shown(&["a".to_owned(), "a".to_owned(), "b\nc".to_owned()]), (1, Some(9), Some(9)));
        assert_eq!(shown(&of(1, 4096)), (1, Some(4104), Some(4104)));
        assert_eq!(shown(&of(60, 300)), (16, Some(264), Some(264)));
        assert_eq!(shown(&of(60, 200)), (21, Some(208), Some(208)));
    }
}
