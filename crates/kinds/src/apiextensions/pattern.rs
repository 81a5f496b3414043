//! Whether a pattern is one, in the words of Go's parser of regular expressions (RE2).

/// What is wrong with a pattern.
pub(super) fn problem(pattern: &str) -> Option<String> {
    let error = regex::Regex::new(pattern).err()?.to_string();
    let says = |words: &str| error.contains(words);
    let why = if says("unclosed character class") {
        let start = pattern.find('[').unwrap_or_default();
        format!("missing closing ]: `{}`", &pattern[start..])
    } else if says("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if says("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if says("repetition operator missing expression") {
        let operator = pattern.chars().find(|c| matches!(c, '*' | '+' | '?' | '{')).unwrap_or('*');
        format!("missing argument to repetition operator: `{operator}`")
    } else if says("unrecognized escape sequence") {
        let escape = pattern.find('\\').map(|at| pattern[at..].chars().take(2).collect::<String>());
        format!("invalid escape sequence: `{}`", escape.unwrap_or_default())
    } else if says("incomplete escape sequence") {
        "trailing backslash at end of expression: ``".to_owned()
    } else if says("look-around") {
        let start = pattern.find("(?").unwrap_or_default();
        let shown: String = pattern[start..].chars().take(3).collect();
        format!("invalid or unsupported Perl syntax: `{shown}`")
    } else {
        format!("invalid expression: `{pattern}`")
    };
    Some(format!("error parsing regexp: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let shown = ["^[a-z]+$", "[", "(a", "a)", "*", "\\q", "(?=a)"].map(|p| problem(p).unwrap_or_default());
        expect_test::expect![[r#"

            error parsing regexp: missing closing ]: `[`
            error parsing regexp: missing closing ): `(a`
            error parsing regexp: unexpected ): `a)`
            error parsing regexp: missing argument to repetition operator: `*`
            error parsing regexp: invalid escape sequence: `\q`
            error parsing regexp: invalid or unsupported Perl syntax: `(?=`"#]]
        .assert_eq(&shown.join("\n"));
    }
}
