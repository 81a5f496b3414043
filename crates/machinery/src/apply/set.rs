//! A set of fields: a tree of steps in which some places are members, and its form in `fieldsV1`.

use std::collections::BTreeMap;

use super::element::Element;
use crate::{Object, Value};

/// What is in the set below one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set(BTreeMap<Element, Node>);

/// One place: whether it is a member, and what is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Whether the place itself is in the set.
    pub member: bool,
    /// What is below.
    pub children: Set,
}

impl Node {
    /// A member with nothing below.
    #[must_use]
    pub fn leaf() -> Self {
        Self { member: true, children: Set::default() }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The places, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Element, &Node)> {
        self.0.iter()
    }

    /// What is at a place.
    #[must_use]
    pub fn get(&self, element: &Element) -> Option<&Node> {
        self.0.get(element)
    }

    /// Puts something at a place where nothing was; nothing is not kept.
    pub fn put(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.0.insert(element, node);
        }
    }

    /// Adds the field that a path of names leads to.
    pub fn insert(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.0.entry(Element::Field((*first).into())).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.children.insert(rest);
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (element, node) in &other.0 {
            let mine = self.0.entry(element.clone()).or_default();
            mine.member |= node.member;
            mine.children = std::mem::take(&mut mine.children).union(&node.children);
        }
        self
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(|element, node| {
            let theirs = other.get(element)?;
            let children = node.children.intersection(&theirs.children);
            Some(Node { member: node.member && theirs.member, children })
        })
    }

    /// What is in this one only.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(|element, node| {
            let Some(theirs) = other.get(element) else { return Some(node.clone()) };
            let children = node.children.difference(&theirs.children);
            Some(Node { member: node.member && !theirs.member, children })
        })
    }

    /// What is in this one only, and not below a member of the other one either.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.combine(|element, node| {
            let Some(theirs) = other.get(element) else { return Some(node.clone()) };
            let children = node.children.recursive_difference(&theirs.children);
            (!theirs.member).then_some(Node { member: node.member, children })
        })
    }

    fn combine(&self, keep: impl Fn(&Element, &Node) -> Option<Node>) -> Self {
        let kept = self.0.iter().filter_map(|(element, node)| {
            let kept = keep(element, node).filter(|node| !node.is_empty())?;
            Some((element.clone(), kept))
        });
        Self(kept.collect())
    }

    /// The members as paths, `.spec.containers[name="c"].image`, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        for (element, node) in &self.0 {
            let path = format!("{prefix}{element}");
            if node.member {
                paths.push(path.clone());
            }
            node.children.collect_paths(&path, paths);
        }
    }

    /// The form in `fieldsV1`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.members(false))
    }

    fn members(&self, with_self: bool) -> Object {
        let mut object = Object::with_capacity(self.0.len() + usize::from(with_self));
        if with_self && !self.is_empty() {
            object.push(".", Value::object());
        }
        for (element, node) in &self.0 {
            object.push(element.text(), Value::Object(node.children.members(node.member)));
        }
        object
    }

    /// Reads what [`Self::to_value`] gives; none if it is no set.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        read(value).map(|node| node.children)
    }
}

fn read(value: &Value) -> Option<Node> {
    let object = value.as_object()?;
    let mut node = Node::default();
    for (name, below) in object.iter() {
        if name == "." {
            node.member = true;
            continue;
        }
        let mut child = read(below)?;
        // A place with nothing below is there for itself.
        child.member |= child.children.is_empty();
        node.children.put(Element::parse(name)?, child);
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn set(text: &str) -> Set {
        Set::from_value(&json::parse(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn there_and_back() {
        let text = r#"{"f:data":{".":{},"f:k":{}},"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"v:\"x\"":{}}}}"#;
        assert_eq!(json::to_string(&set(text).to_value()), text);
        assert_eq!(
            set(text).paths(),
            [
                ".data",
                ".data.k",
                r#".spec.ports[port=80,protocol="TCP"]"#,
                r#".spec.ports[port=80,protocol="TCP"].port"#,
                r#".spec.ports[="x"]"#
            ]
        );
        assert_eq!(json::to_string(&set(r#"{"f:data":{".":{}}}"#).to_value()), r#"{"f:data":{}}"#);
        assert!(Set::from_value(&json::parse(br#"{"x:y":{}}"#).unwrap()).is_none());
    }

    #[test]
    fn algebra() {
        let (a, b) = (set(r#"{"f:a":{".":{},"f:b":{},"f:c":{}},"f:d":{}}"#), set(r#"{"f:a":{"f:b":{}},"f:d":{}}"#));
        let shown = |set: Set| json::to_string(&set.to_value());
        assert_eq!(shown(a.difference(&b)), r#"{"f:a":{".":{},"f:c":{}}}"#);
        assert_eq!(shown(a.intersection(&b)), r#"{"f:a":{"f:b":{}},"f:d":{}}"#);
        assert_eq!(a.clone().union(&b), a);
        assert!(a.recursive_difference(&set(r#"{"f:a":{},"f:d":{}}"#)).is_empty());
    }
}
