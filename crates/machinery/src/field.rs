//! Where a field is and what is wrong with it, in the words of the API (apimachinery's `field` package as behaviour).

use std::fmt;

use smallvec::SmallVec;

use crate::Value;
use crate::decimal::decimal;

/// The place of a field: `spec.containers[0].ports[1].name`.
///
/// Validation makes hundreds of them to find nothing wrong, so those of usual length need no allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(SmallVec<[u8; INLINE_BYTES]>);

/// Longer paths are allocated.
const INLINE_BYTES: usize = 80;

impl Path {
    /// The path of one top-level field; `a.b` is taken as it stands.
    #[must_use]
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(SmallVec::from_slice(name.as_ref().as_bytes()))
    }

    /// The member `name` of this.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { self.with([".", name]) }
    }

    /// The item at `index` of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut digits = [0; 20];
        self.with(["[", decimal(index as u64, &mut digits), "]"])
    }

    /// The entry `key` of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(["[", key, "]"])
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a path is made of texts")
    }

    fn with<const N: usize>(&self, more: [&str; N]) -> Self {
        // Not `clone`, which goes byte by byte.
        let mut path = SmallVec::from_slice(&self.0);
        more.iter().for_each(|text| path.extend_from_slice(text.as_bytes()));
        Self(path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An empty path is written so by the API.
        f.write_str(if self.0.is_empty() { "<nil>" } else { self.as_str() })
    }
}

/// What kind of mistake a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A value is needed and there is none.
    Required,
    /// A value that must be unique stands twice.
    Duplicate,
    /// A value breaks a rule.
    Invalid,
    /// A value is none of a fixed set.
    NotSupported,
    /// A value is well-formed but not allowed here.
    Forbidden,
    /// A text is longer than it may be.
    TooLong,
    /// A list is longer than it may be.
    TooMany,
    /// The server failed, not the client.
    Internal,
    /// A value has the wrong type.
    TypeInvalid,
    /// What a value names does not exist.
    NotFound,
}

impl ErrorType {
    /// The machine-readable reason of a Status cause.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    /// The words that open the message.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
            Self::NotFound => "Not found",
        }
    }
}

/// One field's mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What kind of mistake.
    pub kind: ErrorType,
    /// Where.
    pub field: Path,
    /// The value as the message shows it, already quoted; `None` where the message shows none.
    pub value: Option<String>,
    /// What is wrong; may be empty.
    pub detail: String,
}

/// All mistakes of an object, in the order in which they were found.
pub type Errors = Vec<Error>;

impl Error {
    /// A value is missing.
    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self { kind: ErrorType::Required, field: field.clone(), value: None, detail: detail.into() }
    }

    /// A value stands twice.
    pub fn duplicate(field: &Path, value: impl Into<Value>) -> Self {
        Self::with_value(ErrorType::Duplicate, field, value, String::new())
    }

    /// A value breaks a rule.
    pub fn invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::with_value(ErrorType::Invalid, field, value, detail.into())
    }

    /// A value breaks a rule and its text in the message is not its JSON form (a Go struct, say).
    pub fn invalid_shown(field: &Path, shown: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: ErrorType::Invalid, field: field.clone(), value: Some(shown.into()), detail: detail.into() }
    }

    /// A value has the wrong type.
    pub fn type_invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::with_value(ErrorType::TypeInvalid, field, value, detail.into())
    }

    /// A value is none of `supported`, which the message lists in the order given.
    pub fn not_supported<S: AsRef<str>>(field: &Path, value: impl Into<Value>, supported: &[S]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| quote(s.as_ref())).collect();
        let detail = if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        Self::with_value(ErrorType::NotSupported, field, value, detail)
    }

    /// A value may not be set here.
    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self { kind: ErrorType::Forbidden, field: field.clone(), value: None, detail: detail.into() }
    }

    /// A text is longer than `limit_bytes`.
    pub fn too_long(field: &Path, limit_bytes: usize) -> Self {
        let detail = format!("may not be more than {limit_bytes} bytes");
        Self { kind: ErrorType::TooLong, field: field.clone(), value: None, detail }
    }

    /// A list has `actual` items where `limit` may be.
    pub fn too_many(field: &Path, actual: usize, limit: usize) -> Self {
        let detail = format!("must have at most {limit} item{}", if limit == 1 { "" } else { "s" });
        Self::with_value(ErrorType::TooMany, field, Value::Int(i64::try_from(actual).unwrap_or(i64::MAX)), detail)
    }

    /// What a value names does not exist.
    pub fn not_found(field: &Path, value: impl Into<Value>) -> Self {
        Self::with_value(ErrorType::NotFound, field, value, String::new())
    }

    /// The server failed.
    pub fn internal(field: &Path, error: impl fmt::Display) -> Self {
        Self { kind: ErrorType::Internal, field: field.clone(), value: None, detail: error.to_string() }
    }

    fn with_value(kind: ErrorType, field: &Path, value: impl Into<Value>, detail: String) -> Self {
        Self { kind, field: field.clone(), value: Some(show(&value.into())), detail }
    }

    /// The message without the path: what a Status cause carries.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if let Some(value) = &self.value {
            text = format!("{text}: {value}");
        }
        if !self.detail.is_empty() {
            text = format!("{text}: {}", self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// All messages as one: a single one as it is, several in brackets.
#[must_use]
pub fn aggregate(errors: &[Error]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// The value as the API's messages show it: texts quoted, numbers bare, the rest as JSON.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => quote(text),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        other => escape_html(&serde_json::to_string(other).unwrap_or_default()),
    }
}

/// JSON as Go writes it: what HTML could take for a tag is escaped.
fn escape_html(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// A text in double quotes with Go's escapes (`%q`).
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if ('\u{80}'..'\u{a0}').contains(&c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let name = Path::new("spec").child("containers").index(0).child("name");
        let errors = [
            Error::required(&name, ""),
            Error::invalid(&Path::new("metadata").child("labels").key("a/b"), "x\n", "must be short"),
            Error::not_supported(&Path::new("spec.type"), "Foo", &["A", "B"]),
            Error::too_many(&Path::new("items"), 3, 2),
        ];
        expect_test::expect![[r#"[spec.containers[0].name: Required value, metadata.labels[a/b]: Invalid value: "x\n": must be short, spec.type: Unsupported value: "Foo": supported values: "A", "B", items: Too many: 3: must have at most 2 items]"#]]
        .assert_eq(&aggregate(&errors));
        assert_eq!(aggregate(&errors[..1]), "spec.containers[0].name: Required value");
    }
}
