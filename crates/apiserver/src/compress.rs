//! Large answers in gzip for clients that take it, as upstream's `APIResponseCompression`.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt as _, stream};
use http::header::{self, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::call::Call;
use crate::reply::{self, Body, BoxError, Reply};

/// Answers up to this size are sent as they are: compressing them costs more than it saves.
const THRESHOLD_BYTES: usize = 128 * 1024;

/// The fastest level: the answers are mostly repetitions.
const LEVEL: u32 = 1;

/// The answer, compressed where it is large and the client takes that.
pub async fn answer(call: &Call, answer: Reply) -> Reply {
    if !takes_gzip(call.header(header::ACCEPT_ENCODING)) || call.info.is_long_running() || !is_object(&answer) {
        return answer;
    }
    if answer.body().size_hint().exact().is_some_and(|size| size <= THRESHOLD_BYTES as u64) {
        return answer;
    }
    let (mut parts, mut body) = answer.into_parts();
    let first = body.frame().await.and_then(|frame| frame.map(|frame| frame.into_data().ok()).transpose());
    let is_large = matches!(&first, Some(Ok(piece)) if piece.len() > THRESHOLD_BYTES);
    let pieces = stream::iter(first).chain(data(body));
    if !is_large {
        return Reply::from_parts(parts, reply::streamed(pieces));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Reply::from_parts(parts, compressed(pieces))
}

/// Whether `gzip` is one of the encodings, as upstream reads the header: weights are not understood.
fn takes_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|one| one.trim() == "gzip")
}

/// Whether the answer is one of this server's own objects or documents, not text and not what a kubelet sends.
fn is_object(answer: &Reply) -> bool {
    let content_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    !answer.headers().contains_key(header::CONTENT_ENCODING)
        && content_type.is_some_and(|found| found.starts_with("application/"))
}

fn data(body: Body) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
    body.into_data_stream()
}

fn compressed(pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
    let encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    let state = Some((Box::pin(pieces), encoder));
    reply::streamed(stream::unfold(state, |state| async move {
        let (mut pieces, mut encoder) = state?;
        loop {
            match pieces.next().await {
                Some(Ok(piece)) => {
                    encoder.write_all(&piece).expect("a Vec takes everything");
                    let ready = std::mem::take(encoder.get_mut());
                    if !ready.is_empty() {
                        return Some((Ok(ready.into()), Some((pieces, encoder))));
                    }
                }
                Some(Err(error)) => return Some((Err(error), None)),
                None => return Some((encoder.finish().map(Bytes::from).map_err(Into::into), None)),
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let cases = ["gzip", "deflate, gzip", "gzip;q=1", "br", ""];
        assert_eq!(cases.map(takes_gzip), [true, true, false, false, false]);
    }
}
