//! What an unquoted YAML scalar means: the rules of YAML 1.1 as go-yaml has them.

use super::Error;
use crate::Value;

/// The value of an unquoted scalar; `tag` is the part after `!!` of an explicit core tag.
pub(super) fn plain(text: &str, tag: Option<&str>) -> Result<Value, Error> {
    if tag == Some("str") {
        return Ok(text.into());
    }
    let value = resolve(text);
    match (tag, value) {
        (_, Value::Float(number)) if !number.is_finite() => {
            let shown = if number.is_nan() {
                "NaN"
            } else if number > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            };
            Err(Error(format!("json: unsupported value: {shown}")))
        }
        #[allow(clippy::cast_precision_loss, reason = "the writer asked for a float")]
        (Some("float"), Value::Int(number)) => Ok(Value::Float(number as f64)),
        (_, value) => Ok(value),
    }
}

/// Whether a plain scalar of this text would be read as something other than a text.
pub(super) fn needs_quotes(text: &str) -> bool {
    !matches!(resolve(text), Value::String(_))
        || text == "<<"
        || text == "="
        || looks_like_time(text)
        || is_base_60(text)
}

fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        _ if text.starts_with(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '-', '.']) => number(text),
        _ => text.into(),
    }
}

fn number(text: &str) -> Value {
    if looks_like_time(text) {
        return text.into();
    }
    let plain = text.replace('_', "");
    if let Some(whole) = integer(&plain) {
        return Value::Int(whole);
    }
    if !is_float(&plain) {
        return text.into();
    }
    plain.parse().map_or_else(|_| text.into(), Value::Float)
}

/// A whole number with Go's prefixes (`strconv.ParseInt` with base 0).
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", after)) => !after.is_empty() && digits(after),
        Some((before, after)) => digits(before) && digits(after),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// `2001-12-14`, with or without a time: stays a text.
fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-' && bytes[5].is_ascii_digit()
}

/// `1:30` is a number for other YAML 1.1 readers, so it is written in quotes.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    text.contains(':')
        && text
            .split(':')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'.'))
}
