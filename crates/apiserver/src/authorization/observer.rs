//! The cache tells the authorizer what changes.

use kinds::Kind;
use machinery::Value;

use super::{Authorizer, Change, OBSERVED};
use crate::cache::Observer;

impl Observer for Authorizer {
    fn wants(&self, kind: &Kind) -> bool {
        OBSERVED.contains(&(kind.group, kind.plural))
    }

    fn observe(&self, kind: &Kind, namespace: &str, name: &str, object: Option<&Value>) {
        let change = object.map_or(Change::Delete, Change::Put);
        Self::observe(self, kind.group, kind.plural, namespace, name, change);
    }
}
