//! One change of an object, and its lines in a watch's stream: each is written once and shared by all watchers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kinds::Kind;
use machinery::proto;
use machinery::schema::Message;
use store::Revision;

use super::{Form, Item, Selection};

/// What a change means to a watcher, by what it saw of the object before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The object came into view.
    Added,
    /// The object changed.
    Modified,
    /// The object went out of view: it was deleted or its selected fields changed.
    Deleted,
}

impl Line {
    /// The word of the watch protocol.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    /// When.
    pub revision: Revision,
    /// What it is now; `None` when it was deleted.
    pub item: Option<Arc<Item>>,
    /// What it was; `None` when it was created.
    pub previous: Option<Arc<Item>>,
    whole: [OnceLock<Bytes>; 3],
    partial: [OnceLock<Bytes>; 3],
    whole_protobuf: [OnceLock<Bytes>; 3],
}

impl Event {
    /// A change at `revision`.
    #[must_use]
    pub fn new(revision: Revision, item: Option<Arc<Item>>, previous: Option<Arc<Item>>) -> Self {
        let (whole, partial, whole_protobuf) = Default::default();
        Self { revision, item, previous, whole, partial, whole_protobuf }
    }

    /// What a watcher of `selection` is told; nothing if the object was and is out of its view.
    #[must_use]
    pub fn seen_by(&self, selection: &Selection) -> Option<Line> {
        let now = self.item.as_ref().is_some_and(|item| selection.matches(item));
        let before = self.previous.as_ref().is_some_and(|item| selection.matches(item));
        match (before, now) {
            (false, false) => None,
            (false, true) => Some(Line::Added),
            (true, true) => Some(Line::Modified),
            (true, false) => Some(Line::Deleted),
        }
    }

    /// The object that the watcher is shown: of a deletion, what it was before.
    #[must_use]
    pub fn shown(&self, line: Line) -> &Arc<Item> {
        let item = if line == Line::Deleted { &self.previous } else { &self.item };
        item.as_ref().expect("a line is only chosen when its object is there")
    }

    /// The line as JSON.
    #[must_use]
    pub fn json(&self, line: Line, form: Form) -> Bytes {
        let lines = if form == Form::Partial { &self.partial } else { &self.whole };
        lines[line as usize].get_or_init(|| encode(line, self.shown(line), form, self.revision)).clone()
    }

    /// The frame in protobuf.
    #[must_use]
    pub fn protobuf(&self, line: Line, kind: &Kind, message: &Message) -> Bytes {
        let encode = || frame(line, kind, message, self.shown(line), self.revision);
        self.whole_protobuf[line as usize].get_or_init(encode).clone()
    }
}

/// The frame of an event in protobuf; the object is in its envelope.
#[must_use]
pub fn frame(line: Line, kind: &Kind, message: &Message, item: &Item, revision: Revision) -> Bytes {
    let object = proto::wrap(&kind.api_version(), kind.kind, &item.protobuf(message, revision));
    proto::watch_frame(line.word(), &object).into()
}

/// `{"type":"ADDED","object":{…}}` and a line end.
#[must_use]
pub fn encode(line: Line, item: &Item, form: Form, revision: Revision) -> Bytes {
    let mut out = Vec::with_capacity(item.bytes.len() + 96);
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(line.word().as_bytes());
    out.extend_from_slice(br#"","object":"#);
    item.write(form, revision, &mut out);
    out.extend_from_slice(b"}\n");
    out.into()
}
