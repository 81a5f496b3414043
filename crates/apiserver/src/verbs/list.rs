//! GET of a collection: from memory where the version allows it, else from the store's history.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use kinds::Kind;
use machinery::schema::{self, Message};
use machinery::{Status, Value, json, proto, value};
use store::{Range, Revision};

use super::continuation::Continuation;
use crate::cache::{Form, Item, ResourceCache, Selection};
use crate::call::Call;
use crate::negotiate::{Encoding, PROTOBUF, Shape};
use crate::objects::Objects;
use crate::options::{ListOptions, VersionMatch};
use crate::reply::{self, Body, Reply};
use crate::server::Server;
use crate::storage;
use crate::{codec, respond};

/// A list is sent in pieces of about this size.
const PIECE_BYTES: usize = 128 * 1024;

/// Entries of the store's history that are read at a time.
const PAST_ENTRIES: usize = 500;

/// What a list answers.
pub struct Page {
    /// The objects, in the form in which the kind is served.
    pub items: Vec<Arc<Item>>,
    /// The version of the list.
    pub revision: Revision,
    /// How to ask for the next page; empty on the last one.
    continuation: String,
    /// How many follow, where that is known.
    remaining: Option<usize>,
}

/// At which state of the resource a list looks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// Everything acknowledged before the request.
    Now,
    /// Whatever is in memory.
    Any,
    /// This state or a later one.
    NotOlder(Revision),
    /// Exactly this one.
    Exact(Revision),
}

/// Answers with the selected objects.
///
/// # Errors
/// Wrong options, a version that is gone or has not come yet.
pub async fn list(server: &Arc<Server>, call: &Call, kind: &'static Kind) -> Result<Reply, Status> {
    let accepted = call.accepts_list()?;
    let options = ListOptions::parse(&call.query)?;
    let selection = Selection::parse(kind, &call.info.namespace, &options.label_selector, &options.field_selector)?;
    let page = page(server, kind, &options, &selection).await?;
    let is_copied = accepted.encoding == Encoding::Json && accepted.shape != Shape::Table && !accepted.is_beta;
    if is_copied && !page.is_empty_partial(accepted.shape) {
        let form = if accepted.shape == Shape::PartialMetadata { Form::Partial } else { Form::ListItem };
        return Ok(reply::with_type(StatusCode::OK, "application/json", page.stream(kind, form)));
    }
    let list_message = schema::of_kind(kind.group, kind.version, &kind.list_kind());
    if let (Encoding::Protobuf, Shape::Whole, Some(list), Some(item)) =
        (accepted.encoding, accepted.shape, list_message, codec::message_of(kind))
    {
        return Ok(reply::with_type(StatusCode::OK, PROTOBUF, page.stream_protobuf(kind, list, item)));
    }
    let objects = page.items.iter().map(|item| item.value()).collect();
    respond::list(server, call, kind, objects, page.metadata(), accepted)
}

/// Finds the selected objects.
///
/// # Errors
/// A version that is gone or has not come yet.
pub async fn page(
    server: &Server,
    kind: &'static Kind,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Page, Status> {
    let resource = cache_of(server, kind)?;
    let prefix = match selection.namespace.as_str() {
        namespace if namespace.is_empty() || !kind.namespaced => resource.prefix.clone(),
        namespace => format!("{}{namespace}/", resource.prefix),
    };
    let (at, start) = place(options)?;
    let start = start.map(|start| format!("{prefix}{start}"));
    let limit = if options.limit == 0 || at == At::Any { usize::MAX } else { options.limit };
    match at {
        At::Now => {
            let started = server.clock.instant();
            let caught_up = server.cacher.catch_up().await;
            resource.counts.waited(server.clock.instant() - started, caught_up.is_ok());
            caught_up?;
        }
        At::Any => {}
        At::NotOlder(revision) | At::Exact(revision) => server.cacher.reach(revision).await?,
    }
    let applied = server.cacher.revision();
    let snapshot = resource.snapshot(&Selection::all(&selection.namespace));
    let revision = match at {
        At::Exact(revision) if snapshot.latest > revision => {
            let from = start.unwrap_or_else(|| prefix.clone());
            return past(server, kind, &prefix, revision, from, options, selection).await;
        }
        At::Exact(revision) => revision,
        _ => snapshot.latest.max(applied),
    };
    let fetched = snapshot.items.len();
    let after = |item: &Arc<Item>| start.as_deref().is_none_or(|start| *item.key >= *start);
    let items = snapshot.items.into_iter().filter(after).map(|item| view(server, kind, item));
    let matching: Vec<Arc<Item>> = items.filter(|item| selection.matches(item)).collect();
    let rest = matching.len().saturating_sub(limit);
    resource.counts.listed(fetched, matching.len() - rest);
    Ok(cut(matching, limit, rest, &prefix, revision, selection))
}

/// A page of `items`, after which `rest` more follow.
fn cut(
    mut items: Vec<Arc<Item>>,
    limit: usize,
    rest: usize,
    prefix: &str,
    revision: Revision,
    selection: &Selection,
) -> Page {
    items.truncate(limit);
    let last = items.last().and_then(|item| item.key.strip_prefix(prefix));
    let version = i64::try_from(revision.0).unwrap_or(i64::MAX);
    let continuation = match last {
        Some(last) if rest > 0 => Continuation::after(last, version).encode(),
        _ => String::new(),
    };
    let remaining = (rest > 0 && selection.is_unfiltered()).then_some(rest);
    Page { items, revision, continuation, remaining }
}

/// The state and the first key that the options ask for.
fn place(options: &ListOptions) -> Result<(At, Option<String>), Status> {
    let asked = options.resource_version.as_str();
    if !options.continue_token.is_empty() {
        let token = Continuation::decode(&options.continue_token)?;
        if !asked.is_empty() && asked != "0" {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        let at = u64::try_from(token.version).map_or(At::Now, |version| At::Exact(Revision(version)));
        return Ok((at, Some(token.start)));
    }
    let at = match asked {
        "" => At::Now,
        "0" => At::Any,
        text => {
            let revision = version(text)?;
            let exact = options.version_match == Some(VersionMatch::Exact)
                || options.version_match.is_none() && options.limit > 0;
            if exact { At::Exact(revision) } else { At::NotOlder(revision) }
        }
    };
    Ok((at, None))
}

/// The objects as they were at `revision`, read from the store in pieces until the page is full.
async fn past(
    server: &Server,
    kind: &'static Kind,
    prefix: &str,
    revision: Revision,
    mut from: String,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Page, Status> {
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let stored = kind.stored_as.map_or(kind, |conversion| conversion.kind);
    let (mut items, mut fetched) = (Vec::new(), 0);
    let left = loop {
        let range = Range::prefix(prefix).starting_at(from.clone()).limited(PAST_ENTRIES.min(limit));
        let found = server.store.range(range, Some(revision)).await;
        let found = found.map_err(|error| match error {
            store::Error::Compacted { .. } if !options.continue_token.is_empty() => inconsistent(&from, prefix),
            other => storage::failure(&other),
        })?;
        let left = found.count - found.entries.len();
        from = next_key(&found.entries, from);
        fetched += found.entries.len();
        for entry in found.entries {
            let item = Item::read(stored, entry.key, entry.value, entry.revision).map_err(Status::internal)?;
            let item = view(server, kind, Arc::new(item));
            if selection.matches(&item) {
                items.push(item);
            }
        }
        if !found.more || items.len() >= limit {
            break left;
        }
    };
    let rest = left + items.len().saturating_sub(limit);
    cache_of(server, kind)?.counts.listed_from_store(fetched, fetched, items.len().min(limit));
    Ok(cut(items, limit, rest, prefix, revision, selection))
}

/// The key with which a range goes on after `entries`.
fn next_key(entries: &[store::Entry], from: String) -> String {
    entries.last().map_or(from, |last| format!("{}\0", last.key))
}

/// The answer when the version of the first page is forgotten: with a token that goes on in the present state.
fn inconsistent(from: &str, prefix: &str) -> Status {
    let start = from.strip_prefix(prefix).unwrap_or_default().to_owned();
    let expired = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    expired.with_continue(Continuation { version: -1, start }.encode())
}

/// The item in the form in which `kind` is served.
#[must_use]
pub fn view(server: &Server, kind: &'static Kind, item: Arc<Item>) -> Arc<Item> {
    if kind.stored_as.is_none() {
        return item;
    }
    let object = Objects::new(server, kind).stored(item.bytes.clone(), item.revision).object;
    match Item::read(kind, item.key.clone(), storage::encode(&object), item.revision) {
        Ok(converted) => Arc::new(converted),
        Err(_) => item,
    }
}

/// The cache that holds the objects of `kind`.
///
/// # Errors
/// 405 for kinds that are not stored.
pub fn cache_of<'a>(server: &'a Server, kind: &'static Kind) -> Result<&'a Arc<ResourceCache>, Status> {
    server.cacher.of(kind).ok_or_else(Status::method_not_allowed)
}

/// A resourceVersion as a number.
///
/// # Errors
/// What the API answers for a text that is none.
pub fn version(text: &str) -> Result<Revision, Status> {
    text.parse().map(Revision).map_err(|_| {
        let quoted = machinery::field::quote(text);
        let parse = format!("strconv.ParseUint: parsing {quoted}: invalid syntax");
        Status::unknown(format!("resourceVersion: Invalid value: {quoted}: {parse}"))
    })
}

impl Page {
    /// The list's metadata.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let mut metadata = value!({"resourceVersion": (self.revision.to_string())});
        if !self.continuation.is_empty() {
            metadata.set_at(&["continue"], self.continuation.as_str());
        }
        if let Some(remaining) = self.remaining {
            metadata.set_at(&["remainingItemCount"], i64::try_from(remaining).unwrap_or(i64::MAX));
        }
        metadata
    }

    /// Upstream writes an empty metadata list as `null`; that is left to the slow path.
    fn is_empty_partial(&self, shape: Shape) -> bool {
        shape == Shape::PartialMetadata && self.items.is_empty()
    }

    /// The list as JSON, copied from the stored bytes piece by piece.
    fn stream(self, kind: &Kind, form: Form) -> Body {
        let (list, version) = match form {
            Form::Partial => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
            _ => (kind.list_kind(), kind.api_version()),
        };
        let mut head = format!(r#"{{"kind":"{list}","apiVersion":"{version}","metadata":"#).into_bytes();
        json::write(&self.metadata(), &mut head);
        head.extend_from_slice(br#","items":["#);
        let mut first = true;
        in_pieces(head, b"]}\n", self.items.into_iter(), move |item, piece| {
            if !std::mem::take(&mut first) {
                piece.push(b',');
            }
            item.write(form, item.revision, piece);
        })
    }

    /// The list as protobuf; each object is encoded once for all who ask for it.
    fn stream_protobuf(self, kind: &Kind, list: &Message, item: &Message) -> Body {
        let head = value!({
            "kind": (kind.list_kind()),
            "apiVersion": (kind.api_version()),
            "metadata": (self.metadata()),
        });
        let items: Vec<Bytes> = self.items.iter().map(|found| found.protobuf(item, found.revision)).collect();
        let length = items.iter().map(|bare| proto::item_bytes(bare.len())).sum();
        let (head, tail) = proto::list_around(list, &head, length);
        in_pieces(head, tail, items.into_iter(), |bare, piece| proto::put_item(&bare, piece))
    }
}

/// Sends `head`, what `write` makes of the items, and `tail`, piece by piece.
fn in_pieces<I: Send + 'static>(
    head: Vec<u8>,
    tail: &'static [u8],
    items: impl Iterator<Item = I> + Send + 'static,
    write: impl FnMut(I, &mut Vec<u8>) + Send + 'static,
) -> Body {
    let state = Some((head, items, write));
    reply::streamed(stream::unfold(state, move |state| async move {
        let (mut piece, mut items, mut write) = state?;
        while piece.len() < PIECE_BYTES {
            let Some(item) = items.next() else {
                piece.extend_from_slice(tail);
                return Some((Ok(Bytes::from(piece)), None));
            };
            write(item, &mut piece);
        }
        let next = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        Some((Ok(Bytes::from(piece)), Some((next, items, write))))
    }))
}
