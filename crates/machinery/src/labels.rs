//! Label selectors: the text form of requests, the `LabelSelector` of objects, and whether labels match.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::field::{Error as FieldError, Path, aggregate};
use crate::{Object, Value, names};

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `key=value`
    Equals,
    /// `key==value`
    DoubleEquals,
    /// `key!=value`
    NotEquals,
    /// `key in (a,b)`
    In,
    /// `key notin (a,b)`
    NotIn,
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key>1`
    GreaterThan,
    /// `key<1`
    LessThan,
}

/// What one label must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

/// Which labels are selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// All must hold, sorted by key; `None` selects nothing.
    requirements: Option<Vec<Requirement>>,
}

/// Something with labels to look up.
pub trait Labels {
    /// The value of the label `key`.
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for Object {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

impl<L: Labels> Labels for Option<L> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref()?.label(key)
    }
}

impl<L: Labels + ?Sized> Labels for &L {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

impl Labels for [(&str, &str)] {
    fn label(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }
}

impl Requirement {
    /// A requirement whose parts have been checked.
    ///
    /// # Errors
    /// The API's text for a bad key, a bad value, or too many or too few values.
    pub fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Self, String> {
        let mut errors = Vec::new();
        let path = Path::new("values");
        errors.extend(check_key(key, &Path::new("key")));
        if let Some(detail) = count_problem(operator, values.len()) {
            let shown: Vec<&str> = values.iter().map(String::as_str).collect();
            errors.push(FieldError::invalid(&path, Value::from(shown), detail));
        }
        for (i, value) in values.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&path.index(i), value.as_str(), detail));
            }
        }
        for (i, value) in values.iter().enumerate() {
            let problems = names::is_label_value(value);
            if !problems.is_empty() {
                errors.push(FieldError::invalid(&path.index(i).key(key), value.as_str(), problems.join("; ")));
            }
        }
        if errors.is_empty() { Ok(Self { key: key.to_owned(), operator, values }) } else { Err(aggregate(&errors)) }
    }

    /// Which label.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it is compared.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// With what.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }

    /// Whether `labels` fulfil it.
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        let value = labels.label(&self.key);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compare(value, |have, limit| have > limit),
            Operator::LessThan => self.compare(value, |have, limit| have < limit),
        }
    }

    fn compare(&self, value: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let limit = self.values.first().and_then(|v| v.parse().ok());
        match (value.and_then(|v| v.parse().ok()), limit) {
            (Some(have), Some(limit)) => holds(have, limit),
            _ => false,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match self.operator {
            Operator::Exists => write!(f, "{}", self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
            Operator::Equals => write!(f, "{}={values}", self.key),
            Operator::DoubleEquals => write!(f, "{}=={values}", self.key),
            Operator::NotEquals => write!(f, "{}!={values}", self.key),
            Operator::In => write!(f, "{} in ({values})", self.key),
            Operator::NotIn => write!(f, "{} notin ({values})", self.key),
            Operator::GreaterThan => write!(f, "{}>{values}", self.key),
            Operator::LessThan => write!(f, "{}<{values}", self.key),
        }
    }
}

impl Selector {
    /// Selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { requirements: Some(Vec::new()) }
    }

    /// Selects nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { requirements: None }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// The API's text of what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::from_requirements(Parser { tokens: scan(text)?, next: 0 }.parse()?))
    }

    /// Selects objects that have all of these labels.
    ///
    /// # Errors
    /// The API's text for a bad key or value.
    pub fn from_map<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let requirements = labels
            .into_iter()
            .map(|(key, value)| Requirement::new(key, Operator::Equals, BTreeSet::from([value.to_owned()])));
        Ok(Self::from_requirements(requirements.collect::<Result<_, _>>()?))
    }

    /// The selector of a `LabelSelector` in an object; an absent one selects nothing, an empty one everything.
    ///
    /// # Errors
    /// The API's text for a bad key, value or operator.
    pub fn from_label_selector(selector: Option<&Value>) -> Result<Self, String> {
        let Some(selector) = selector.filter(|value| !value.is_null()) else { return Ok(Self::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flat_map(Object::iter) {
            let values = BTreeSet::from([value.as_str().unwrap_or_default().to_owned()]);
            requirements.push(Requirement::new(key, Operator::Equals, values)?);
        }
        for expression in selector.items_at(&["matchExpressions"]) {
            requirements.push(from_expression(expression)?);
        }
        Ok(Self::from_requirements(requirements))
    }

    fn from_requirements(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements: Some(requirements) }
    }

    /// Whether `labels` are selected.
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        self.requirements.as_ref().is_some_and(|all| all.iter().all(|r| r.matches(labels)))
    }

    /// Whether it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether it can select anything.
    #[must_use]
    pub fn selects_nothing(&self) -> bool {
        self.requirements.is_none()
    }

    /// The requirements, sorted by key.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        self.requirements.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.requirements().iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

/// A `LabelSelector` as tables show it.
#[must_use]
pub fn format_label_selector(selector: Option<&Value>) -> String {
    match Selector::from_label_selector(selector) {
        Err(_) => "<error>".to_owned(),
        Ok(selector) if selector.selects_nothing() || selector.is_empty() => "<none>".to_owned(),
        Ok(selector) => selector.to_string(),
    }
}

/// Labels as tables show them: sorted, `<none>` when there are none.
#[must_use]
pub fn format_labels(labels: Option<&Object>) -> String {
    let mut pairs: Vec<String> = labels
        .into_iter()
        .flat_map(Object::iter)
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort_unstable();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

fn from_expression(expression: &Value) -> Result<Requirement, String> {
    let operator = match expression.str_at(&["operator"]).unwrap_or_default() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(format!("{} is not a valid label selector operator", crate::field::quote(other))),
    };
    let values = expression.items_at(&["values"]).iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect();
    Requirement::new(expression.str_at(&["key"]).unwrap_or_default(), operator, values)
}

fn check_key(key: &str, path: &Path) -> Option<FieldError> {
    let problems = names::is_qualified_name(key);
    (!problems.is_empty()).then(|| FieldError::invalid(path, key, problems.join("; ")))
}

fn count_problem(operator: Operator, count: usize) -> Option<&'static str> {
    match operator {
        Operator::In | Operator::NotIn if count == 0 => Some("for 'in', 'notin' operators, values set can't be empty"),
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if count != 1 => {
            Some("exact-match compatibility requires one single value")
        }
        Operator::Exists | Operator::DoesNotExist if count != 0 => {
            Some("values set must be empty for exists and does not exist")
        }
        Operator::GreaterThan | Operator::LessThan if count != 1 => {
            Some("for 'Gt', 'Lt' operators, exactly one value is required")
        }
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    End,
    Close,
    Open,
    Comma,
    Not,
    Operator(Operator),
    Identifier,
}

fn scan(text: &str) -> Result<Vec<(Token, String)>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(first) = rest.chars().next() {
        let (token, length) = if is_special(first) { scan_symbol(rest)? } else { scan_word(rest) };
        tokens.push((token, rest[..length].to_owned()));
        rest = rest[length..].trim_start_matches([' ', '\t', '\r', '\n']);
    }
    tokens.push((Token::End, String::new()));
    Ok(tokens)
}

fn is_special(c: char) -> bool {
    "=!(),><".contains(c)
}

fn scan_word(rest: &str) -> (Token, usize) {
    let length = rest.find(|c: char| is_special(c) || " \t\r\n".contains(c)).unwrap_or(rest.len());
    let token = match &rest[..length] {
        "in" => Token::Operator(Operator::In),
        "notin" => Token::Operator(Operator::NotIn),
        _ => Token::Identifier,
    };
    (token, length)
}

fn scan_symbol(rest: &str) -> Result<(Token, usize), String> {
    let symbol = |length: usize| match rest.get(..length)? {
        ")" => Some(Token::Close),
        "(" => Some(Token::Open),
        "," => Some(Token::Comma),
        "!" => Some(Token::Not),
        "==" => Some(Token::Operator(Operator::DoubleEquals)),
        "=" => Some(Token::Operator(Operator::Equals)),
        "!=" => Some(Token::Operator(Operator::NotEquals)),
        ">" => Some(Token::Operator(Operator::GreaterThan)),
        "<" => Some(Token::Operator(Operator::LessThan)),
        _ => None,
    };
    match symbol(2) {
        Some(token) => Ok((token, 2)),
        None => symbol(1).map(|token| (token, 1)).ok_or_else(|| format!("error expected: keyword found '{rest}'")),
    }
}

struct Parser {
    tokens: Vec<(Token, String)>,
    next: usize,
}

impl Parser {
    fn parse(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Token::Identifier | Token::Not, _) => {
                    let one = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                    requirements.push(one);
                    if self.end_or_comma()? {
                        return Ok(requirements);
                    }
                }
                (Token::End, _) => return Ok(requirements),
                (_, found) => return Err(format!("found '{found}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn end_or_comma(&mut self) -> Result<bool, String> {
        match self.take() {
            (Token::End, _) => Ok(true),
            (Token::Comma, _) => match self.peek() {
                (Token::Identifier | Token::Not, _) => Ok(false),
                (_, found) => Err(format!("found '{found}', expected: identifier after ','")),
            },
            (_, found) => Err(format!("found '{found}', expected: ',' or 'end of string'")),
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.take();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take();
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if let Some(error) = check_key(&key, &Path::default()) {
            return Err(error.to_string());
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, BTreeSet::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.list()?,
            _ => self.exact()?,
        };
        Requirement::new(&key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let (token, found) = self.tokens[self.next].clone();
        self.advance();
        match token {
            Token::Operator(operator) => Ok(operator),
            _ => Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    fn exact(&mut self) -> Result<BTreeSet<String>, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.take() {
            (Token::Identifier, value) => Ok(BTreeSet::from([value])),
            (_, found) => Err(format!("found '{found}', expected: identifier")),
        }
    }

    fn list(&mut self) -> Result<BTreeSet<String>, String> {
        let (token, found) = self.take();
        if token != Token::Open {
            return Err(format!("found '{found}' expected: '('"));
        }
        match self.peek() {
            (Token::Identifier | Token::Comma, _) => {
                let values = self.identifiers()?;
                self.advance();
                Ok(values)
            }
            (Token::Close, _) => {
                self.advance();
                Ok(BTreeSet::from([String::new()]))
            }
            (_, found) => Err(format!("found '{found}', expected: ',', ')' or identifier")),
        }
    }

    /// The values up to the closing parenthesis, which stays; an empty place between commas is an empty value.
    fn identifiers(&mut self) -> Result<BTreeSet<String>, String> {
        let mut values = BTreeSet::new();
        loop {
            match self.take() {
                (Token::Identifier, value) => {
                    values.insert(value);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, found) => return Err(format!("found '{found}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.peek().0 {
                        Token::Close => {
                            values.insert(String::new());
                            return Ok(values);
                        }
                        Token::Comma => {
                            self.advance();
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                (_, found) => return Err(format!("found '{found}', expected: ',', or identifier")),
            }
        }
    }

    /// The next token as a key or value: there, `in` and `notin` are plain words.
    fn peek(&self) -> (Token, String) {
        let (token, text) = self.tokens[self.next].clone();
        match token {
            Token::Operator(Operator::In | Operator::NotIn) => (Token::Identifier, text),
            token => (token, text),
        }
    }

    fn take(&mut self) -> (Token, String) {
        let next = self.peek();
        self.advance();
        next
    }

    /// The end stays the last token however often it is taken.
    fn advance(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    fn show(text: &str) -> String {
        match Selector::parse(text) {
            Ok(selector) => format!("{text:?} -> {selector}\n"),
            Err(error) => format!("{text:?} -> {error}\n"),
        }
    }

    #[test]
    fn texts() {
        let good = ["a=b", "a==b,!c,d", "a in (y,x)", "a notin (in)", "a in ()", "a=", "z>1,b<2", "a in (,b)", ""];
        expect_test::expect![[r#"
            "a=b" -> a=b
            "a==b,!c,d" -> a==b,!c,d
            "a in (y,x)" -> a in (x,y)
            "a notin (in)" -> a notin (in)
            "a in ()" -> a in ()
            "a=" -> a=
            "z>1,b<2" -> b<2,z>1
            "a in (,b)" -> a in (,b)
            "" -> 
        "#]]
        .assert_eq(&good.map(show).concat());
        let bad = ["a===b", "a in (b", "a b=c", "a=?", ",a", "!", "a>x", "a=b,", "a=b c", "a in b", "a/b/c=d"];
        expect_test::expect![[r#"
            "a===b" -> unable to parse requirement: found '=', expected: identifier
            "a in (b" -> unable to parse requirement: found '', expected: ',' or ')'
            "a b=c" -> unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt
            "a=?" -> unable to parse requirement: values[0][a]: Invalid value: "?": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            ",a" -> found ',', expected: !, identifier, or 'end of string'
            "!" -> unable to parse requirement: found '', expected: identifier
            "a>x" -> unable to parse requirement: values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer
            "a=b," -> found '', expected: identifier after ','
            "a=b c" -> found 'c', expected: ',' or 'end of string'
            "a in b" -> unable to parse requirement: found 'b' expected: '('
            "a/b/c=d" -> unable to parse requirement: <nil>: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')
        "#]]
        .assert_eq(&bad.map(show).concat());
    }

    #[test]
    fn matching() {
        let labels = [("app", "web"), ("n", "5")];
        for (text, expected) in [
            ("app=web", true),
            ("app!=web", false),
            ("tier!=x", true),
            ("tier", false),
            ("!tier,app in (web,db)", true),
            ("n>4,n<6", true),
            ("app notin (web)", false),
            ("tier notin (web)", true),
            ("app>4", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels[..]), expected, "{text}");
        }
    }

    #[test]
    fn of_objects() {
        let selector = value!({"matchLabels": {"b": "c"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]});
        assert_eq!(format_label_selector(Some(&selector)), "a,b=c");
        assert_eq!(format_label_selector(None), "<none>");
        assert!(Selector::from_label_selector(Some(&value!({}))).unwrap().is_empty());
        assert!(Selector::from_label_selector(None).unwrap().selects_nothing());
    }
}
