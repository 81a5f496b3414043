//! The YAML writer: the layout that Kubernetes' tools print (keys sorted, lists not indented). Long lines stay whole.

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

/// go-yaml's order of keys: letters after other characters, runs of digits by their number.
fn natural_order(a: &str, b: &str) -> std::cmp::Ordering {
    let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = x.iter().zip(&y).position(|(x, y)| x != y) else { return x.len().cmp(&y.len()) };
    match (x[at].is_alphabetic(), y[at].is_alphabetic()) {
        (true, true) => return x[at].cmp(&y[at]),
        (true, false) => return std::cmp::Ordering::Greater,
        (false, true) => return std::cmp::Ordering::Less,
        (false, false) => {}
    }
    let digits = |text: &[char]| text[at..].iter().take_while(|c| c.is_ascii_digit()).collect::<String>();
    let (m, n) = (digits(&x), digits(&y));
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(&m).cmp(&number(&n)).then(m.len().cmp(&n.len())).then(x[at].cmp(&y[at]))
}
