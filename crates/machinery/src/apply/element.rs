//! One step of a path to a field, and its text in `fieldsV1`.

use std::cmp::Ordering;
use std::fmt;

use crate::{Object, Text, Value, json};

/// One step: a name, an item of a list by its keys, by its value, or by its place.
#[derive(Debug, Clone)]
pub enum Element {
    /// The member of an object.
    Field(Text),
    /// The item with these values in its key fields, sorted by name.
    Key(Vec<(Text, Value)>),
    /// The item that is this value.
    Value(Value),
    /// The item at this place.
    Index(i64),
}

impl Element {
    /// Reads `f:name`, `k:{…}`, `v:…` or `i:0`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest.into())),
            "v" => json::parse(rest.as_bytes()).ok().map(Self::Value),
            "i" => rest.parse().ok().map(Self::Index),
            "k" => match json::parse(rest.as_bytes()).ok()? {
                Value::Object(mut keys) => {
                    keys.sort();
                    Some(Self::Key(keys.into_iter().collect()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The text in `fieldsV1`.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Field(name) => {
                let mut text = Text::with_capacity(name.len() + 2);
                text.push_str("f:");
                text.push_str(name);
                text
            }
            Self::Value(value) => Text::from(format!("v:{}", json::to_string(value))),
            Self::Index(at) => Text::from(format!("i:{at}")),
            Self::Key(keys) => {
                let keys: Object = keys.iter().cloned().collect();
                Text::from(format!("k:{}", json::to_string(&Value::Object(keys))))
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

/// As paths are shown: `.spec.containers[name="c"].image`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={}]", shown(value)),
            Self::Index(at) => write!(f, "[{at}]"),
            Self::Key(keys) => {
                let keys: Vec<_> = keys.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
                write!(f, "[{}]", keys.join(","))
            }
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| json::to_string(value), crate::field::quote)
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Value(a), Self::Value(b)) => compare(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => a
                .iter()
                .zip(b)
                .map(|(a, b)| a.0.cmp(&b.0).then_with(|| compare(&a.1, &b.1)))
                .find(|order| order.is_ne())
                .unwrap_or_else(|| a.len().cmp(&b.len())),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

/// An order of all values: numbers, texts, truths, lists, objects, null.
fn compare(a: &Value, b: &Value) -> Ordering {
    #[allow(clippy::cast_precision_loss, reason = "only an order is needed, and keys are small")]
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    let rank = |value: &Value| match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => rank(a).cmp(&rank(b)).then_with(|| json::to_string(a).cmp(&json::to_string(b))),
        },
    }
}
