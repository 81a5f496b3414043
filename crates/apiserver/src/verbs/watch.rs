//! GET of a collection's changes.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{CancellationToken, Instant, WaitForCancellationFutureOwned};
use bytes::Bytes;
use http::StatusCode;
use kinds::Kind;
use machinery::schema::{FieldValidation, Message, decode};
use machinery::{Status, Value, json, meta, proto, value};
use store::Revision;

use super::list::{cache_of, version, view};
use crate::cache::{Begin, Event, Form, Item, Line, Next, OfWatchers, ResourceCache, Selection, Watcher};
use crate::call::Call;
use crate::codec;
use crate::metrics::Open;
use crate::negotiate::{Encoding, Shape};
use crate::options::ListOptions;
use crate::reply::{self, BoxError, Reply};
use crate::server::Server;
use crate::table::{self, Include};

/// The annotation of the bookmark that ends the initial events (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What is there to be sent goes out together, in pieces of about this size.
const PIECE_BYTES: usize = 64 * 1024;

/// Answers with the present objects, if asked for, and every change from there on.
///
/// # Errors
/// Wrong options; a version that is gone is an event of the stream.
pub async fn watch(server: &Arc<Server>, call: &Call, kind: &'static Kind) -> Result<Reply, Status> {
    let accepted = call.accepts_watch()?;
    let options = ListOptions::parse(&watching(call))?;
    let mut selection = Selection::parse(kind, &call.info.namespace, &options.label_selector, &options.field_selector)?;
    if call.info.parts.len() > 1 {
        selection = selection.named(&call.info.name);
    }
    let include = if accepted.shape == Shape::Table { Include::parse(&call.query)? } else { Include::default() };
    let begin = begin(server, &options).await?;
    let resource = cache_of(server, kind)?.clone();
    // A kind that is stored in another one's form is selected from after its conversion.
    let preselection = if kind.stored_as.is_some() { Selection::all(&selection.namespace) } else { selection.clone() };
    let deadline = server.clock.instant() + duration(server, &options);
    let marks = options.allow_watch_bookmarks;
    let open = |begin| Watcher::open(server.cacher.clone(), resource.clone(), &preselection, begin, deadline, marks);
    let asked = options.resource_version.as_str();
    let opened = match (open(begin), begin) {
        (Err(_), Begin::After(revision)) => match server.cacher.past(&resource, revision).await {
            Ok(past) => open(Begin::After(past.until)).map(|watcher| watcher.preceded_by(past.events)),
            Err(store::Error::Compacted { oldest, .. }) => Err(oldest),
            Err(error) => return Err(crate::storage::failure(&error)),
        },
        (opened, _) => opened,
    };
    let stream = Stream {
        kind,
        selection,
        shape: accepted.shape,
        is_beta: accepted.is_beta,
        message: codec::message_of(kind).filter(|_| accepted.encoding == Encoding::Protobuf),
        include,
        marks,
        initial_mark: options.send_initial_events == Some(true) && marks,
        began: server.clock.instant(),
        resource: resource.clone(),
        columns_sent: false,
        watcher: opened.map_err(|oldest| Status::expired(format!("too old resource version: {asked} ({oldest})"))),
        open: server.metrics.open(call),
        counts: resource.counts.watcher(kind),
        stop: server.stop.clone(),
        stopped: Box::pin(server.stop.clone().cancelled_owned()),
        over: options.timeout_seconds.is_some_and(|seconds| seconds < 0),
        server: server.clone(),
    };
    let is_protobuf = stream.message.is_some();
    let content_type =
        if is_protobuf { "application/vnd.kubernetes.protobuf;stream=watch" } else { "application/json" };
    Ok(reply::with_type(StatusCode::OK, content_type, reply::streamed(stream)))
}

/// The query, with `watch` set where the path says so.
fn watching(call: &Call) -> crate::query::Query {
    let raw = call.parts.uri.query().unwrap_or_default();
    crate::query::Query::parse(Some(&format!("watch=true&{raw}")))
}

/// Where the watch begins: KEP-3157 and the API concepts' table of resource versions.
async fn begin(server: &Server, options: &ListOptions) -> Result<Begin, Status> {
    let asked = options.resource_version.as_str();
    let initial = options.send_initial_events;
    match asked {
        "" => {
            server.cacher.catch_up().await?;
            Ok(if initial == Some(false) { Begin::After(server.cacher.revision()) } else { Begin::Now })
        }
        "0" if initial == Some(false) => Ok(Begin::After(server.cacher.revision())),
        "0" => Ok(Begin::Now),
        text => {
            let revision = version(text)?;
            if initial != Some(true) {
                return Ok(Begin::After(revision));
            }
            server.cacher.reach(revision).await?;
            Ok(Begin::Now)
        }
    }
}

/// How long the watch lasts; a time that is over already ends it at once.
fn duration(server: &Server, options: &ListOptions) -> Duration {
    match options.timeout_seconds.filter(|seconds| *seconds != 0) {
        Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        None => server.options.min_request_timeout.mul_f64(1.0 + server.random.fraction()),
    }
}

struct Stream {
    server: Arc<Server>,
    kind: &'static Kind,
    selection: Selection,
    shape: Shape,
    is_beta: bool,
    /// How to write the objects in protobuf, if the client wants that.
    message: Option<&'static Message>,
    include: Include,
    marks: bool,
    initial_mark: bool,
    began: Instant,
    resource: Arc<ResourceCache>,
    columns_sent: bool,
    watcher: Result<Watcher, Status>,
    #[expect(dead_code, reason = "counts the watch until it is dropped")]
    open: Option<Open>,
    counts: OfWatchers,
    stop: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether everything has been said.
    over: bool,
}

impl futures::Stream for Stream {
    type Item = Result<Bytes, BoxError>;

    /// All lines that there are now, as one piece: a connection that is woken once writes once.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut piece = Piece::default();
        while !self.over && piece.bytes < PIECE_BYTES {
            match self.poll_line(context) {
                Poll::Ready(Some(line)) => {
                    self.counts.sent(line.len());
                    piece.push(line);
                }
                Poll::Ready(None) => self.over = true,
                Poll::Pending if piece.lines.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(piece.joined().map(Ok))
    }
}

/// Lines that are sent together.
#[derive(Default)]
struct Piece {
    lines: Vec<Bytes>,
    bytes: usize,
}

impl Piece {
    fn push(&mut self, line: Bytes) {
        self.bytes += line.len();
        self.lines.push(line);
    }

    /// One line is shared with all who are sent it; several are copied.
    fn joined(mut self) -> Option<Bytes> {
        if self.lines.len() < 2 { self.lines.pop() } else { Some(self.lines.concat().into()) }
    }
}

impl Stream {
    /// The next line; `None` when no more follows.
    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.stop.is_cancelled() {
                return Poll::Ready(None);
            }
            let watcher = match &mut self.watcher {
                Ok(watcher) => watcher,
                Err(status) => {
                    let status = status.to_value();
                    self.over = true;
                    return Poll::Ready(Some(self.line("ERROR", &status)));
                }
            };
            let Poll::Ready(next) = watcher.poll_next(context) else {
                return self.stopped.as_mut().poll(context).map(|()| None);
            };
            let line = match next {
                Next::Initial(item) => self.initial(item),
                Next::InitialEnd(revision) if self.initial_mark => {
                    self.listed();
                    Some(self.mark(revision, true))
                }
                Next::Progress(revision) if self.marks => Some(self.mark(revision, false)),
                Next::Change(event) => self.change(event),
                Next::InitialEnd(_) | Next::Progress(_) => None,
                Next::Cut | Next::Over => return Poll::Ready(None),
            };
            if line.is_some() {
                return Poll::Ready(line);
            }
        }
    }

    /// Counts how long it took to send what was there at first.
    fn listed(&self) {
        let scope = if self.selection.namespace.is_empty() { "cluster" } else { "namespace" };
        let took = self.server.clock.instant().saturating_duration_since(self.began);
        self.resource.counts.watch_listed(self.kind, scope, took);
    }

    fn initial(&mut self, item: Arc<Item>) -> Option<Bytes> {
        let item = view(&self.server, self.kind, item);
        let (added, revision) = (Line::Added, item.revision);
        self.selection.matches(&item).then(|| match (self.shape, self.message) {
            (Shape::Table, _) => self.table(added, &item, revision),
            (Shape::Whole, Some(message)) => crate::cache::frame(added, self.kind, message, &item, revision),
            (Shape::PartialMetadata, message) if self.is_beta || message.is_some() => {
                self.partial(added, &item, revision)
            }
            (shape, _) => crate::cache::encode(added, &item, form(shape), revision),
        })
    }

    fn change(&mut self, event: Arc<Event>) -> Option<Bytes> {
        let event = self.viewed(event);
        let seen = event.seen_by(&self.selection)?;
        Some(match (self.shape, self.message) {
            (Shape::Table, _) => self.table(seen, event.shown(seen), event.revision),
            (Shape::Whole, Some(message)) => event.protobuf(seen, self.kind, message),
            (Shape::PartialMetadata, message) if self.is_beta || message.is_some() => {
                self.partial(seen, event.shown(seen), event.revision)
            }
            (shape, _) => event.json(seen, form(shape)),
        })
    }

    fn viewed(&self, event: Arc<Event>) -> Arc<Event> {
        if self.kind.stored_as.is_none() {
            return event;
        }
        let view = |item: &Option<Arc<Item>>| item.clone().map(|item| view(&self.server, self.kind, item));
        Arc::new(Event::new(event.revision, view(&event.item), view(&event.previous)))
    }

    /// An object's metadata in a form that no other watcher shares: protobuf, or an old version.
    fn partial(&self, seen: Line, item: &Item, revision: Revision) -> Bytes {
        let mut partial = table::partial(&crate::storage::decode(&item.bytes, revision));
        if self.is_beta {
            table::to_beta(&mut partial);
        }
        self.line(seen.word(), &partial)
    }

    fn table(&mut self, seen: Line, item: &Item, revision: Revision) -> Bytes {
        let mut object = item.value();
        meta::set_resource_version(&mut object, &revision.to_string());
        let table = self.table_of(&object, revision);
        self.line(seen.word(), &table)
    }

    /// A table with one row; only the first one has the columns.
    fn table_of(&mut self, object: &Value, revision: Revision) -> Value {
        let metadata = value!({"resourceVersion": (revision.to_string())});
        let now = self.server.clock.now();
        let mut table = table::of(self.kind, std::slice::from_ref(object), metadata, self.include, now);
        if std::mem::replace(&mut self.columns_sent, true) {
            table.set_at(&["columnDefinitions"], Value::Null);
        }
        if self.is_beta {
            table::to_beta(&mut table);
        }
        table
    }

    /// An object with nothing but a version: everything up to there has been sent.
    fn mark(&mut self, revision: Revision, initial_end: bool) -> Bytes {
        let mut object = if self.shape == Shape::PartialMetadata {
            value!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {}})
        } else {
            unset(self.kind)
        };
        meta::set_resource_version(&mut object, &revision.to_string());
        if initial_end {
            meta::set_annotation(&mut object, INITIAL_EVENTS_END, "true");
        }
        let mut shown = if self.shape == Shape::Table { self.table_of(&object, revision) } else { object };
        if self.is_beta {
            table::to_beta(&mut shown);
        }
        self.line("BOOKMARK", &shown)
    }

    fn line(&self, word: &str, object: &Value) -> Bytes {
        let protobuf = self.message.and_then(|_| reply::protobuf(object));
        if let Some(object) = protobuf {
            return proto::watch_frame(word, &object).into();
        }
        let mut out = json::to_vec(&value!({"type": (word), "object": (object.clone())}));
        out.push(b'\n');
        out.into()
    }
}

/// An object of which nothing is set, as Go writes one: with the structs and counts that it never leaves out.
fn unset(kind: &Kind) -> Value {
    let mut object = value!({"kind": (kind.kind), "apiVersion": (kind.api_version()), "metadata": {}});
    // These count in plain numbers inside upstream's server, so that an unset one is zero.
    if matches!(kind.kind, "Deployment" | "ReplicaSet" | "StatefulSet") {
        object.set_at(&["spec", "replicas"], Value::Int(0));
    }
    if let Some(message) = codec::message_of(kind) {
        let decoded = decode(message, &mut object, FieldValidation::Ignore);
        base::never!(decoded.is_err(), "an empty object decodes");
    }
    object
}

fn form(shape: Shape) -> Form {
    if shape == Shape::PartialMetadata { Form::Partial } else { Form::Whole }
}
