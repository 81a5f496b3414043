//! A tree as Go prints it with `%v`: some messages of the API quote whole patches so.

use crate::{Value, json};

/// `map[a:1 b:[x y]]`, names sorted.
#[must_use]
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            let texts: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{}", go_text(value))).collect();
            format!("map[{}]", texts.join(" "))
        }
        other => json::to_string(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn maps_and_lists() {
        let tree = value!({"spec": {"b": [{"name": "c", "n": 1}, null], "a": true}});
        assert_eq!(go_text(&tree), "map[spec:map[a:true b:[map[n:1 name:c] <nil>]]]");
    }
}
