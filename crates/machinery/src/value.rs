//! The value tree: every object, built-in or custom, in one compact form.
//!
//! Texts up to 24 bytes live inside the node; an object is a vector of pairs in insertion order, because objects are
//! small and a scan of a few neighbours beats a tree or a hash (measured: a `BTreeMap` tree takes seven times the room).

use compact_str::CompactString;
use smallvec::SmallVec;

/// A text of the tree; short ones need no allocation.
pub type Text = CompactString;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without fraction that fits 64 signed bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    String(Text),
    /// A list.
    Array(Vec<Value>),
    /// Names with values.
    Object(Object),
}

/// Names with values, in insertion order; a name stands once.
#[derive(Debug, Clone, Default)]
pub struct Object(Vec<(Text, Value)>);

impl PartialEq for Object {
    /// Order does not matter, as in JSON.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.0.iter().enumerate().all(|(i, (name, value))| match other.0.get(i) {
                Some((same, there)) if same == name => there == value,
                _ => other.get(name) == Some(value),
            })
    }
}

impl Object {
    /// No names.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No names, room for `capacity` of them.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// These members; names that stand twice stay until [`Self::keep_last`].
    pub(crate) fn of(members: Vec<(Text, Value)>) -> Self {
        Self(members)
    }

    /// The members, to change them.
    pub(crate) fn members_mut(&mut self) -> &mut [(Text, Value)] {
        &mut self.0
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `name`.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.place(name).map(|at| &self.0[at].1)
    }

    /// The value of `name`, to change it.
    #[inline]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.place(name).map(|at| &mut self.0[at].1)
    }

    #[inline]
    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(other, _)| is_same_name(other.as_bytes(), name.as_bytes()))
    }

    /// Whether `name` is there.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets `name`, keeping its place if it has one; gives the value it had.
    pub fn insert(&mut self, name: impl Into<Text>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        if let Some(slot) = self.get_mut(&name) {
            return Some(std::mem::replace(slot, value));
        }
        self.0.push((name, value));
        None
    }

    /// Appends `name` without looking whether it is there.
    ///
    /// Invariant: the caller knows that `name` is new (a parser that checked, a copy of another object).
    pub fn push(&mut self, name: impl Into<Text>, value: Value) {
        self.0.push((name.into(), value));
    }

    /// Puts `name`, which is new, at the place `at`.
    pub(crate) fn insert_at(&mut self, at: usize, name: Text, value: Value) {
        self.0.insert(at, (name, value));
    }

    /// The value of `name`, set to what `value` makes if it is absent.
    pub fn or_insert_with(&mut self, name: &str, value: impl FnOnce() -> Value) -> &mut Value {
        let at = self.place(name).unwrap_or_else(|| {
            self.0.push((name.into(), value()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// Takes `name` out; the order of the others stays.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.place(name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes the value of `name` out and leaves null, so that an [`Self::insert`] finds its place again.
    pub fn remove_in_place(&mut self, name: &str) -> Option<Value> {
        self.get_mut(name).map(std::mem::take)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text, &Value)> {
        self.0.iter().map(|(n, v)| (n, v))
    }

    /// Names and values in order, values to change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Text, &mut Value)> {
        self.0.iter_mut().map(|(n, v)| (&*n, v))
    }

    /// The names in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Text> {
        self.0.iter().map(|(n, _)| n)
    }

    /// The values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.iter().map(|(_, v)| v)
    }

    /// Keeps the names that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.0.retain_mut(|(n, v)| keep(n, v));
    }

    /// Of members with the same name keeps the last one, as Go's JSON reader does; needed only after [`Self::push`].
    pub fn keep_last(&mut self) {
        // Small objects are the rule: comparing all pairs is then faster than a set.
        const FEW: usize = 12;
        let repeats = if self.0.len() <= FEW {
            self.0.iter().enumerate().any(|(i, (name, _))| self.0[..i].iter().any(|(n, _)| n == name))
        } else {
            let mut seen = std::collections::HashSet::with_capacity(self.0.len());
            !self.0.iter().all(|(name, _)| seen.insert(name.as_str()))
        };
        if repeats {
            let mut seen = std::collections::HashSet::with_capacity(self.0.len());
            let mut kept: Vec<_> = std::mem::take(&mut self.0);
            kept.reverse();
            kept.retain(|(name, _)| seen.insert(name.clone()));
            kept.reverse();
            self.0 = kept;
        }
    }

    /// Puts the names into alphabetical order, as Go prints a map.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
    }

    /// Puts the names into the order of what `key` makes of them; equal ones stay as they are.
    pub fn sort_by_key<K: Ord>(&mut self, key: impl Fn(&str) -> K) {
        if !self.0.is_sorted_by_key(|(name, _)| key(name)) {
            self.0.sort_by_cached_key(|(name, _)| key(name));
        }
    }

    /// Puts names that stand once into the order of `place`. Most are in it.
    pub(crate) fn reorder(&mut self, place: impl Fn(&str) -> Option<usize>) {
        let mut places: SmallVec<[Option<usize>; 48]> = SmallVec::new();
        for at in 0..self.0.len() {
            let wanted = place(&self.0[at].0);
            let into = if places.last() < Some(&wanted) { at } else { places.partition_point(|other| *other < wanted) };
            self.0[into..=at].rotate_right(1);
            places.insert(into, wanted);
        }
    }

    /// Gives back spare room; a parsed object that stays in memory wants it.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }
}

/// Whether two names are equal. They are short, so a call of `memcmp` would cost more than it saves; most differ in
/// their length or their first letter, and then nothing more is looked at.
#[inline]
pub(crate) fn is_same_name(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.first() == b.first() && is_same(a, b)
}

/// The same of names of one length.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    if let (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) =
        (a.first_chunk::<8>(), b.first_chunk::<8>(), a.last_chunk::<8>(), b.last_chunk::<8>())
    {
        return a_first == b_first && a_last == b_last && (a.len() <= 16 || a == b);
    }
    if let (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) =
        (a.first_chunk::<4>(), b.first_chunk::<4>(), a.last_chunk::<4>(), b.last_chunk::<4>())
    {
        return a_first == b_first && a_last == b_last;
    }
    a.get(1) == b.get(1) && a.get(2) == b.get(2)
}

impl IntoIterator for Object {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<N: Into<Text>> FromIterator<(N, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(pairs: I) -> Self {
        let mut object = Self::new();
        for (name, value) in pairs {
            object.insert(name, value);
        }
        object
    }
}

impl Value {
    /// An empty object.
    #[must_use]
    pub const fn object() -> Self {
        Self::Object(Object::new())
    }

    /// Puts the names of all objects inside into alphabetical order, as Go writes maps.
    pub fn sort(&mut self) {
        match self {
            Self::Object(object) => {
                object.sort();
                object.iter_mut().for_each(|(_, member)| member.sort());
            }
            Self::Array(items) => items.iter_mut().for_each(Self::sort),
            _ => {}
        }
    }

    /// The object inside.
    #[must_use]
    #[inline]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The object inside, to change it.
    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The list inside.
    #[must_use]
    #[inline]
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The list inside, to change it.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The text inside.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The whole number inside.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The truth inside.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The member `name` of an object.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_object()?.get(name)
    }

    /// The member `name` of an object, to change it.
    #[inline]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.as_object_mut()?.get_mut(name)
    }

    /// The value below `path`, a name a step.
    #[must_use]
    #[inline]
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    /// The value below `path`, to change it.
    #[inline]
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |value, name| value.get_mut(name))
    }

    /// The text below `path`.
    #[must_use]
    #[inline]
    pub fn str_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.as_str()
    }

    /// The whole number below `path`.
    #[must_use]
    #[inline]
    pub fn int_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path)?.as_i64()
    }

    /// The truth below `path`.
    #[must_use]
    #[inline]
    pub fn bool_at(&self, path: &[&str]) -> Option<bool> {
        self.at(path)?.as_bool()
    }

    /// The list below `path`; empty when there is none.
    #[must_use]
    #[inline]
    pub fn items_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Self::as_array).unwrap_or_default()
    }

    /// Sets what is below `path`, making objects on the way; what is no object on the way is replaced by one.
    pub fn set_at(&mut self, path: &[&str], value: impl Into<Value>) {
        let mut place = self;
        for name in path {
            if !matches!(place, Self::Object(_)) {
                *place = Self::object();
            }
            let Self::Object(object) = place else { unreachable!("made an object just above") };
            place = object.or_insert_with(name, || Self::Null);
        }
        *place = value.into();
    }

    /// Takes out what is below `path`.
    pub fn remove_at(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        self.at_mut(parents)?.as_object_mut()?.remove(last)
    }

    /// What JSON calls this: `object`, `array`, `string`, `number`, `boolean`, `null`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}
impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}
impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::String(text.as_str().into())
    }
}
impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::String(text)
    }
}
impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Writes a [`Value`] as one would write JSON: `value!({"kind": "Pod", "metadata": {"name": name}})`.
#[macro_export]
macro_rules! value {
    (null) => { $crate::Value::Null };
    ([ $($item:tt),* $(,)? ]) => { $crate::Value::Array(vec![ $( $crate::value!($item) ),* ]) };
    ({ $($name:literal : $value:tt),* $(,)? }) => {{
        #[allow(unused_mut, reason = "an empty object is not changed")]
        let mut object = $crate::Object::new();
        $( object.insert($name, $crate::value!($value)); )*
        $crate::Value::Object(object)
    }};
    ($other:expr) => { $crate::Value::from($other) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_when_every_letter_is() {
        let letters = b"abcdefghijklmnopqrstuvwxyz";
        for length in 0..letters.len() {
            let name = &letters[..length];
            assert!(is_same_name(name, name));
            assert!(!is_same_name(name, &letters[..=length]));
            for at in 0..length {
                let mut other = name.to_vec();
                other[at] = b'-';
                assert!(!is_same_name(name, &other), "{length}, {at}");
            }
        }
    }

    #[test]
    fn members_come_into_order() {
        let mut object: Object = ["d", "a", "e", "c", "b"].map(|name| (name, Value::Null)).into_iter().collect();
        object.reorder(|name| Some(usize::from(name.as_bytes()[0])));
        assert_eq!(object.keys().map(Text::as_str).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn paths_read_and_write() {
        let mut pod = value!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(pod.str_at(&["metadata", "name"]), Some("web"));
        pod.set_at(&["status", "phase"], "Running");
        assert_eq!(pod.str_at(&["status", "phase"]), Some("Running"));
        assert_eq!(pod.items_at(&["spec", "containers"]).len(), 1);
        assert_eq!(pod.remove_at(&["status", "phase"]), Some("Running".into()));
        assert_eq!(pod.at(&["status", "phase"]), None);
    }

    #[test]
    fn order_does_not_matter_for_equality() {
        assert_eq!(value!({"a": 1, "b": 2}), value!({"b": 2, "a": 1}));
        assert_ne!(value!({"a": 1, "b": 2}), value!({"b": 2, "c": 1}));
    }

    #[test]
    fn a_node_takes_little_room() {
        assert!(size_of::<Value>() <= 32, "{}", size_of::<Value>());
    }
}
