//! How admission and authentication look at other objects.

use std::sync::Arc;

use machinery::Value;

/// The objects of the cluster as the cache has them.
///
/// Invariant: what this server wrote is seen at once. A refusal because something is missing is given only after the
/// cache was brought up to date with the store: that is for the caller to do, who then asks again.
pub trait Lister: Send + Sync {
    /// The object; `None` when there is none, or no such resource.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// The objects of a namespace, or of all when it is empty, in the order of their keys.
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>>;
}

/// A handful of objects.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct Objects(Vec<(String, String, Arc<Value>)>);

#[cfg(test)]
impl Objects {
    /// With one more object.
    pub fn with(mut self, group: &str, resource: &str, object: Value) -> Self {
        self.0.push((group.to_owned(), resource.to_owned(), Arc::new(object)));
        self
    }

    fn of<'a>(&'a self, group: &'a str, resource: &'a str) -> impl Iterator<Item = &'a Arc<Value>> {
        self.0.iter().filter(move |(g, r, _)| g == group && r == resource).map(|(_, _, object)| object)
    }
}

#[cfg(test)]
impl Lister for Objects {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        use machinery::meta;
        self.of(group, resource).find(|o| meta::namespace(o) == namespace && meta::name(o) == name).cloned()
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        use machinery::meta;
        self.of(group, resource).filter(|o| namespace.is_empty() || meta::namespace(o) == namespace).cloned().collect()
    }
}
