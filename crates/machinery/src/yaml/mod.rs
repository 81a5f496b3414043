//! YAML as Kubernetes reads it: the scalars of YAML 1.1 (`yes` is true, `0644` is 420), merge keys, keys that become
//! texts, and the last of two equal keys wins; over the events of `granit-parser`.

mod read;
mod scalar;
mod write;

use crate::Value;

pub use write::to_string;

/// Why a text is no YAML; the message begins `yaml: ` as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("yaml: {0}")]
pub struct Error(pub(crate) String);

/// The first document of `text`; an empty text is null.
///
/// # Errors
/// If `text` is no YAML, or has no JSON form.
pub fn parse(text: &str) -> Result<Value, Error> {
    parse_strict(text).map(|(value, _)| value)
}

/// The first document of `text`, and a sentence `line 7: key "a" already set in map` for every key that stands twice.
///
/// # Errors
/// As [`parse`].
pub fn parse_strict(text: &str) -> Result<(Value, Vec<String>), Error> {
    let mut reader = read::Reader::new(text);
    let value = reader.document()?.unwrap_or_default();
    Ok((value, reader.duplicates))
}

/// All documents of `text`; empty ones are left out.
///
/// # Errors
/// As [`parse`].
pub fn parse_all(text: &str) -> Result<Vec<Value>, Error> {
    let mut reader = read::Reader::new(text);
    let mut documents = Vec::new();
    while let Some(document) = reader.document()? {
        if !document.is_null() {
            documents.push(document);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn scalars_are_those_of_yaml_1_1() {
        for (text, json) in [
            ("[0644, 0x1F, 0b101, 1_000, +5, -7, 0o17]", "[420,31,5,1000,5,-7,15]"),
            ("[on, yes, y, True, off, n, NO]", "[true,true,true,true,false,false,false]"),
            ("[~, null, Null]", "[null,null,null]"),
            ("[1.5, .5, 1e3, 089, 1.]", "[1.5,0.5,1000,89,1]"),
            (
                "['yes', \"0644\", !!str 12, 2020-01-02, 1.2.3, 10Gi, 1:30]",
                r#"["yes","0644","12","2020-01-02","1.2.3","10Gi","1:30"]"#,
            ),
            ("{1: a, true: b, 1.5: c}", r#"{"1":"a","true":"b","1.5":"c"}"#),
            ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y"}"#),
        ] {
            assert_eq!(crate::json::to_string(&parse(text).unwrap()), json, "{text}");
        }
    }

    #[test]
    fn anchors_and_merge_keys() {
        let text = "base: &b {a: 1, b: 2}\nover:\n  <<: *b\n  b: 3\nsame: *b\nmany:\n  <<: [{x: 1}, {x: 2, z: 2}]\n";
        assert_eq!(
            parse(text).unwrap(),
            value!({"base": {"a": 1, "b": 2}, "over": {"a": 1, "b": 3}, "same": {"a": 1, "b": 2}, "many": {"x": 1, "z": 2}})
        );
    }

    #[test]
    fn documents_and_duplicates() {
        assert_eq!(
            parse_all("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n").unwrap(),
            [value!({"a": 1}), value!({"b": 2})]
        );
        assert_eq!(parse_all("").unwrap(), []);
        let (tree, found) = parse_strict("x:\n  a: 1\n  a: 2\n").unwrap();
        assert_eq!(tree, value!({"x": {"a": 2}}));
        assert_eq!(found, ["line 3: key \"a\" already set in map"]);
    }

    #[test]
    fn bad_input() {
        for (text, message) in [
            ("a: [b", "yaml: line 1: did not find expected ',' or ']'"),
            ("a: {b: 1", "yaml: line 1: did not find expected ',' or '}'"),
            ("a: b: c", "yaml: mapping values are not allowed in this context"),
            ("x: 1\na: b: c", "yaml: line 2: mapping values are not allowed in this context"),
            ("a: 1\n- b", "yaml: line 1: did not find expected key"),
            ("a:\n\tb: 1", "yaml: line 2: found character that cannot start any token"),
            ("a: *x", "yaml: unknown anchor 'x' referenced"),
            ("a: .inf", "yaml: json: unsupported value: +Inf"),
            ("~: 1", "yaml: unsupported map key of type: null"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
        let bomb = (1..12).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
            let items = format!("*a{},", n - 1).repeat(9);
            format!("{text}a{n}: &a{n} [{items}]\n")
        });
        assert_eq!(parse(&bomb).unwrap_err().to_string(), "yaml: document contains excessive aliasing");
    }

    #[test]
    fn written_as_go_writes_it() {
        let tree = value!({"b": [{"x": 1, "y": []}, "yes", [1, 2]], "a": {"t": "l1\nl2\n", "u": "a: b", "e": {}, "n": null, "d": "", "q": "it's #1 # x", "num": "12"}});
        expect_test::expect![[r#"
            a:
              d: ""
              e: {}
              "n": null
              num: "12"
              q: 'it''s #1 # x'
              t: |
                l1
                l2
              u: 'a: b'
            b:
            - x: 1
              "y": []
            - "yes"
            - - 1
              - 2
        "#]]
        .assert_eq(&to_string(&tree));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_the_same(texts in proptest::collection::vec("[ -~\n\té😀]{0,12}", 0..4)) {
            let tree = Value::Array(texts.iter().map(Value::from).collect());
            let pairs = texts.iter().map(|text| (text.as_str(), value!({"k": text, "l": [text]}))).collect();
            for tree in [tree, Value::Object(pairs)] {
                let text = to_string(&tree);
                proptest::prop_assert_eq!(parse(&text), Ok(tree), "{}", text);
            }
        }
    }
}
