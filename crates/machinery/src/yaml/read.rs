//! Events of the YAML parser put together to trees.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{Error, scalar};
use crate::json::MAX_DEPTH;
use crate::{Object, Text, Value};

/// How many nodes aliases may add to a document ("a billion laughs" is refused).
const MAX_ALIASED_NODES: usize = 400_000;

/// One text's documents, one after another.
pub(super) struct Reader<'t> {
    text: &'t str,
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Value>,
    aliased: usize,
    depth: usize,
    /// What was found twice so far.
    pub(super) duplicates: Vec<String>,
}

type Next<'t> = (Event<'t>, Span);

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            events: Parser::new_from_str(text),
            anchors: HashMap::new(),
            aliased: 0,
            depth: 0,
            duplicates: Vec::new(),
        }
    }

    /// The next document, if there is one.
    pub(super) fn document(&mut self) -> Result<Option<Value>, Error> {
        loop {
            let Some((event, _)) = self.next()? else { return Ok(None) };
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) => break,
                _ => return Ok(None),
            }
        }
        self.anchors.clear();
        match self.next()? {
            Some((Event::DocumentEnd, _)) | None => Ok(Some(Value::Null)),
            Some(event) => self.node(event).map(Some),
        }
    }

    fn next(&mut self) -> Result<Option<Next<'t>>, Error> {
        loop {
            match self.events.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(Some(event)),
                Some(Err(error)) => return Err(scan_error(&error, self.text)),
            }
        }
    }

    fn must_next(&mut self) -> Result<Next<'t>, Error> {
        self.next()?.ok_or_else(|| Error("unexpected end of the document".to_owned()))
    }

    fn node(&mut self, (event, _): Next<'t>) -> Result<Value, Error> {
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().and_then(|tag| tag.core_suffix());
                let value = if style == ScalarStyle::Plain { scalar::plain(&text, tag)? } else { text.as_ref().into() };
                (value, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.nested(Self::sequence)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.nested(Self::mapping)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor),
            _ => return Err(Error("unexpected end of the document".to_owned())),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Value, Error>) -> Result<Value, Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error("exceeded max depth".to_owned()));
        }
        self.depth += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn alias(&mut self, anchor: usize) -> Result<Value, Error> {
        let Some(value) = self.anchors.get(&anchor) else {
            return Err(Error("anchor value contains itself".to_owned()));
        };
        self.aliased += nodes(value);
        if self.aliased > MAX_ALIASED_NODES {
            return Err(Error("document contains excessive aliasing".to_owned()));
        }
        if self.depth + depth(value) > MAX_DEPTH {
            return Err(Error("exceeded max depth".to_owned()));
        }
        Ok(value.clone())
    }

    fn sequence(&mut self) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.must_next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                event => items.push(self.node(event)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<Value, Error> {
        let mut object = Object::new();
        let mut merged = Vec::new();
        let mut seen = std::collections::HashSet::new();
        loop {
            let key = self.must_next()?;
            if let Event::MappingEnd = key.0 {
                break;
            }
            let is_merge = matches!(&key.0, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(key)?;
            let value = self.must_next()?;
            let line = value.1.start.line();
            let value = self.node(value)?;
            if is_merge {
                merged.push(value);
                continue;
            }
            let name = key_text(&key)?;
            if !seen.insert(name.clone()) {
                self.duplicates.push(format!("line {line}: key {} already set in map", crate::field::quote(&name)));
            }
            object.push(name, value);
        }
        object.keep_last();
        merged.into_iter().try_for_each(|value| merge(&mut object, value))?;
        Ok(Value::Object(object))
    }
}

/// Takes over what a merge key gives and `object` does not have.
fn merge(object: &mut Object, value: Value) -> Result<(), Error> {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                object.or_insert_with(&name, || value);
            }
            Ok(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| merge(object, item)),
        _ => Err(Error("map merge requires map or sequence of maps as the value".to_owned())),
    }
}

fn key_text(key: &Value) -> Result<Text, Error> {
    match key {
        Value::String(text) => Ok(text.clone()),
        Value::Int(_) | Value::Bool(_) | Value::Float(_) => Ok(crate::json::to_string(key).into()),
        other => Err(Error(format!("unsupported map key of type: {}", other.type_name()))),
    }
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(object) => object.values().map(nodes).sum(),
        _ => 0,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The parser's error in the words of libyaml, where it has them.
fn scan_error(error: &ScanError, source: &str) -> Error {
    let text = error.info();
    let line = error.marker().line();
    // libyaml's scanner counts lines from one, its parser from nought, and neither tells of the first.
    let scanned = if line == 1 { 0 } else { line };
    let flow = line;
    let parsed = line.saturating_sub(1);
    let known = [
        ("unclosed bracket '['", "did not find expected ',' or ']'", flow),
        ("unclosed bracket '{'", "did not find expected ',' or '}'", flow),
        ("flow sequence", "did not find expected ',' or ']'", flow),
        ("expected ',' or ']'", "did not find expected ',' or ']'", flow),
        ("flow mapping", "did not find expected ',' or '}'", flow),
        ("expected ',' or '}'", "did not find expected ',' or '}'", flow),
        ("block mapping", "did not find expected key", parsed),
        ("block collection", "did not find expected '-' indicator", parsed),
        ("mapping values are not allowed", "mapping values are not allowed in this context", scanned),
        ("tab", "found character that cannot start any token", scanned),
    ];
    if text.contains("unknown anchor") {
        let at = error.marker().byte_offset().unwrap_or(source.len());
        let name = source[at..].trim_start_matches('*').split([' ', ',', ']', '}', '\n', '\r']).next();
        return Error(format!("unknown anchor '{}' referenced", name.unwrap_or_default()));
    }
    match known.iter().find(|(theirs, ..)| text.contains(theirs)) {
        Some((_, words, 0)) => Error((*words).to_owned()),
        Some((_, words, line)) => Error(format!("line {line}: {words}")),
        None => Error(format!("line {line}: {text}")),
    }
}
