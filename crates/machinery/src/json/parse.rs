//! The JSON reader: one pass, no tree but ours, errors as Go's scanner gives them.

use super::{Error, MAX_DEPTH};
use crate::{Object, Text, Value};

/// What to do with a second member of one name.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Duplicates {
    /// The last counts.
    LastWins,
    /// All stay, for a later reader.
    Keep,
}

pub(super) fn parse(text: &[u8], duplicates: Duplicates) -> Result<Value, Error> {
    let mut reader = Reader { text, at: 0, depth: 0, duplicates, members: Vec::new(), items: Vec::new() };
    reader.space();
    let value = reader.value()?;
    reader.space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("after top-level value")),
    }
}

/// Whether a byte stands for itself in a text.
const IS_PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    depth: usize,
    duplicates: Duplicates,
    /// The members so far of the objects around the place at hand, one object after the other; so each object is
    /// allocated once, in its size.
    members: Vec<(Text, Value)>,
    /// The same of lists.
    items: Vec<Value>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The error about the byte at hand, or about the end of the text.
    fn unexpected(&self, context: &str) -> Error {
        let message = match self.peek() {
            None => "unexpected end of JSON input".to_owned(),
            Some(byte) => format!("invalid character {} {context}", show(byte)),
        };
        Error { message, offset: self.at }
    }

    fn value(&mut self) -> Result<Value, Error> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Value, Error>) -> Result<Value, Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.unexpected("exceeded max depth"));
        }
        self.depth += 1;
        self.at += 1;
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, Error> {
        let first = self.members.len();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::object());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let name = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            self.space();
            let value = self.value()?;
            self.members.push((name, value));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break self.at += 1,
                _ => return Err(self.unexpected("after object key:value pair")),
            }
            self.space();
        }
        let mut object = Object::of(self.members.drain(first..).collect());
        if self.duplicates == Duplicates::LastWins {
            object.keep_last();
        }
        Ok(Value::Object(object))
    }

    fn array(&mut self) -> Result<Value, Error> {
        let first = self.items.len();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(Vec::new()));
        }
        loop {
            let item = self.value()?;
            self.items.push(item);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break self.at += 1,
                _ => return Err(self.unexpected("after array element")),
            }
            self.space();
        }
        Ok(Value::Array(self.items.drain(first..).collect()))
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, Error> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting {})", show(expected))));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).expect("digits, signs and points are ASCII");
        if whole && let Ok(number) = text.parse() {
            return Ok(Value::Int(number));
        }
        let number: f64 = text.parse().expect("the grammar above is a part of Rust's");
        if number.is_infinite() {
            let message = format!("json: cannot unmarshal number {text} into Go value of type float64");
            return Err(Error { message, offset: start });
        }
        Ok(Value::Float(number))
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &str) -> Result<(), Error> {
        let Some(b'0'..=b'9') = self.peek() else { return Err(self.unexpected(context)) };
        self.digits();
        Ok(())
    }

    fn string(&mut self) -> Result<Text, Error> {
        self.at += 1;
        let start = self.at;
        let plain = self.text[start..].iter().take_while(|byte| IS_PLAIN[usize::from(**byte)]).count();
        self.at += plain;
        match self.peek() {
            Some(b'"') => {
                let raw = &self.text[start..self.at];
                self.at += 1;
                Ok(std::str::from_utf8(raw).map_or_else(|_| lossy(raw).into(), Text::from))
            }
            Some(b'\\') => self.escaped_string(start),
            _ => Err(self.unexpected("in string literal")),
        }
    }

    /// The rest of a text from its first escape on.
    fn escaped_string(&mut self, start: usize) -> Result<Text, Error> {
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(String::from_utf8(bytes).unwrap_or_else(|e| lossy(e.as_bytes())).into());
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte @ 0x20..) => {
                    bytes.push(byte);
                    self.at += 1;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(c)
    }

    /// The character of `\uXXXX`, or of two of them; half a pair is U+FFFD, as in Go.
    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) || !self.text[self.at..].starts_with(b"\\u") {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        self.at += 2;
        let second = self.four_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            self.at = before;
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Result<u32, Error> {
        let mut number = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.unexpected("in \\u hexadecimal character escape")) };
            number = number * 16 + digit;
            self.at += 1;
        }
        Ok(number)
    }
}

/// Bytes as text, each that is no UTF-8 replaced, as Go does.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A byte in single quotes, as Go's scanner shows it.
fn show(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = crate::field::quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
