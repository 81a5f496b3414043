//! Field selectors: `metadata.name=a,status.phase!=Running`.

use std::fmt;

use thiserror::Error;

/// Why a text is no field selector; the words are the API's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// A part has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{part}'")]
    Part {
        /// The whole text.
        selector: String,
        /// The part that has none.
        part: String,
    },
    /// A backslash before a character that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A `,` or `=` in a value without a backslash.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(char),
}

/// One requirement: a field has a value, or has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The field, as the kind names it: `spec.nodeName`.
    pub field: String,
    /// Whether the field must have the value (`=`) or must not (`!=`).
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// All requirements of a selector; none selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// The requirements, sorted by their text as upstream does.
    pub requirements: Vec<Requirement>,
}

impl Selector {
    /// Selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects objects whose `field` has `value`.
    #[must_use]
    pub fn one(field: &str, value: &str) -> Self {
        Self { requirements: vec![Requirement { field: field.into(), equal: true, value: value.into() }] }
    }

    /// Reads a selector.
    ///
    /// # Errors
    /// A part without operator or a value with a wrong escape.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        Ok(Self { requirements: parts.map(|part| parse_part(text, part)).collect::<Result<_, _>>()? })
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these fields is selected; `get` gives a field's value, empty when it has none.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| (get(&r.field).unwrap_or_default() == r.value) == r.equal)
    }

    /// The value that `field` must have, if the selector says so: the key of an index.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.equal && r.field == field).map(|r| r.value.as_str())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{}{}{}", r.field, if r.equal { "=" } else { "!=" }, escape(&r.value))?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut in_escape) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if in_escape => in_escape = false,
            '\\' => in_escape = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn parse_part(selector: &str, part: &str) -> Result<Requirement, Error> {
    let found = part
        .char_indices()
        .find_map(|(i, _)| ["!=", "==", "="].into_iter().find(|op| part[i..].starts_with(op)).map(|op| (i, op)));
    let Some((at, operator)) = found else {
        return Err(Error::Part { selector: selector.to_owned(), part: part.to_owned() });
    };
    let value = unescape(&part[at + operator.len()..])?;
    Ok(Requirement { field: part[..at].to_owned(), equal: operator != "!=", value })
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                Some(c) => return Err(Error::Escape(format!("\\{c}"))),
                None => return Err(Error::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(Error::Unescaped(c)),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

fn escape(value: &str) -> String {
    value.chars().flat_map(|c| if "\\,=".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_says_what_is_wrong() {
        let show = |text: &str| match Selector::parse(text) {
            Ok(selector) => format!("{selector}\n"),
            Err(error) => format!("{error}\n"),
        };
        expect_test::expect![[r"
            metadata.name=a,status.phase!=Running

            a=b\,c
            invalid selector: 'metadata.name'; can't understand 'metadata.name'
            invalid field selector: unescaped character in value: =
            invalid field selector: invalid escape sequence: \x
        "]]
        .assert_eq(
            &["status.phase!=Running,metadata.name==a", "", r"a=b\,c", "metadata.name", "a=b=c", r"a=\x"]
                .map(show)
                .concat(),
        );
    }

    #[test]
    fn matches_absent_fields_as_empty() {
        let selector = Selector::parse("a!=x,b=").unwrap();
        assert!(selector.matches(|_| None));
        assert!(!selector.matches(|field| (field == "a").then_some("x")));
        assert_eq!(selector.exact("b"), Some(""));
    }
}
