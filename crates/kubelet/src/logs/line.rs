//! One line of a log as the runtime writes it: time, stream, flag, text.

use jiff::Timestamp;

/// A parsed line; everything borrows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) time: &'a str,
    pub(crate) stream: &'a str,
    /// Whether the next line of the stream goes on with this one.
    pub(crate) partial: bool,
    pub(crate) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads `line`, which has no newline at its end. `None` when it is no such line.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(parts.next()?).ok();
        let (time, stream, flags) = (word()?, word()?, word()?);
        let partial = flags.split(':').next() == Some("P");
        Some(Self { time, stream, partial, text: parts.next().unwrap_or_default() })
    }

    pub(crate) fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let line = Line::parse(b"2026-11-21T10:00:00.5Z stdout F hello  world").unwrap();
        assert_eq!((line.stream, line.partial, line.text), ("stdout", false, b"hello  world".as_slice()));
        assert!(Line::parse(b"2026-11-21T10:00:00Z stderr P x").unwrap().partial);
        assert_eq!(Line::parse(b"2026-11-21T10:00:00Z stdout F ").unwrap().text, b"");
        assert_eq!(Line::parse(b"garbage"), None);
    }
}
