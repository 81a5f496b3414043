//! A set of fields: a tree of steps in which some places are members, and its form in `fieldsV1`.

//!
//! A place has few others beside it, so they are a vector: a tree of maps took most of the time that a write's bookkeeping
//! does.

use std::cmp::Ordering;

use super::element::Element;
use crate::{Object, Value};

/// What is in the set below one place.
///
/// Invariant: elements are in order and stand once, but between [`Self::push`] and [`Self::settle`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set(Vec<(Element, Node)>);

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
    /// Nothing, with room for so many places.
    pub(super) fn with_capacity(places: usize) -> Self {
        Self(Vec::with_capacity(places))
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The places, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Element, &Node)> {
        self.0.iter().map(|(element, node)| (element, node))
    }

    /// What is at a place.
    #[must_use]
    pub fn get(&self, element: &Element) -> Option<&Node> {
        self.place(element).ok().map(|at| &self.0[at].1)
    }

    fn place(&self, element: &Element) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(element))
    }

    /// Puts something at a place where nothing was; nothing is not kept. For many in any order see [`Self::push`].
    pub fn put(&mut self, element: Element, node: Node) {
        if node.is_empty() {
            return;
        }
        match self.place(&element) {
            Ok(at) => self.0[at].1 = node,
            Err(at) => self.0.insert(at, (element, node)),
        }
    }

    /// Adds a place without looking for its order; of one that is added twice the last counts. Nothing is not kept.
    pub(super) fn push(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.0.push((element, node));
        }
    }

    /// Brings what was pushed into order.
    pub(super) fn settle(&mut self) {
        if self.0.is_sorted_by(|(a, _), (b, _)| a < b) {
            return;
        }
        self.0.reverse();
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|(a, _), (b, _)| a == b);
    }

    /// Adds the field that a path of names leads to.
    pub fn insert(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let element = Element::Field((*first).into());
        let at = self.place(&element).unwrap_or_else(|at| {
            self.0.insert(at, (element, Node::default()));
            at
        });
        let node = &mut self.0[at].1;
        if rest.is_empty() {
            node.member = true;
        } else {
            node.children.insert(rest);
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: &Self) -> Self {
        if other.is_empty() {
            return self;
        }
        let mut all = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut mine, mut theirs) = (self.0.into_iter().peekable(), other.0.iter().peekable());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self(all),
            };
            match order {
                Ordering::Less => all.extend(mine.next()),
                Ordering::Greater => all.extend(theirs.next().cloned()),
                Ordering::Equal => {
                    let (Some((element, node)), Some((_, other))) = (mine.next(), theirs.next()) else { continue };
                    let (member, children) = (node.member || other.member, node.children.union(&other.children));
                    all.push((element, Node { member, children }));
                }
            }
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let both = self.0.iter().filter_map(|(element, node)| {
            let theirs = other.get(element)?;
            let children = node.children.intersection(&theirs.children);
            kept(element.clone(), Node { member: node.member && theirs.member, children })
        });
        Self(both.collect())
    }

    /// What is in this one only.
    #[must_use]
    pub fn difference(self, other: &Self) -> Self {
        self.less(other, |node, theirs| {
            Some(Node { member: node.member && !theirs.member, children: node.children.difference(&theirs.children) })
        })
    }

    /// What is in this one only, and not below a member of the other one either.
    #[must_use]
    pub fn recursive_difference(self, other: &Self) -> Self {
        self.less(other, |node, theirs| {
            let children = node.children.recursive_difference(&theirs.children);
            (!theirs.member).then_some(Node { member: node.member, children })
        })
    }

    fn less(mut self, other: &Self, keep: impl Fn(Node, &Node) -> Option<Node>) -> Self {
        self.0.retain_mut(|(element, node)| {
            let Some(theirs) = other.get(element) else { return true };
            *node = keep(std::mem::take(node), theirs).unwrap_or_default();
            !node.is_empty()
        });
        self
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
        if self.is_empty() {
            return Object::new();
        }
        let mut object = Object::with_capacity(self.0.len() + usize::from(with_self));
        if with_self {
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
    let mut node = Node { member: false, children: Set::with_capacity(object.len()) };
    for (name, below) in object.iter() {
        if name == "." {
            node.member = true;
            continue;
        }
        let mut child = read(below)?;
        // A place with nothing below is there for itself.
        child.member |= child.children.is_empty();
        node.children.push(Element::parse(name)?, child);
    }
    node.children.settle();
    Some(node)
}

fn kept(element: Element, node: Node) -> Option<(Element, Node)> {
    (!node.is_empty()).then_some((element, node))
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
        assert_eq!(shown(a.clone().difference(&b)), r#"{"f:a":{".":{},"f:c":{}}}"#);
        assert_eq!(shown(a.intersection(&b)), r#"{"f:a":{"f:b":{}},"f:d":{}}"#);
        assert_eq!(a.clone().union(&b), a);
        assert!(a.recursive_difference(&set(r#"{"f:a":{},"f:d":{}}"#)).is_empty());
    }
}
