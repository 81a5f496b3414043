//! One request on its way: what is known about it, and what gathers for its answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use machinery::Status;

use crate::codec;
use crate::flow::Class;
use crate::metrics::Counted;
use crate::negotiate::{self, Accepted, Encoding};
use crate::query::Query;
use crate::reply::Body;
use crate::{RequestInfo, User};

/// A request's body has at most so many bytes; a larger one answers 413.
pub const BODY_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// Of a body that is too large, so much more is read and dropped. Many clients listen only when they have sent all of it,
/// and a connection that closes before takes the answer with it.
const DROPPED_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// A request on its way.
#[derive(Debug)]
pub struct Call {
    /// Method, URL, headers and what the connection knows (certificates, an upgrade).
    pub parts: Parts,
    /// What it asks for.
    pub info: RequestInfo,
    /// The decoded query.
    pub query: Query,
    /// Who asks; anonymous until authentication.
    pub user: User,
    /// Which priority it has.
    pub class: Class,
    /// How long it waited for a place.
    pub waited: Duration,
    /// What counts its answer, once it is known what it is for.
    pub counted: Option<Counted>,
    /// What the answer warns of.
    pub warnings: Vec<String>,
}

impl Call {
    /// Reads method, URL and headers.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let query = Query::parse(parts.uri.query());
        let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
        Self {
            parts,
            info,
            query,
            user: User::anonymous(),
            class: Class::default(),
            waited: Duration::ZERO,
            counted: None,
            warnings: Vec::new(),
        }
    }

    /// The value of a header; empty when there is none or it is no text.
    #[must_use]
    pub fn header(&self, name: header::HeaderName) -> &str {
        text(&self.parts.headers, &name)
    }

    /// All Accept headers as one.
    #[must_use]
    pub fn accept(&self) -> String {
        let values: Vec<&str> =
            self.parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        values.join(",")
    }

    /// Whether a person reads the answer in a browser or asked for line breaks.
    pub fn pretty(&self) -> bool {
        self.query.truth("pretty").unwrap_or(false)
    }

    /// How objects are to be answered.
    ///
    /// # Errors
    /// 406.
    pub fn accepts_object(&self) -> Result<Accepted, Status> {
        negotiate::objects(&self.accept(), self.pretty(), false, false, || self.go_type(""))
    }

    /// How lists are to be answered.
    ///
    /// # Errors
    /// 406.
    pub fn accepts_list(&self) -> Result<Accepted, Status> {
        negotiate::objects(&self.accept(), self.pretty(), true, false, || self.go_type("List"))
    }

    /// What upstream calls the type that is asked for, `*core.Pod`.
    fn go_type(&self, suffix: &str) -> String {
        let kind = kinds::lookup(&self.info.group, &self.info.version, &self.info.resource);
        let name = kind.map_or("", |kind| kind.kind);
        format!("*{}.{name}{suffix}", codec::package(&self.info.group))
    }

    /// How the objects in watch events are to be answered.
    ///
    /// # Errors
    /// 406.
    pub fn accepts_watch(&self) -> Result<Accepted, Status> {
        negotiate::objects(&self.accept(), false, false, true, String::new)
    }

    /// How plain answers are to be written.
    ///
    /// # Errors
    /// 406.
    pub fn accepts_plain(&self) -> Result<Encoding, Status> {
        negotiate::plain(&self.accept(), self.pretty())
    }

    /// How an error is to be written.
    #[must_use]
    pub fn error_encoding(&self) -> Encoding {
        negotiate::for_errors(&self.accept())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Reads the whole body.
///
/// # Errors
/// 413 when it is too large, 400 when the client does not send it all.
pub async fn read(mut body: Body) -> Result<Bytes, Status> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(error.to_string()))?;
        let Ok(piece) = frame.into_data() else { continue };
        if read.len() + piece.len() > BODY_LIMIT_BYTES {
            drop_rest(body).await;
            return Err(Status::request_entity_too_large(format!("limit is {BODY_LIMIT_BYTES}")));
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(piece);
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.freeze())
}

async fn drop_rest(mut body: Body) {
    let mut dropped = 0;
    while let Some(Ok(frame)) = body.frame().await {
        dropped += frame.data_ref().map_or(0, Bytes::len);
        if dropped > DROPPED_LIMIT_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::StreamExt as _;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn a_large_body_is_read_on_for_a_while() {
        for (sent, taken, fits) in [(3, 3, true), (9, 9, false), (100, 21, false)] {
            let count = Arc::new(AtomicUsize::new(0));
            let counted = count.clone();
            let pieces = futures::stream::iter(0..sent).map(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b' '; 1024 * 1024])))
            });
            let read = read(StreamBody::new(pieces).map_err(Into::into).boxed_unsync()).await;
            assert_eq!((count.load(Ordering::Relaxed), read.is_ok()), (taken, fits), "of {sent}");
        }
    }
}
