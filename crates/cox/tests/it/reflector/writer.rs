//! Writes objects of its own and remembers what was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Clock, Random};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use tokio::sync::watch;

use crate::reflector::account::{Contents, count, version};

/// The label of everything that is written.
pub const LABEL: &str = "by=writer";

/// Between two looks whether the server is there again.
pub const LOOK: Duration = Duration::from_millis(20);

/// Objects a writer has.
const OBJECTS: usize = 5;

/// Creates, changes and deletes until the stop; gives what is there then by its knowledge.
pub async fn run(
    objects: Api<ConfigMap>,
    clock: Clock,
    seed: u64,
    done: watch::Sender<usize>,
    stop: watch::Receiver<bool>,
) -> Contents {
    let random = Random::seeded(seed);
    let mut held: BTreeMap<String, ConfigMap> = BTreeMap::new();
    while !*stop.borrow() {
        let name = format!("writer-{seed}-{}", random.below(OBJECTS));
        let before = held.remove(&name);
        let deletes = before.is_some() && random.below(4) == 0;
        let written = if deletes { None } else { Some(next(&name, before.as_ref())) };
        let after = match write(&objects, &name, before.as_ref(), written.as_ref()).await {
            Ok(after) => after,
            Err(error) => {
                assert!(is_outage(&error), "{name}: {error}");
                let after = read(&objects, &clock, &name).await;
                let (was, wanted) = (before.as_ref().map(version), written.as_ref().map(count));
                let undone = after.as_ref().map(version) == was;
                assert!(undone || after.as_ref().map(count) == wanted, "{name}: {after:?} after {before:?}");
                after
            }
        };
        done.send_modify(|done| *done += 1);
        held.extend(after.map(|object| (name, object)));
    }
    held.iter().map(|(name, object)| (name.clone(), (version(object), count(object)))).collect()
}

/// The object as it is to be written; its count goes up.
fn next(name: &str, before: Option<&ConfigMap>) -> ConfigMap {
    let count = before.map(count).unwrap_or_default() + 1;
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: before.and_then(kube::ResourceExt::resource_version),
            labels: Some([("by".to_owned(), "writer".to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some([("count".to_owned(), count.to_string())].into()),
        ..ConfigMap::default()
    }
}

/// Creates, replaces or deletes; gives what is there afterwards.
async fn write(
    objects: &Api<ConfigMap>,
    name: &str,
    before: Option<&ConfigMap>,
    written: Option<&ConfigMap>,
) -> kube::Result<Option<ConfigMap>> {
    let put = PostParams::default();
    match (before, written) {
        (None, Some(object)) => objects.create(&put, object).await.map(Some),
        (Some(_), Some(object)) => objects.replace(name, &put, object).await.map(Some),
        (before, None) => {
            let resource_version = before.and_then(kube::ResourceExt::resource_version);
            let condition = Preconditions { resource_version, uid: None };
            objects.delete(name, &DeleteParams::default().preconditions(condition)).await.map(|_| None)
        }
    }
}

/// The object as it is; waits until the server is there.
async fn read(objects: &Api<ConfigMap>, clock: &Clock, name: &str) -> Option<ConfigMap> {
    loop {
        match objects.get_opt(name).await {
            Ok(found) => return found,
            Err(error) => assert!(is_outage(&error), "{name}: {error}"),
        }
        clock.sleep(LOOK).await;
    }
}

/// Whether it failed for want of a server.
fn is_outage(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => is_busy(status.code),
        _ => true,
    }
}

/// What a server that is just starting may answer.
pub fn is_busy(code: u16) -> bool {
    matches!(code, 429 | 503)
}
