//! JSON as the API speaks it: Go's error texts, Go's escapes, whole numbers kept whole, a limit on depth.

mod parse;
mod write;

use crate::Value;

pub use write::{to_pretty, to_string, to_vec, write, write_number, write_string};

/// How deep objects and lists may nest; deeper input is an error, so that no walk over a tree exhausts a stack.
pub const MAX_DEPTH: usize = 1_000;

/// Why a text is no JSON, in the words of Go's `encoding/json`, with the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong.
    pub message: String,
    /// How many bytes were read before it.
    pub offset: usize,
}

/// The tree of `text`; of two members with one name the last counts, as in Go.
///
/// # Errors
/// If `text` is no JSON, has something after the value, or nests deeper than [`MAX_DEPTH`].
pub fn parse(text: &[u8]) -> Result<Value, Error> {
    parse::parse(text, parse::Duplicates::LastWins)
}

/// The tree of `text`, and a sentence `duplicate field "spec.replicas"` for every name that stands twice in one
/// object, in the order of the text.
///
/// # Errors
/// As [`parse`].
pub fn parse_strict(text: &[u8]) -> Result<(Value, Vec<String>), Error> {
    let mut value = parse_with_duplicates(text)?;
    let mut found = Vec::new();
    drop_duplicates(&mut value, &mut String::new(), &mut found);
    Ok((value, found))
}

/// The tree of `text` with every member, also those whose name stood before; for [`crate::schema::decode()`], which
/// reports duplicate and unknown names in the order of the text.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_duplicates(text: &[u8]) -> Result<Value, Error> {
    parse::parse(text, parse::Duplicates::Keep)
}

/// Of members with one name keeps the last, at every depth; needed only after [`parse_with_duplicates`].
pub(crate) fn keep_last(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(keep_last),
        Value::Object(object) => {
            object.keep_last();
            object.iter_mut().for_each(|(_, member)| keep_last(member));
        }
        _ => {}
    }
}

fn drop_duplicates(value: &mut Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{index}]"));
                drop_duplicates(item, path, found);
                path.truncate(length);
            }
        }
        Value::Object(object) => {
            let mut seen = std::collections::HashSet::with_capacity(object.len());
            let mut twice = false;
            for (name, member) in object.iter_mut() {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                if !seen.insert(name) {
                    twice = true;
                    found.push(format!("duplicate field {}", crate::field::quote(path)));
                }
                drop_duplicates(member, path, found);
                path.truncate(length);
            }
            if twice {
                object.keep_last();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn errors_speak_go() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("{\"a\":", "unexpected end of JSON input"),
            ("\"abc", "unexpected end of JSON input"),
            ("hi", "invalid character 'h' looking for beginning of value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("01", "invalid character '1' after top-level value"),
            ("tru1", "invalid character '1' in literal true (expecting 'e')"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("\"\\q\"", "invalid character 'q' in string escape code"),
            ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("'a'", "invalid character '\\'' looking for beginning of value"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().message,
            "invalid character '[' exceeded max depth"
        );
    }

    #[test]
    fn duplicates_are_told_with_their_path() {
        let (tree, found) = parse_strict(br#"{"a":1,"b":[{"c":1,"c":2}],"a":3}"#).unwrap();
        assert_eq!(tree, value!({"a": 3, "b": [{"c": 2}]}));
        assert_eq!(found, [r#"duplicate field "b[0].c""#, r#"duplicate field "a""#]);
        assert_eq!(parse(br#"{"a":1,"a":2}"#).unwrap(), value!({"a": 2}));
    }

    #[test]
    fn texts_and_numbers() {
        for (text, written) in [
            (r#""<a>&\u2028\u0001\b\/""#, r#""\u003ca\u003e\u0026\u2028\u0001\b/""#),
            (r#""\ud83d\ude00 \ud800x""#, "\"😀 \u{fffd}x\""),
            ("[1.0,1e3,1.5,9223372036854775808,1e21,1e-7,-0]", "[1,1000,1.5,9223372036854776000,1e+21,1e-7,0]"),
        ] {
            assert_eq!(to_string(&parse(text.as_bytes()).unwrap()), written);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_the_same(tree in tree()) {
            proptest::prop_assert_eq!(parse(&to_vec(&tree)).unwrap(), tree.clone());
            proptest::prop_assert_eq!(parse(to_pretty(&tree).as_bytes()).unwrap(), tree);
        }

        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"a\\0-9.eE+ \-tfn]{0,24}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            proptest::prop_assert_eq!(parse(text.as_bytes()).is_ok(), theirs.is_ok(), "{:?} {:?}", text, theirs);
        }
    }

    fn tree() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9f64).prop_filter("a whole one reads as an integer", |f| f.fract() != 0.0).prop_map(Value::Float),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }
}
