//! PEM (RFC 7468) and the outermost layer of DER, as far as requests and certificates are looked at here.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &str = "-----";
/// The tag of a SEQUENCE (X.690).
const SEQUENCE: u8 = 16;

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

/// Why bytes are not one SEQUENCE in DER and nothing else, in the words of Go's parser.
pub(super) fn sequence_problem(bytes: &[u8]) -> Option<String> {
    let [first, rest @ ..] = bytes else { return Some("asn1: syntax error: sequence truncated".to_owned()) };
    let Some((length, header)) = length(rest) else {
        return Some("asn1: syntax error: truncated tag or length".to_owned());
    };
    let (class, compound, tag) = (first >> 6, first & 0x20 != 0, first & 0x1f);
    if (class, compound, tag) != (0, true, SEQUENCE) {
        let mut text = format!("asn1: structure error: tags don't match ({SEQUENCE} vs ");
        let _ = write!(text, "{{class:{class} tag:{tag} length:{length} isCompound:{compound}}}) ");
        text.push_str("{optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> ");
        text.push_str("stringType:0 timeType:0 set:false omitEmpty:false} certificateRequest ");
        let _ = write!(text, "@{}", 1 + header);
        return Some(text);
    }
    match rest.len() - header {
        present if present < length => Some("asn1: syntax error: data truncated".to_owned()),
        present if present > length => Some("asn1: syntax error: trailing data".to_owned()),
        _ => None,
    }
}

/// The length that the bytes begin with, and in how many bytes it is written.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.first()?);
    if first < 0x80 {
        return Some((first, 1));
    }
    let count = first & 0x7f;
    let digits = bytes.get(1..=count).filter(|digits| digits.len() <= size_of::<u32>())?;
    Some((digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), 1 + count))
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

    #[test]
    fn sequences() {
        let shown = [&[0x30, 1, 0][..], &[], &[0x30], b"abc", &[0x30, 5, 0], &[0x30, 1, 0, 0]].map(sequence_problem);
        expect_test::expect![[r#"
            [
                None,
                Some(
                    "asn1: syntax error: sequence truncated",
                ),
                Some(
                    "asn1: syntax error: truncated tag or length",
                ),
                Some(
                    "asn1: structure error: tags don't match (16 vs {class:1 tag:1 length:98 isCompound:true}) {optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false} certificateRequest @2",
                ),
                Some(
                    "asn1: syntax error: data truncated",
                ),
                Some(
                    "asn1: syntax error: trailing data",
                ),
            ]
        "#]].assert_debug_eq(&shown);
    }
}
