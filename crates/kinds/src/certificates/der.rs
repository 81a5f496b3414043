//! DER (X.690), as far as certificate signing requests need it; it refuses in the words of Go's reader.

use std::fmt::Write as _;

/// Where a reader in Go stops: a length of more bytes than this.
const MAX_LENGTH: usize = 1 << 23;

/// What stands before the content of an element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    class: u8,
    tag: u32,
    compound: bool,
}

impl Head {
    pub(super) const INTEGER: Self = Self { class: 0, tag: 2, compound: false };
    pub(super) const BIT_STRING: Self = Self { class: 0, tag: 3, compound: false };
    pub(super) const OBJECT_IDENTIFIER: Self = Self { class: 0, tag: 6, compound: false };
    pub(super) const SEQUENCE: Self = Self { class: 0, tag: 16, compound: true };
    pub(super) const SET: Self = Self { class: 0, tag: 17, compound: true };

    /// The implicit tag of a list of a definition's own.
    pub(super) const fn own(tag: u32) -> Self {
        Self { class: 2, tag, compound: true }
    }
}

/// An element: its content, and all of its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// Reads one element after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<Element<'a>, String> {
        self.next(None)
    }

    /// The next element, which must begin so; `type_name` is the name that Go has for it.
    pub(super) fn element(&mut self, wanted: Head, type_name: &str) -> Result<Element<'a>, String> {
        self.next(Some((wanted, type_name)))
    }

    /// The number of an OBJECT IDENTIFIER, still encoded.
    pub(super) fn identifier(&mut self) -> Result<&'a [u8], String> {
        let content = self.element(Head::OBJECT_IDENTIFIER, "ObjectIdentifier")?.content;
        match content.last() {
            None => Err(syntax("zero length OBJECT IDENTIFIER")),
            Some(last) if last & 0x80 != 0 => Err(syntax("truncated base 128 integer")),
            Some(_) => Ok(content),
        }
    }

    /// The bytes of a BIT STRING.
    pub(super) fn bits(&mut self) -> Result<&'a [u8], String> {
        let content = self.element(Head::BIT_STRING, "BitString")?.content;
        let [padding, bits @ ..] = content else { return Err(syntax("zero length BIT STRING")) };
        let last = bits.last().copied();
        let is_right = *padding <= 7 && last.map_or(*padding == 0, |last| last & ((1 << padding) - 1) == 0);
        if is_right { Ok(bits) } else { Err(syntax("invalid padding bits in BIT STRING")) }
    }

    /// Passes over a small INTEGER.
    pub(super) fn small_integer(&mut self) -> Result<(), String> {
        match self.element(Head::INTEGER, "int")?.content {
            [] => Err(structure("empty integer")),
            [0, next, ..] if next & 0x80 == 0 => Err(structure("integer not minimally-encoded")),
            [0xff, next, ..] if next & 0x80 != 0 => Err(structure("integer not minimally-encoded")),
            content if content.len() > size_of::<i64>() => Err(structure("integer too large")),
            _ => Ok(()),
        }
    }

    fn next(&mut self, wanted: Option<(Head, &str)>) -> Result<Element<'a>, String> {
        if self.is_done() {
            return Err(syntax("sequence truncated"));
        }
        let start = self.at;
        let (head, length) = self.head()?;
        if let Some((wanted, type_name)) = wanted
            && (head.class, head.tag, head.compound) != (wanted.class, wanted.tag, wanted.compound)
        {
            return Err(mismatch(wanted, head, length, type_name, self.at));
        }
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(syntax("data truncated")) };
        let element = Element { content: &self.bytes[self.at..end], whole: &self.bytes[start..end] };
        self.at = end;
        Ok(element)
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| syntax("truncated tag or length"))?;
        self.at += 1;
        Ok(byte)
    }

    fn head(&mut self) -> Result<(Head, usize), String> {
        let first = self.byte()?;
        let mut head = Head { class: first >> 6, tag: u32::from(first & 0x1f), compound: first & 0x20 != 0 };
        if head.tag == 0x1f {
            head.tag = self.long_tag()?;
        }
        let first = self.byte()?;
        if first & 0x80 == 0 {
            return Ok((head, usize::from(first)));
        }
        let count = first & 0x7f;
        if count == 0 {
            return Err(syntax("indefinite length found (not DER)"));
        }
        let mut length = 0;
        for _ in 0..count {
            let byte = self.byte()?;
            if length >= MAX_LENGTH {
                return Err(structure("length too large"));
            }
            length = length << 8 | usize::from(byte);
            if length == 0 {
                return Err(structure("superfluous leading zeros in length"));
            }
        }
        if length < 0x80 { Err(structure("non-minimal length")) } else { Ok((head, length)) }
    }

    fn long_tag(&mut self) -> Result<u32, String> {
        let mut tag: u32 = 0;
        for _ in 0..4 {
            let byte = self.bytes.get(self.at).copied().ok_or_else(|| syntax("truncated base 128 integer"))?;
            self.at += 1;
            tag = tag << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return if tag < 0x1f { Err(syntax("non-minimal tag")) } else { Ok(tag) };
            }
        }
        Err(structure("base 128 integer too large"))
    }
}

pub(super) fn syntax(what: &str) -> String {
    format!("asn1: syntax error: {what}")
}

fn structure(what: &str) -> String {
    format!("asn1: structure error: {what}")
}

/// The message of Go for another element than was wanted, with all that Go's reader knows.
fn mismatch(wanted: Head, found: Head, length: usize, type_name: &str, at: usize) -> String {
    let Head { class, tag, compound } = found;
    let mut text = structure(&format!("tags don't match ({} vs ", wanted.tag));
    let _ = write!(text, "{{class:{class} tag:{tag} length:{length} isCompound:{compound}}}) ");
    text.push_str("{optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> ");
    let _ = write!(text, "stringType:0 timeType:0 set:false omitEmpty:false}} {type_name} @{at}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        let table = [&[0x30, 1, 0][..], &[], &[0x30], b"abc", &[0x30, 5, 0], &[0x30, 0x80], &[0x30, 0x81, 1, 0]];
        let shown = table.map(|bytes| match Reader::new(bytes).element(Head::SEQUENCE, "certificateRequest") {
            Ok(element) => format!("{:?}", element.content),
            Err(why) => why,
        });
        expect_test::expect![[r#"
            [0]
            asn1: syntax error: sequence truncated
            asn1: syntax error: truncated tag or length
            asn1: structure error: tags don't match (16 vs {class:1 tag:1 length:98 isCompound:true}) {optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false} certificateRequest @2
            asn1: syntax error: data truncated
            asn1: syntax error: indefinite length found (not DER)
            asn1: structure error: non-minimal length"#]]
        .assert_eq(&shown.join("\n"));
    }
}
