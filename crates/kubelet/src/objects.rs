//! The config maps and secrets that this node's pods name: one watch each, as long as some pod names it (a node may
//! read only those). A change wakes the pods that use it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::{CancellationToken, Tasks};
use client::{Context, Informer, InformerOptions, Kind};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use parking_lot::Mutex;

use crate::pod::spec;
use crate::worker::Inbox;

/// How long a pod's start waits for the first answer about an object.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Watches of objects by namespace and name.
pub(crate) struct Objects {
    context: Context,
    config_maps: Watches<ConfigMap>,
    secrets: Watches<Secret>,
}

type Watches<K> = Mutex<HashMap<(String, String), Watched<K>>>;
type Readers = Arc<Mutex<HashMap<String, Arc<Inbox>>>>;

struct Watched<K> {
    informer: Informer<K>,
    readers: Readers,
    cancel: CancellationToken,
    _task: Tasks,
}

/// What a pod names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    config_maps: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Objects {
    pub(crate) fn new(context: Context) -> Self {
        Self { context, config_maps: Mutex::default(), secrets: Mutex::default() }
    }

    /// Watches all that `pod` names, and wakes `inbox` when something of it changes.
    pub(crate) fn hold(&self, pod: &Pod, inbox: &Arc<Inbox>) {
        let names = names(pod);
        for name in names.config_maps {
            hold(&self.context, &self.config_maps, pod, name, inbox);
        }
        for name in names.secrets {
            hold(&self.context, &self.secrets, pod, name, inbox);
        }
    }

    /// Ends the watches that only `pod` needed.
    pub(crate) fn release(&self, pod: &Pod) {
        release(&self.config_maps, spec::uid(pod));
        release(&self.secrets, spec::uid(pod));
    }

    /// Those of the pod's config maps that exist.
    pub(crate) async fn config_maps(&self, pod: &Pod) -> BTreeMap<String, Arc<ConfigMap>> {
        self.all(&self.config_maps, pod, names(pod).config_maps).await
    }

    /// Those of the pod's secrets that exist.
    pub(crate) async fn secrets(&self, pod: &Pod) -> BTreeMap<String, Arc<Secret>> {
        self.all(&self.secrets, pod, names(pod).secrets).await
    }

    async fn all<K: Kind>(&self, watches: &Watches<K>, pod: &Pod, names: BTreeSet<String>) -> BTreeMap<String, Arc<K>> {
        let mut found = BTreeMap::new();
        for name in names {
            let key = (spec::namespace(pod).to_owned(), name);
            let Some(informer) = watches.lock().get(&key).map(|watched| watched.informer.clone()) else { continue };
            let _answered = self.context.clock.timeout(FIRST_ANSWER, informer.synced()).await;
            if let Some(object) = informer.find(&key.0, &key.1) {
                found.insert(key.1, object);
            }
        }
        found
    }
}

fn hold<K: Kind>(context: &Context, watches: &Watches<K>, pod: &Pod, name: String, inbox: &Arc<Inbox>) {
    let key = (spec::namespace(pod).to_owned(), name);
    let mut watches = watches.lock();
    let watched = watches.entry(key.clone()).or_insert_with(|| watch(context, &key.0, &key.1));
    watched.readers.lock().insert(spec::uid(pod).to_owned(), inbox.clone());
}

fn watch<K: Kind>(context: &Context, namespace: &str, name: &str) -> Watched<K> {
    let informer = Informer::<K>::new();
    let readers = Readers::default();
    let wake = Arc::downgrade(&readers);
    informer.observe(move |_| {
        if let Some(readers) = wake.upgrade() {
            readers.lock().values().for_each(|inbox| inbox.objects_changed());
        }
    });
    let cancel = context.cancel.child_token();
    let context = Context { cancel: cancel.clone(), ..context.clone() };
    let options = InformerOptions {
        namespace: namespace.to_owned(),
        field_selector: format!("metadata.name={name}"),
        ..InformerOptions::default()
    };
    let mut task = Tasks::new();
    task.spawn("object watch", informer.clone().run(context, options));
    Watched { informer, readers, cancel, _task: task }
}

fn release<K>(watches: &Watches<K>, uid: &str) {
    watches.lock().retain(|_, watched| {
        let mut readers = watched.readers.lock();
        readers.remove(uid);
        if readers.is_empty() {
            watched.cancel.cancel();
        }
        !readers.is_empty()
    });
}

fn names(pod: &Pod) -> Names {
    let mut names = Names::default();
    for (_, container) in spec::containers(pod) {
        for from in container.env_from.iter().flatten() {
            names.config_maps.extend(from.config_map_ref.as_ref().map(|source| source.name.clone()));
            names.secrets.extend(from.secret_ref.as_ref().map(|source| source.name.clone()));
        }
        for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            names.config_maps.extend(from.config_map_key_ref.as_ref().map(|key| key.name.clone()));
            names.secrets.extend(from.secret_key_ref.as_ref().map(|key| key.name.clone()));
        }
    }
    for volume in spec::spec(pod).volumes.iter().flatten() {
        names.config_maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
        names.secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            names.config_maps.extend(source.config_map.as_ref().map(|source| source.name.clone()));
            names.secrets.extend(source.secret.as_ref().map(|source| source.name.clone()));
        }
    }
    names.secrets.extend(spec::spec(pod).image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()));
    names
}
