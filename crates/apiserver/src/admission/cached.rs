//! The watch cache as a place to look objects up.

use std::sync::Arc;

use kinds::Kind;
use machinery::Value;

use super::Lister;
use crate::cache::{Cacher, ResourceCache, Selection};

impl Lister for Cacher {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        Some(Arc::new(cache(self, group, resource)?.get(namespace, name)?.value()))
    }

    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some(cache) = cache(self, group, resource) else { return Vec::new() };
        let objects = cache.snapshot(&Selection::all(namespace)).items;
        objects.iter().map(|item| Arc::new(item.value())).collect()
    }
}

/// The cache of a resource; the version does not matter, for all of them are stored once.
fn cache<'a>(cacher: &'a Cacher, group: &str, resource: &str) -> Option<&'a Arc<ResourceCache>> {
    let is_it = |kind: &&&'static Kind| kind.group == group && kind.plural == resource;
    cacher.of(kinds::all().iter().find(is_it)?)
}
