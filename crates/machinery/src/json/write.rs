//! The JSON writer: compact, in the tree's order, with the escapes of Go's `encoding/json`.

use crate::{Value, decimal};

/// The JSON of `value`, without a line end.
#[must_use]
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// The JSON of `value` as text.
#[must_use]
pub fn to_string(value: &Value) -> String {
    String::from_utf8(to_vec(value)).expect("the writer copies valid texts and adds ASCII")
}

/// The JSON of `value` over several lines, four spaces a level, as `kubectl -o json` shows it.
#[must_use]
pub fn to_pretty(value: &Value) -> String {
    let mut out = Vec::with_capacity(256);
    pretty(value, 0, &mut out);
    String::from_utf8(out).expect("the writer copies valid texts and adds ASCII")
}

/// Appends the JSON of `value`.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => write_int(*number, out),
        Value::Float(number) => write_number(*number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (index, (name, member)) in object.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write(member, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends `text` in quotes; `<`, `>`, `&` and the two line separators are escaped, as Go does for HTML's sake.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut start = 0;
    while let Some(index) = special(bytes, start) {
        let byte = bytes[index];
        out.extend_from_slice(&bytes[start..index]);
        start = index + write_special(byte, &bytes[index..], out);
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// The first byte from `start` on that may not be written as it is.
fn special(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    // Sixteen at a time, without a branch each: the compiler makes a few wide instructions of it.
    let is_special = |byte: &u8| *byte < 0x20 || matches!(*byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
    while let Some(chunk) = bytes[at..].first_chunk::<16>() {
        if chunk.iter().fold(false, |any, byte| any | is_special(byte)) {
            break;
        }
        at += 16;
    }
    bytes[at..].iter().position(|byte| !IS_PLAIN[usize::from(*byte)]).map(|plain| at + plain)
}

/// Whether a byte is written as it is, whatever follows.
const IS_PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    // The last one may begin a line separator.
    let others = [b'"', b'\\', b'<', b'>', b'&', 0xe2];
    let mut at = 0;
    while at < others.len() {
        plain[others[at] as usize] = false;
        at += 1;
    }
    plain
};

/// Appends the first character of `rest`, which begins with `byte`, as far as it is special; says how many bytes that was.
fn write_special(byte: u8, rest: &[u8], out: &mut Vec<u8>) -> usize {
    let escape: &[u8] = match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        0x8 => b"\\b",
        0xc => b"\\f",
        0xe2 if rest.starts_with("\u{2028}".as_bytes()) => b"\\u2028",
        0xe2 if rest.starts_with("\u{2029}".as_bytes()) => b"\\u2029",
        0xe2 => {
            out.push(byte);
            return 1;
        }
        _ => &hex_escape(byte),
    };
    out.extend_from_slice(escape);
    if byte == 0xe2 { 3 } else { 1 }
}

fn write_int(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(decimal(number.unsigned_abs(), &mut [0; 20]).as_bytes());
}

fn hex_escape(byte: u8) -> [u8; 6] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Appends a number as Go prints a float64: plain from 1e-6 up to 1e21, else with an exponent.
pub fn write_number(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                write_display(&format!("{digits}e+{exponent}"), out)
            }
            _ => out.extend_from_slice(text.as_bytes()),
        }
    } else {
        write_display(&number, out);
    }
}

fn write_display(shown: &impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write;
    write!(out, "{shown}").expect("a Vec takes every byte");
}

fn pretty(value: &Value, level: usize, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                line(index > 0, level + 1, out);
                pretty(item, level + 1, out);
            }
            line(false, level, out);
            out.push(b']');
        }
        Value::Object(object) if !object.is_empty() => {
            out.push(b'{');
            for (index, (name, member)) in object.iter().enumerate() {
                line(index > 0, level + 1, out);
                write_string(name, out);
                out.extend_from_slice(b": ");
                pretty(member, level + 1, out);
            }
            line(false, level, out);
            out.push(b'}');
        }
        other => write(other, out),
    }
}

fn line(comma: bool, level: usize, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', level * 4));
}
