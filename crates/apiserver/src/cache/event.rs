//! One change of an object, and its lines in a watch's stream: each is written once and shared by all watchers.

use std::sync::Arc;

use bytes::Bytes;
use kinds::Kind;
use machinery::proto;
use machinery::schema::Message;
use parking_lot::Mutex;
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
    /// The lines that somebody has asked for; there are few.
    lines: Mutex<Vec<(Line, Written, Bytes)>>,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Json(Form),
    Protobuf,
}

impl Event {
    /// A change at `revision`.
    #[must_use]
    pub fn new(revision: Revision, item: Option<Arc<Item>>, previous: Option<Arc<Item>>) -> Self {
        Self { revision, item, previous, lines: Mutex::default() }
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
        self.line(line, Written::Json(form), || encode(line, self.shown(line), form, self.revision))
    }

    /// The frame in protobuf.
    #[must_use]
    pub fn protobuf(&self, line: Line, kind: &Kind, message: &Message) -> Bytes {
        self.line(line, Written::Protobuf, || frame(line, kind, message, self.shown(line), self.revision))
    }

    /// Who asks while the line is being written waits for it rather than write it too.
    fn line(&self, line: Line, written: Written, write: impl FnOnce() -> Bytes) -> Bytes {
        let mut lines = self.lines.lock();
        if let Some((.., bytes)) = lines.iter().find(|(l, w, _)| (*l, *w) == (line, written)) {
            return bytes.clone();
        }
        let bytes = write();
        lines.push((line, written, bytes.clone()));
        bytes
    }

    /// Lets the lines go; who needs one has it written anew.
    pub fn forget_lines(&self) {
        *self.lines.lock() = Vec::new();
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
