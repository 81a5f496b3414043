//! PEM (RFC 7468), as far as requests and certificates are looked at here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &str = "-----";

/// A block: its label, its content, and what stands after it.
pub(super) struct Block<'a> {
    pub label: String,
    pub has_headers: bool,
    pub content: Vec<u8>,
    pub rest: &'a [u8],
}

/// The first block that is whole; what is not is passed over.
pub(super) fn first_block(bytes: &[u8]) -> Option<Block<'_>> {
    let mut at = 0;
    while let Some(found) = bytes.get(at..)?.windows(BEGIN.len()).position(|window| window == BEGIN) {
        let start = at + found;
        let at_line_start = start == 0 || bytes[start - 1] == b'\n';
        if at_line_start && let Some(block) = block_at(&bytes[start + BEGIN.len()..]) {
            return Some(block);
        }
        at = start + BEGIN.len();
    }
    None
}

fn block_at(bytes: &[u8]) -> Option<Block<'_>> {
    let end_of_line = bytes.iter().position(|byte| *byte == b'\n')?;
    let label = std::str::from_utf8(&bytes[..end_of_line]).ok()?.trim_end().strip_suffix(DASHES)?;
    let end = format!("{DASHES}END {label}{DASHES}");
    let body = &bytes[end_of_line + 1..];
    let at = body.windows(end.len()).position(|window| window == end.as_bytes())?;
    let text = std::str::from_utf8(&body[..at]).ok()?;
    let headers = text.lines().take_while(|line| line.contains(':')).count();
    let text: String = text.lines().skip(headers).flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    let content = STANDARD.decode(text).ok()?;
    Some(Block { label: label.to_owned(), has_headers: headers > 0, content, rest: &body[at + end.len()..] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let text = b"x\n-----BEGIN A B-----\nh: i\nYWJj\n-----END A B-----\n-----BEGIN C-----\nYQ==\n-----END C-----\n";
        let first = first_block(text).unwrap();
        assert_eq!((first.label.as_str(), first.has_headers, first.content.as_slice()), ("A B", true, &b"abc"[..]));
        assert_eq!(first_block(first.rest).map(|block| block.label), Some("C".to_owned()));
        assert!(first_block(b"-----BEGIN A-----\nYWJj\n").is_none());
    }
}
