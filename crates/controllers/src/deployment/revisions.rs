//! Which set is of the current template, its revision, and how many old ones are kept.

use client::{Action, ApiError, Object, View, reference};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::Value;

use super::{POD_TEMPLATE_HASH, REVISION, REVISION_HISTORY, Rollout, annotate, size};
use crate::owners;

/// The longest list of revisions that a set once had.
const MAX_HISTORY_CHARS: usize = 2000;

/// Annotations of a deployment that its sets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    super::DESIRED_REPLICAS,
    super::MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Whether the set's template is this one, but for the hash that the set adds.
pub(super) fn has_template(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let plain = |template: &PodTemplateSpec| {
        let mut template = template.clone();
        if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
            labels.remove(POD_TEMPLATE_HASH);
        }
        machinery::to_value(&template)
    };
    let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    own.is_some_and(|own| plain(own) == plain(template))
}

pub(super) fn revision(object: &impl Object) -> i64 {
    object.annotation(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

impl Rollout<'_> {
    fn next_revision(&self) -> i64 {
        self.old.iter().map(revision).max().unwrap_or_default() + 1
    }

    /// Brings the current set's annotations and the deployment's revision up to date: what to write before anything
    /// else, if something is amiss.
    pub(super) fn sync_revision(&self) -> Option<Vec<Action>> {
        let mut new = self.new.clone()?;
        let changed = self.annotate_set(&mut new);
        let wanted = self.spec.min_ready_seconds;
        let spec = new.spec.get_or_insert_default();
        if changed || spec.min_ready_seconds.unwrap_or_default() != wanted.unwrap_or_default() {
            spec.min_ready_seconds = wanted;
            return Some(vec![Action::update(&new)]);
        }
        let revision = new.annotation(REVISION)?;
        if self.deployment.annotation(REVISION) != Some(revision) {
            return Some(vec![set_revision(self.deployment, revision)]);
        }
        let found = self.found(&new)?;
        Some(vec![found])
    }

    /// Copies the deployment's annotations to its current set and raises the set's revision; whether that is news.
    fn annotate_set(&self, set: &mut ReplicaSet) -> bool {
        let mut changed = false;
        let annotations = set.metadata.annotations.get_or_insert_default();
        for (name, value) in self.deployment.metadata.annotations.iter().flatten() {
            if !NOT_COPIED.contains(&name.as_str()) {
                changed |= annotate(annotations, name, value);
            }
        }
        let (known, next) = (annotations.get(REVISION).cloned(), self.next_revision());
        let before: i64 = known.as_deref().and_then(|known| known.parse().ok()).unwrap_or_default();
        if before < next {
            changed |= annotate(annotations, REVISION, &next.to_string());
            if let Some(known) = known {
                let history = annotations.get(REVISION_HISTORY).map(String::as_str).unwrap_or_default();
                let history = history_with(history, &known);
                annotate(annotations, REVISION_HISTORY, &history);
            }
        }
        changed
    }

    /// Makes the set of the current template. It is seen by the next plan, which goes on from there.
    pub(super) fn create_set(&self) -> Vec<Action> {
        let mut set = self.new_set();
        let replicas = self.new_size(&set);
        set.spec.get_or_insert_default().replicas = Some(replicas);
        self.annotate_set(&mut set);
        self.mark_size(&mut set);
        let (deployment, view, name) = (self.deployment.clone(), self.view.clone(), set.name().to_owned());
        let deadline = self.deadline().is_some();
        let revision = self.next_revision().to_string();
        let creation = Action::create(&set).then(move |outcome| match outcome {
            Ok(answer) if answer.is_null() => Vec::new(),
            Ok(_) => created(&deployment, &view, &name, replicas, &revision, deadline),
            Err(error) if error.is_already_exists() => collided(&deployment),
            Err(error) => refused(&deployment, &view, &name, error, deadline),
        });
        vec![creation]
    }

    fn new_set(&self) -> ReplicaSet {
        let collisions = self.deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default();
        let hash = hash(&self.spec.template, collisions);
        let mut template = self.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
        let labels = labels.clone();
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", self.deployment.name())),
                namespace: self.deployment.metadata.namespace.clone(),
                owner_references: Some(vec![owners::controller_reference(self.deployment)]),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        }
    }

    /// Deletes the oldest drained sets beyond the history limit.
    pub(super) fn clean_up(&self) -> Vec<Action> {
        let limit = usize::try_from(self.spec.revision_history_limit.unwrap_or(i32::MAX)).unwrap_or_default();
        let mut sets: Vec<&ReplicaSet> = self.old.iter().filter(|set| !set.is_deleted()).collect();
        let surplus = sets.len().saturating_sub(limit);
        sets.sort_by_key(|set| revision(*set));
        let drained = sets.into_iter().take(surplus).filter(|set| {
            let observed = set.status.as_ref().and_then(|status| status.observed_generation);
            super::actual(set) == 0 && size(set) == 0 && set.metadata.generation <= observed
        });
        drained.map(Action::delete).collect()
    }
}

fn history_with(history: &str, revision: &str) -> String {
    let mut revisions: Vec<&str> = history.split(',').filter(|part| !part.is_empty()).collect();
    revisions.push(revision);
    while revisions.iter().map(|part| part.len() + 1).sum::<usize>() > MAX_HISTORY_CHARS {
        revisions.remove(0);
    }
    revisions.join(",")
}

fn set_revision(deployment: &Deployment, revision: &str) -> Action {
    let mut deployment = deployment.clone();
    annotate(deployment.metadata.annotations.get_or_insert_default(), REVISION, revision);
    Action::update(&deployment)
}

fn created(
    deployment: &Deployment,
    view: &View,
    name: &str,
    replicas: i32,
    revision: &str,
    deadline: bool,
) -> Vec<Action> {
    let mut actions = Vec::new();
    if replicas > 0 {
        let message = format!("Scaled up replica set {name} from 0 to {replicas}");
        actions.push(Action::event(reference(deployment), "Normal", "ScalingReplicaSet", message));
    }
    if deadline {
        let message = format!("Created new replica set {name:?}");
        let told = super::status::progressing(deployment, view, "True", "NewReplicaSetCreated", &message);
        let revision = revision.to_owned();
        // The status is another version of the deployment, on which the update builds.
        actions.push(told.then(move |outcome| {
            let deployment = outcome.ok().and_then(|deployment| machinery::from_value::<Deployment>(deployment).ok());
            deployment.map(|deployment| set_revision(&deployment, &revision)).into_iter().collect()
        }));
    } else {
        actions.push(set_revision(deployment, revision));
    }
    actions
}

/// Another template has the same hash: the next attempt hashes the count of collisions with it.
fn collided(deployment: &Deployment) -> Vec<Action> {
    let mut deployment = deployment.clone();
    *deployment.status.get_or_insert_default().collision_count.get_or_insert_default() += 1;
    vec![Action::update_status(&deployment)]
}

fn refused(deployment: &Deployment, view: &View, name: &str, error: &ApiError, deadline: bool) -> Vec<Action> {
    let message = format!("Failed to create new replica set {name:?}: {error}");
    let mut actions = vec![Action::event(reference(deployment), "Warning", "ReplicaSetCreateError", message.clone())];
    if deadline {
        actions.push(super::status::progressing(deployment, view, "False", "ReplicaSetCreateError", &message));
    }
    actions
}

/// A short name of a template: FNV-1a over its canonical text and the count of collisions, in letters that form no word.
pub(crate) fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut tree: Value = machinery::to_value(template);
    sort(&mut tree);
    let text = serde_json::to_string(&tree).unwrap_or_default();
    let mut hash: u32 = 0x811c_9dc5;
    let salt = if collisions == 0 { String::new() } else { collisions.to_string() };
    for byte in text.bytes().chain(salt.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

fn sort(tree: &mut Value) {
    match tree {
        Value::Object(object) => {
            object.sort();
            object.iter_mut().for_each(|(_, value)| sort(value));
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}
