//! The YAML writer: the layout that Kubernetes' tools print (keys sorted, lists not indented). Long lines stay whole.

use std::cmp::Ordering;

use super::scalar;
use crate::{Object, Value};

/// The YAML of `value`, ending with a line end.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    node(value, 0, &mut out);
    out
}

/// Writes `value` at the place where the line stands, and ends its last line.
fn node(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(object) if !object.is_empty() => mapping(object, indent, out),
        Value::Array(items) if !items.is_empty() => sequence(items, indent, out),
        Value::String(text) => string(text, indent, out),
        other => {
            out.push_str(&crate::json::to_string(other));
            out.push('\n');
        }
    }
}

fn mapping(object: &Object, indent: usize, out: &mut String) {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by(|a, b| natural_order(a.0, b.0));
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        out.push_str(&key(name));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(indent + 2, out);
                node(value, indent + 2, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(indent, out);
                node(value, indent, out);
            }
            _ => {
                out.push(' ');
                node(value, indent + 2, out);
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        out.push_str("- ");
        node(item, indent + 2, out);
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn key(name: &str) -> String {
    // A key of several lines, or a very long one, would need YAML's `? ` form; quoted on one line it means the same.
    if name.contains('\n') || !printable(name) { double_quoted(name) } else { one_line(name) }
}

fn string(text: &str, indent: usize, out: &mut String) {
    let block_fits = text.contains('\n')
        && printable(&text.replace('\n', ""))
        && !text.starts_with([' ', '\n', '\t'])
        && !text.split('\n').any(|line| line.ends_with([' ', '\t']));
    if !block_fits {
        let one = if text.contains('\n') || !printable(text) { double_quoted(text) } else { one_line(text) };
        out.push_str(&one);
        out.push('\n');
        return;
    }
    let body = text.strip_suffix('\n');
    out.push_str(match body {
        None => "|-",
        Some(body) if body.ends_with('\n') => "|+",
        Some(_) => "|",
    });
    out.push('\n');
    for line in body.unwrap_or(text).split('\n') {
        if !line.is_empty() {
            pad(indent.max(2), out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn one_line(text: &str) -> String {
    if scalar::needs_quotes(text) {
        double_quoted(text)
    } else if plain_is_safe(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn plain_is_safe(text: &str) -> bool {
    let starts_badly = text.starts_with(|c: char| " ,[]{}#&*!|>'\"%@`".contains(c))
        || (text.starts_with(['-', '?', ':']) && (text.len() == 1 || text[1..].starts_with(' ')))
        || text.starts_with("---")
        || text.starts_with("...");
    !starts_badly && !text.ends_with([' ', ':']) && !text.contains(": ") && !text.contains(" #")
}

fn printable(text: &str) -> bool {
    text.chars()
        .all(|c| !c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}'))
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if printable(c.encode_utf8(&mut [0; 4])) => out.push(c),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// go-yaml's order of keys: the first characters that differ decide, and runs of digits by their number. Letters come
/// after other characters, but before them within a number. It is an order: sorting needs one.
fn natural_order(a: &str, b: &str) -> Ordering {
    let Some(at) = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map(|((at, _), _)| at) else {
        return a.len().cmp(&b.len());
    };
    let (before, m, n) = (&a[..at], &a[at..], &b[at..]);
    let number_before = &before[before.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
    match (is_letter(m), is_letter(n)) {
        (true, true) => return m.chars().next().cmp(&n.chars().next()),
        (true, false) if number_before.is_empty() => return Ordering::Greater,
        (false, true) if number_before.is_empty() => return Ordering::Less,
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (false, false) => {}
    }
    // Where a number goes on that is not zero so far, zeros count.
    let zeros_count = number_before.contains(|c| c != '0');
    let size = |digits: &str| {
        let digits = if zeros_count { digits } else { digits.trim_start_matches('0') };
        (digits.len(), digits.to_owned())
    };
    let (p, q) = (digits(m), digits(n));
    size(p).cmp(&size(q)).then(p.len().cmp(&q.len())).then_with(|| m.chars().next().cmp(&n.chars().next()))
}

fn is_letter(text: &str) -> bool {
    text.starts_with(char::is_alphabetic)
}

fn digits(text: &str) -> &str {
    &text[..text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_one_order() {
        let mut keys = vec![
            "b",
            "a",
            "A",
            "-",
            "a1",
            "a10",
            "a2",
            "a02",
            "a002",
            "a1b",
            "a1-",
            "a1ey",
            "a10x",
            "10",
            "9",
            "09",
            "0",
            "00",
            "1a",
            "1.",
            "a100000000000000000000000",
            "a99999999999999999999999",
            "ä",
            "a.b",
            "a/b",
            "ab",
            "a_",
            "",
            "x1ey",
            "x10",
            "x11",
            "x22",
            "x7",
            "~",
            "105",
            "15",
            "1005",
        ];
        keys.sort_by(|a, b| natural_order(a, b));
        expect_test::expect![" - ~ 0 00 1a 1. 9 09 10 15 105 1005 A a a.b a/b a_ a1 a1b a1ey a1- a2 a02 a002 a10 a10x a99999999999999999999999 a100000000000000000000000 ab b x1ey x7 x10 x11 x22 ä"].assert_eq(&keys.join(" "));
        for a in &keys {
            for b in &keys {
                assert_eq!(natural_order(a, b), natural_order(b, a).reverse(), "{a} {b}");
                for c in keys.iter().filter(|c| natural_order(a, b).is_le() && natural_order(b, c).is_le()) {
                    assert!(natural_order(a, c).is_le(), "{a} {b} {c}");
                }
            }
        }
    }
}
