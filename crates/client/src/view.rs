//! What a plan may look at.

use std::any::Any;
use std::sync::Arc;

use base::Random;
use jiff::Timestamp;

use crate::{Informers, Kind};

/// The state of the cluster as the informers know it, the time, and chance. Plans read nothing else.
#[derive(Clone)]
pub struct View {
    /// The time of planning.
    pub now: Timestamp,
    /// For names.
    pub random: Random,
    /// What the controller declared to read.
    pub informers: Informers,
    /// What the component was started with.
    pub settings: Settings,
}

/// What a component was started with, of a type that only the component knows.
pub type Settings = Arc<dyn Any + Send + Sync>;

impl View {
    /// What the component was started with.
    ///
    /// # Panics
    /// The component was started with settings of another type.
    #[must_use]
    pub fn settings<T: 'static>(&self) -> &T {
        self.settings.downcast_ref().expect("a component reads the settings that it started the driver with")
    }

    /// The object of this key.
    #[must_use]
    pub fn get<K: Kind>(&self, key: &str) -> Option<Arc<K>> {
        self.informers.of::<K>().get(key)
    }

    /// The object of this namespace and name.
    #[must_use]
    pub fn find<K: Kind>(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.informers.of::<K>().find(namespace, name)
    }

    /// All objects of a kind.
    #[must_use]
    pub fn list<K: Kind>(&self) -> Vec<Arc<K>> {
        self.informers.of::<K>().list()
    }

    /// The objects of a namespace.
    #[must_use]
    pub fn in_namespace<K: Kind>(&self, namespace: &str) -> Vec<Arc<K>> {
        self.informers.of::<K>().in_namespace(namespace)
    }

    /// The objects that the index `name` holds under `value`.
    #[must_use]
    pub fn by_index<K: Kind>(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        self.informers.of::<K>().by_index(name, value)
    }

    /// The objects whose managing owner has this uid.
    #[must_use]
    pub fn controlled_by<K: Kind>(&self, uid: &str) -> Vec<Arc<K>> {
        self.informers.of::<K>().controlled_by(uid)
    }

    /// When the object was last seen to go away, if that is remembered and it did not come back.
    #[must_use]
    pub fn gone<K: Kind>(&self, key: &str) -> Option<Timestamp> {
        self.informers.of::<K>().gone(key)
    }

    /// When the object was last seen to change.
    #[must_use]
    pub fn changed<K: Kind>(&self, key: &str) -> Option<Timestamp> {
        self.informers.of::<K>().changed(key)
    }
}
