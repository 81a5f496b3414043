//! Base64 with Go's idea of what is wrong and where.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The text of `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of `text`; line ends are skipped.
///
/// # Errors
/// Where the first wrong byte stands, as Go's `base64.CorruptInputError` tells it.
pub fn decode(text: &str) -> Result<Vec<u8>, usize> {
    check(text.as_bytes())?;
    let one_line: Vec<u8> = text.bytes().filter(|byte| !is_line_end(*byte)).collect();
    // Bits behind the last byte may be anything, as in Go.
    let config = base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, config);
    engine.decode(one_line).map_err(|_| text.len())
}

/// Whether `text` is what [`encode`] makes of some bytes.
pub(super) fn is_written(text: &str) -> bool {
    let digits = text.trim_end_matches('=').as_bytes();
    let padding = text.len() - digits.len();
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // The last digit before padding has bits that stand for nothing; they are zero.
    let ends_well = match (padding, digits.last()) {
        (0, _) => true,
        (1, Some(last)) => b"AEIMQUYcgkosw048".contains(last),
        (2, Some(last)) => b"AQgw".contains(last),
        _ => false,
    };
    text.len().is_multiple_of(4) && ends_well && digits.iter().all(digit)
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn check(text: &[u8]) -> Result<(), usize> {
    let (mut at, mut in_quantum) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\n' | b'\r' => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => in_quantum = (in_quantum + 1) % 4,
            b'=' => return padding(text, at, in_quantum),
            _ => return Err(at),
        }
        at += 1;
    }
    if in_quantum == 0 { Ok(()) } else { Err(at - in_quantum) }
}

/// From the first `=` on there may be only what fills the last four.
fn padding(text: &[u8], at: usize, in_quantum: usize) -> Result<(), usize> {
    let skip = |mut at: usize| {
        while text.get(at).copied().is_some_and(is_line_end) {
            at += 1;
        }
        at
    };
    let mut next = skip(at + 1);
    if in_quantum < 2 {
        return Err(at);
    }
    if in_quantum == 2 {
        match text.get(next) {
            None => return Err(text.len()),
            Some(b'=') => next = skip(next + 1),
            Some(_) => return Err(next - 1),
        }
    }
    if next < text.len() { Err(next) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_known() {
        for length in 0..7 {
            assert!(is_written(&encode(&[0xfb; 7][..length])), "{length}");
        }
        for text in ["aGk", "aGl=", "aA=", "aB==", "a===", "====", "aG\nk=", "aGk=aGk=", "!!!!"] {
            assert!(!is_written(text), "{text}");
        }
    }

    #[test]
    fn places_of_mistakes() {
        for (text, expected) in [
            ("", Ok("")),
            ("aGk=", Ok("hi")),
            ("aG\nk=\n", Ok("hi")),
            ("!!", Err(0)),
            ("aGk", Err(0)),
            ("aGkhaGk", Err(4)),
            ("aGk=x", Err(4)),
            ("aA=x", Err(2)),
            ("aA=", Err(3)),
            ("a===", Err(1)),
            ("aGl=", Ok("hi")),
        ] {
            let found = decode(text);
            assert_eq!(found, expected.map(|text: &str| text.as_bytes().to_vec()), "{text}");
        }
    }
}
