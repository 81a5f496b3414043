//! Namespace: empties a namespace that goes away, says what holds it up, and lets it go.
//!
//! It converses (what is there to delete is only known by asking), so it is not a plan.

use std::collections::BTreeMap;
use std::time::Duration;

use base::Tasks;
use client::{ApiError, Context, Informers, ListOptions, Object, PartialObject, QUEUE_BACKOFF, Queue, Resource};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Time};

use crate::discovery::{Discovered, discover};

/// Upstream's name of this controller.
pub const NAME: &str = "namespace-controller";

/// Namespaces emptied at once.
const WORKERS: usize = 2;

const FINALIZER: &str = "kubernetes";

/// Runs until the context is cancelled.
pub async fn run(context: Context, informers: Informers) {
    let queue = Queue::new(context.clock.clone(), context.random.clone(), QUEUE_BACKOFF).of_controller(NAME);
    let informer = informers.of::<Namespace>();
    let woken = queue.clone();
    informer.observe(move |change| {
        if change.new.as_ref().is_some_and(|namespace| namespace.is_deleted()) {
            woken.add(change.key.to_string());
        }
    });
    let mut tasks = Tasks::new();
    for _ in 0..WORKERS {
        tasks.spawn(NAME, work(context.clone(), queue.clone()));
    }
    context.cancel.cancelled().await;
    queue.close();
    tasks.join_all().await;
}

async fn work(context: Context, queue: Queue<String>) {
    while let Some(name) = queue.next().await {
        match empty(&context, &name).await {
            Ok(None) => queue.succeeded(&name),
            Ok(Some(wait)) => queue.add_after(name.clone(), wait),
            Err(error) => {
                tracing::debug!(namespace = name, %error, "a namespace cannot be emptied yet");
                queue.add_failed(name.clone());
            }
        }
        queue.done(&name);
    }
}

/// Empties a namespace once; gives when to look again if something remains.
async fn empty(context: &Context, name: &str) -> Result<Option<Duration>, ApiError> {
    let client = &context.client;
    let namespace = match client.get::<Namespace>("", name).await {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let held = namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten()).any(|f| f == FINALIZER);
    if !namespace.is_deleted() || !held {
        return Ok(None);
    }
    let discovered = discover(client, &["delete", "list"]).await?;
    let remains = delete_all(context, name, &discovered).await;
    let conditions = conditions(&discovered, &remains, context.clock.now());
    let namespace = write_conditions(context, namespace, conditions).await?;
    if !discovered.failed.is_empty() || !remains.failed.is_empty() || !remains.counts.is_empty() {
        return Ok(Some(remains.wait()));
    }
    finalize(context, namespace).await.map(|()| None)
}

/// What is left in a namespace after everything was asked to go.
#[derive(Default)]
struct Remains {
    counts: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    failed: Vec<String>,
    grace_seconds: i64,
}

impl Remains {
    /// Things with a grace period are looked after when it may be over.
    fn wait(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.grace_seconds / 2 + 1).unwrap_or(1))
    }
}

/// Pods first: they may need the rest while they stop (KEP-5080).
async fn delete_all(context: &Context, namespace: &str, discovered: &Discovered) -> Remains {
    let mut remains = Remains::default();
    let namespaced = discovered.resources.iter().filter(|resource| resource.namespaced);
    let (pods, others): (Vec<_>, Vec<_>) = namespaced.partition(|r| r.group.is_empty() && r.plural == "pods");
    for resources in [pods, others] {
        for resource in resources {
            if let Err(error) = delete(context, namespace, resource, &mut remains).await {
                remains.failed.push(format!("{}: {error}", resource.plural));
            }
        }
        if !remains.counts.is_empty() || !remains.failed.is_empty() {
            break;
        }
    }
    remains
}

async fn delete(
    context: &Context,
    namespace: &str,
    resource: &Resource,
    remains: &mut Remains,
) -> Result<(), ApiError> {
    let api = client::Api::<PartialObject>::new(context.client.clone(), resource.clone());
    let list = match api.list(namespace, &ListOptions::default()).await {
        Err(error) if error.is_not_found() || error.code() == Some(405) => return Ok(()),
        other => other?,
    };
    if list.items.is_empty() {
        return Ok(());
    }
    let options = DeleteOptions { propagation_policy: Some("Background".to_owned()), ..DeleteOptions::default() };
    match api.delete_collection(namespace, &options, &ListOptions::default()).await {
        Err(error) if error.code() == Some(405) => {
            for object in list.items.iter().filter(|object| !object.is_deleted()) {
                ignore_missing(api.delete(namespace, object.name(), &options).await)?;
            }
        }
        other => ignore_missing(other)?,
    }
    for object in api.list(namespace, &ListOptions::default()).await?.items {
        *remains.counts.entry(group_resource(resource)).or_default() += 1;
        let grace = object.metadata.deletion_grace_period_seconds.unwrap_or_default();
        remains.grace_seconds = remains.grace_seconds.max(grace);
        for finalizer in object.metadata.finalizers.into_iter().flatten() {
            *remains.finalizers.entry(finalizer).or_default() += 1;
        }
    }
    Ok(())
}

fn ignore_missing(outcome: Result<(), ApiError>) -> Result<(), ApiError> {
    outcome.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

/// `pods.`, `deployments.apps`: upstream writes the dot always.
fn group_resource(resource: &Resource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

fn conditions(discovered: &Discovered, remains: &Remains, now: Timestamp) -> Vec<NamespaceCondition> {
    let condition = |name: &str, bad: Option<String>, reasons: [&str; 2], good: &str| NamespaceCondition {
        type_: name.to_owned(),
        status: if bad.is_some() { "True" } else { "False" }.to_owned(),
        reason: Some(reasons[usize::from(bad.is_some())].to_owned()),
        message: Some(bad.unwrap_or_else(|| good.to_owned())),
        last_transition_time: Some(Time(now)),
    };
    let undiscovered = discovered.failed.iter().map(|(path, error)| format!("{path}: {error}")).collect::<Vec<_>>();
    let discovery = (!undiscovered.is_empty()).then(|| {
        format!("Discovery failed for some groups, {} failing: {}", undiscovered.len(), undiscovered.join(", "))
    });
    let content = (!remains.failed.is_empty()).then(|| {
        let errors = remains.failed.join(", ");
        format!("Failed to delete all resource types, {} remaining: {errors}", remains.failed.len())
    });
    vec![
        condition(
            "NamespaceDeletionDiscoveryFailure",
            discovery,
            ["ResourcesDiscovered", "DiscoveryFailed"],
            "All resources successfully discovered",
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ["ParsedGroupVersions", "GroupVersionParsingFailed"],
            "All legacy kube types successfully parsed",
        ),
        condition(
            "NamespaceDeletionContentFailure",
            content,
            ["ContentDeleted", "ContentDeletionFailed"],
            "All content successfully deleted, may be waiting on finalization",
        ),
        condition(
            "NamespaceContentRemaining",
            remaining("Some resources are remaining: ", &remains.counts, |what, count| {
                format!("{what} has {count} resource instances")
            }),
            ["ContentRemoved", "SomeResourcesRemain"],
            "All content successfully removed",
        ),
        condition(
            "NamespaceFinalizersRemaining",
            remaining(
                "Some content in the namespace has finalizers remaining: ",
                &remains.finalizers,
                |what, count| format!("{what} in {count} resource instances"),
            ),
            ["ContentHasNoFinalizers", "SomeFinalizersRemain"],
            "All content-preserving finalizers finished",
        ),
    ]
}

fn remaining(lead: &str, counts: &BTreeMap<String, usize>, entry: fn(&str, usize) -> String) -> Option<String> {
    let entries: Vec<String> = counts.iter().map(|(what, count)| entry(what, *count)).collect();
    (!entries.is_empty()).then(|| format!("{lead}{}", entries.join(", ")))
}

/// Writes the conditions that changed.
async fn write_conditions(
    context: &Context,
    mut namespace: Namespace,
    new: Vec<NamespaceCondition>,
) -> Result<Namespace, ApiError> {
    let known = namespace.status.get_or_insert_default().conditions.get_or_insert_default();
    let mut changed = false;
    for condition in new {
        let same = |k: &NamespaceCondition| {
            k.status == condition.status && k.reason == condition.reason && k.message == condition.message
        };
        match known.iter_mut().find(|known| known.type_ == condition.type_) {
            Some(known) if same(known) => {}
            Some(known) => (*known, changed) = (condition, true),
            None => {
                known.push(condition);
                changed = true;
            }
        }
    }
    if changed { context.client.update_status(&namespace).await } else { Ok(namespace) }
}

async fn finalize(context: &Context, mut namespace: Namespace) -> Result<(), ApiError> {
    if let Some(finalizers) = namespace.spec.get_or_insert_default().finalizers.as_mut() {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    let api = context.client.api::<Namespace>();
    let outcome = api.update("", namespace.name(), "finalize", &namespace).await;
    ignore_missing(outcome.map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_remains() {
        let remains = Remains {
            counts: BTreeMap::from([("pods.".to_owned(), 2), ("jobs.batch".to_owned(), 1)]),
            finalizers: BTreeMap::from([("a/b".to_owned(), 1)]),
            ..Remains::default()
        };
        let conditions = conditions(&Discovered::default(), &remains, Timestamp::UNIX_EPOCH);
        let told: Vec<String> = conditions
            .into_iter()
            .map(|c| format!("{} {} {}", c.status, c.reason.unwrap_or_default(), c.message.unwrap_or_default()))
            .collect();
        assert_eq!(
            told,
            [
                "False ResourcesDiscovered All resources successfully discovered",
                "False ParsedGroupVersions All legacy kube types successfully parsed",
                "False ContentDeleted All content successfully deleted, may be waiting on finalization",
                "True SomeResourcesRemain Some resources are remaining: jobs.batch has 1 resource instances, pods. has 2 resource instances",
                "True SomeFinalizersRemain Some content in the namespace has finalizers remaining: a/b in 1 resource instances",
            ]
        );
    }
}
