//! Resource quotas: how much of what a namespace's quotas limit is in use.
//!
//! The API server charges a write before it stores it, so what it notes may be too much (the write may still fail) and
//! is too much when objects go. Here it is counted anew. It watches a resource only once a quota limits it, and what
//! quotas will limit is not known beforehand, so it is not a plan.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::Tasks;
use client::{
    ApiError, Change, Context, Informer, InformerOptions, Informers, Kind, Object, PartialObject, QUEUE_BACKOFF, Queue,
    Resource,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service};
use k8s_openapi::api::resource::v1::ResourceClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kinds::quota::{self, Amounts, DEVICE_CLAIMS};
use machinery::{Value, to_value};
use parking_lot::Mutex;

use crate::discovery::discover;

/// Upstream's name of this controller.
pub const NAME: &str = "resourcequota-controller";

/// Quotas counted at once.
const WORKERS: usize = 5;

/// A charge is checked so much later, when the object that it was for is there or is not coming.
const CHARGE_CHECK_DELAY: Duration = Duration::from_secs(5);

/// A group and the plural of a resource.
type Name = (String, String);

/// Runs until the context is cancelled.
pub async fn run(context: Context, informers: Informers) {
    let queue = Queue::new(context.clock.clone(), context.random.clone(), QUEUE_BACKOFF).of_controller(NAME);
    let quotas = informers.of::<ResourceQuota>();
    let woken = queue.clone();
    quotas.observe(move |change| {
        let Some(quota) = &change.new else { return };
        if is_stale(quota) {
            woken.add(quota.key());
        } else {
            woken.add_after(quota.key(), CHARGE_CHECK_DELAY);
        }
    });
    let counter = Arc::new(Counter {
        context: context.clone(),
        queue: queue.clone(),
        quotas,
        informers,
        counted: Mutex::default(),
        device_claims: OnceLock::new(),
    });
    counter.wake_on::<Pod>(|old, new| old.spec != new.spec || is_over(old) != is_over(new));
    counter.wake_on::<Service>(|old, new| old.spec != new.spec);
    counter.wake_on::<PersistentVolumeClaim>(|old, new| old.spec != new.spec);
    let mut tasks = Tasks::new();
    for _ in 0..WORKERS {
        tasks.spawn(NAME, counter.clone().work());
    }
    context.cancel.cancelled().await;
    queue.close();
    tasks.join_all().await;
    // Observers hold the counter; letting go of the informers ends the circle.
    counter.counted.lock().clear();
}

/// Whether the quota was never counted, or limits something else since.
fn is_stale(quota: &ResourceQuota) -> bool {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let status = quota.status.as_ref();
    hard != status.and_then(|status| status.hard.as_ref()) || status.is_none_or(|status| status.used.is_none())
}

/// Whether the pod uses nothing any more.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

struct Counter {
    context: Context,
    queue: Queue<String>,
    quotas: Informer<ResourceQuota>,
    informers: Informers,
    /// Resources of which only the number counts, watched since a quota limits it; with the tasks that watch.
    counted: Mutex<HashMap<Name, (Informer<PartialObject>, Tasks)>>,
    /// Set when claims of devices are watched.
    device_claims: OnceLock<()>,
}

impl Counter {
    /// Objects of this kind are counted, and anew after an update that matters.
    fn wake_on<K: Kind>(self: &Arc<Self>, matters: fn(&K, &K) -> bool) {
        let counter = Arc::downgrade(self);
        self.informers.of::<K>().observe(move |change| {
            let same = change.old.as_ref().zip(change.new.as_ref()).is_some_and(|(old, new)| !matters(old, new));
            if let Some(counter) = counter.upgrade().filter(|_| !same) {
                counter.wake(change);
            }
        });
    }

    /// What goes sets something free at once; what comes was charged already.
    fn wake<K: Object>(&self, change: &Change<K>) {
        for quota in self.quotas.in_namespace(change.object().namespace()) {
            if change.new.is_some() && change.old.is_none() {
                self.queue.add_after(quota.key(), CHARGE_CHECK_DELAY);
            } else {
                self.queue.add(quota.key());
            }
        }
    }

    async fn work(self: Arc<Self>) {
        while let Some(key) = self.queue.next().await {
            let Some(outcome) = self.context.cancel.run_until_cancelled(self.count(&key)).await else { return };
            match outcome {
                Ok(()) => self.queue.succeeded(&key),
                Err(error) if error.is_not_found() => self.queue.succeeded(&key),
                Err(error) => {
                    tracing::debug!(quota = key, %error, "what a quota limits cannot be counted yet");
                    self.queue.add_failed(key.clone());
                }
            }
            self.queue.done(&key);
        }
    }

    async fn count(self: &Arc<Self>, key: &str) -> Result<(), ApiError> {
        let Some(quota) = self.quotas.get(key) else { return Ok(()) };
        let tree = to_value(&*quota);
        let mut objects = BTreeMap::new();
        for name in limited(&tree) {
            if let Some(found) = self.objects(&name, quota.namespace()).await? {
                objects.insert(name, found);
            }
        }
        let status = recount(&tree, &objects, self.context.clock.now());
        if quota.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let counted = ResourceQuota { status: Some(status), ..ResourceQuota::clone(&quota) };
        self.context.client.update_status(&counted).await.map(drop)
    }

    /// The objects of a resource in a namespace; none when the server does not have the resource.
    async fn objects(self: &Arc<Self>, name: &Name, namespace: &str) -> Result<Option<Vec<Value>>, ApiError> {
        match (&*name.0, &*name.1) {
            ("", "pods") => Ok(Some(self.typed::<Pod>(namespace).await)),
            ("", "services") => Ok(Some(self.typed::<Service>(namespace).await)),
            ("", "persistentvolumeclaims") => Ok(Some(self.typed::<PersistentVolumeClaim>(namespace).await)),
            DEVICE_CLAIMS if self.watches_device_claims(name).await? => {
                Ok(Some(self.typed::<ResourceClaim>(namespace).await))
            }
            DEVICE_CLAIMS => Ok(None),
            _ => {
                let Some(informer) = self.counted(name).await? else { return Ok(None) };
                informer.synced().await;
                Ok(Some(informer.in_namespace(namespace).iter().map(|_| Value::Null).collect()))
            }
        }
    }

    /// Claims of devices are watched since a quota limits them, where the server has them; whether they are.
    async fn watches_device_claims(self: &Arc<Self>, name: &Name) -> Result<bool, ApiError> {
        if self.device_claims.get().is_some() {
            return Ok(true);
        }
        let discovered = discover(&self.context.client, &["list", "watch"]).await?;
        let version = Resource::of::<ResourceClaim>().version;
        let has = |resource: &Resource| is_named(resource, name) && resource.version == version;
        if !discovered.resources.iter().any(has) {
            return Ok(false);
        }
        if self.device_claims.set(()).is_ok() {
            self.wake_on::<ResourceClaim>(|old, new| old.spec != new.spec);
        }
        Ok(true)
    }

    async fn typed<K: Kind>(&self, namespace: &str) -> Vec<Value> {
        let informer = self.informers.of::<K>();
        informer.synced().await;
        informer.in_namespace(namespace).iter().map(|object| to_value(&**object)).collect()
    }

    /// The informer of a resource of which only the number counts, started when it is first needed.
    async fn counted(self: &Arc<Self>, name: &Name) -> Result<Option<Informer<PartialObject>>, ApiError> {
        let known = |counted: &HashMap<Name, (Informer<PartialObject>, Tasks)>| {
            counted.get(name).map(|(informer, _)| informer.clone())
        };
        if let Some(informer) = known(&self.counted.lock()) {
            return Ok(Some(informer));
        }
        let discovered = discover(&self.context.client, &["create", "list", "watch", "delete"]).await?;
        let mut resources = discovered.resources.into_iter();
        let Some(resource) = resources.find(|resource| is_named(resource, name)) else { return Ok(None) };
        let mut counted = self.counted.lock();
        if let Some(informer) = known(&counted) {
            return Ok(Some(informer));
        }
        let (informer, counter) = (Informer::<PartialObject>::new(), Arc::downgrade(self));
        informer.observe(move |change| {
            if let Some(counter) = counter.upgrade().filter(|_| change.new.is_none() || change.old.is_none()) {
                counter.wake(change);
            }
        });
        let mut tasks = Tasks::new();
        let watching = informer.clone().run_resource(self.context.clone(), resource, InformerOptions::default());
        tasks.spawn("resource quota's informer", watching);
        counted.insert(name.clone(), (informer.clone(), tasks));
        Ok(Some(informer))
    }
}

fn is_named(resource: &Resource, (group, plural): &Name) -> bool {
    resource.namespaced && resource.group == *group && resource.plural == *plural
}

/// The resources that have to do with what the quota limits.
fn limited(quota: &Value) -> Vec<Name> {
    /// Resources of which more than the number counts, and those with a short name for it.
    const CORE: [&str; 7] = [
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    ];
    let hard = quota::amounts_at(quota, &["spec", "hard"]);
    let core = CORE.into_iter().filter(|plural| hard.keys().any(|name| quota::limits("", plural, name)));
    let mut names: Vec<Name> = core.map(|plural| (String::new(), plural.to_owned())).collect();
    let (group, plural) = DEVICE_CLAIMS;
    if hard.keys().any(|name| quota::limits(group, plural, name)) {
        names.push((group.to_owned(), plural.to_owned()));
    }
    for counted in hard.keys().filter_map(|name| name.strip_prefix("count/")) {
        let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
        let name = (group.to_owned(), plural.to_owned());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What the quota's status should say. What cannot be counted keeps the number that it had.
fn recount(quota: &Value, objects: &BTreeMap<Name, Vec<Value>>, now: Timestamp) -> ResourceQuotaStatus {
    let hard = quota::amounts_at(quota, &["spec", "hard"]);
    let mut used = quota::amounts_at(quota, &["status", "used"]);
    for ((group, plural), objects) in objects {
        let names: Vec<&String> = hard.keys().filter(|name| quota::limits(group, plural, name)).collect();
        let mut sum: Amounts = names.iter().map(|name| ((*name).clone(), machinery::Quantity::default())).collect();
        for object in objects.iter().filter(|object| quota::in_scope(quota, group, plural, object)) {
            for (name, amount) in quota::usage(group, plural, object, now) {
                if let Some(sum) = sum.get_mut(&name) {
                    *sum = *sum + amount;
                }
            }
        }
        used.extend(sum);
    }
    used.retain(|name, _| hard.contains_key(name));
    let used = used.into_iter().map(|(name, amount)| (name, Quantity(amount.to_string())));
    let hard = quota.at(&["spec", "hard"]).and_then(Value::as_object).into_iter().flat_map(machinery::Object::iter);
    let hard = hard.map(|(name, amount)| (name.to_string(), Quantity(amount.as_str().unwrap_or_default().to_owned())));
    ResourceQuotaStatus { hard: Some(hard.collect()), used: Some(used.collect()) }
}

#[cfg(test)]
mod tests {
    use machinery::yaml;

    use super::*;

    fn table(quota: &str, objects: &[(&str, &str, &str)]) -> String {
        let quota = yaml::parse(quota).unwrap();
        let objects = objects.iter().map(|(group, plural, list)| {
            let list = yaml::parse(list).unwrap().as_array().unwrap_or_default().to_vec();
            (((*group).to_owned(), (*plural).to_owned()), list)
        });
        let status = recount(&quota, &objects.collect(), "2026-01-01T00:00:00Z".parse().unwrap());
        let show = |amounts: BTreeMap<String, Quantity>| {
            amounts.into_iter().map(|(name, amount)| format!("{name}={}", amount.0)).collect::<Vec<_>>().join(" ")
        };
        format!("{} of {}", show(status.used.unwrap()), show(status.hard.unwrap()))
    }

    #[test]
    fn what_is_used() {
        let pods = "[{spec: {containers: [{resources: {requests: {cpu: 300m}}}]}}, \
                     {spec: {containers: [{resources: {requests: {cpu: 700m}}}]}}, \
                     {spec: {containers: [{}]}}, \
                     {spec: {containers: [{resources: {requests: {cpu: '9'}}}]}, status: {phase: Succeeded}}]";
        let shown = [
            table("{spec: {hard: {pods: '5', requests.cpu: '2', memory: 1Gi}}}", &[("", "pods", pods)]),
            table("{spec: {hard: {pods: '5'}, scopes: [BestEffort]}}", &[("", "pods", pods)]),
            table(
                "{spec: {hard: {count/deployments.apps: '3'}}, status: {used: {count/deployments.apps: '9', pods: '1'}}}",
                &[("apps", "deployments", "[{}, {}]")],
            ),
            table("{spec: {hard: {count/odd.example.com: '3'}}, status: {used: {count/odd.example.com: '1'}}}", &[]),
            table("{spec: {hard: {secrets: '3'}}}", &[("", "secrets", "[{}]")]),
        ];
        expect_test::expect![[r#"
            memory=0 pods=3 requests.cpu=1 of memory=1Gi pods=5 requests.cpu=2
            pods=1 of pods=5
            count/deployments.apps=2 of count/deployments.apps=3
            count/odd.example.com=1 of count/odd.example.com=3
            secrets=1 of secrets=3"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn what_must_be_watched() {
        let quota = yaml::parse(
            "{spec: {hard: {limits.cpu: '1', count/deployments.apps: '1', secrets: '1', count/secrets: '1', services.nodeports: '1', gpu.deviceclass.resource.k8s.io/devices: '1'}}}",
        );
        let names = limited(&quota.unwrap()).into_iter().map(|(group, plural)| format!("{plural}/{group}"));
        assert_eq!(
            names.collect::<Vec<_>>().join(" "),
            "pods/ secrets/ services/ resourceclaims/resource.k8s.io deployments/apps"
        );
    }
}
