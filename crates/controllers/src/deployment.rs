//! Deployment: one ReplicaSet a template, old ones drained as the new one fills.

mod recreate;
mod revisions;
mod rolling;
mod scale;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::driver::{Controller, Watches};
use client::{Action, Change, Object, View, reference};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::owners;

/// The controller.
pub const CONTROLLER: Controller = Controller { name: "deployment-controller", workers: 5, watches, plan };

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

fn watches(watch: &mut Watches<'_>) {
    watch.own::<Deployment>();
    watch.owned::<ReplicaSet, Deployment>();
    watch.on::<ReplicaSet>(orphans);
    watch.on::<Pod>(last_pod);
}

/// A ReplicaSet that nobody manages may be wanted by any deployment that selects it.
fn orphans(change: &Change<ReplicaSet>, view: &View) -> Vec<String> {
    let set = change.object();
    if set.controller().is_some() || set.is_deleted() {
        return Vec::new();
    }
    let deployments = view.in_namespace::<Deployment>(set.namespace());
    let selecting = deployments.iter().filter(|deployment| {
        deployment.spec.as_ref().is_some_and(|spec| owners::selector(&spec.selector).matches(&set.metadata.labels))
    });
    selecting.map(|deployment| deployment.key()).collect()
}

/// Recreate goes on when the last old pod is gone.
fn last_pod(change: &Change<Pod>, view: &View) -> Vec<String> {
    if change.new.is_some() {
        return Vec::new();
    }
    let owner = change.object().controller().filter(|owner| owner.kind == "ReplicaSet");
    let set = owner.and_then(|owner| view.find::<ReplicaSet>(change.object().namespace(), &owner.name));
    let deployment = set.as_deref().and_then(Object::controller).filter(|owner| owner.kind == "Deployment");
    deployment.map(|owner| client::key(change.object().namespace(), &owner.name)).into_iter().collect()
}

/// A deployment and its sets, as one plan sees them.
struct Rollout<'a> {
    deployment: &'a Deployment,
    spec: &'a DeploymentSpec,
    view: &'a View,
    /// The sets that are not of the current template, oldest first.
    old: Vec<ReplicaSet>,
    /// The set of the current template.
    new: Option<ReplicaSet>,
}

fn plan(key: &str, view: &View) -> Vec<Action> {
    let Some(deployment) = view.get::<Deployment>(key) else { return Vec::new() };
    let Some(spec) = &deployment.spec else { return Vec::new() };
    if spec.selector == LabelSelector::default() {
        return selects_all(&deployment);
    }
    let owner = owners::controller_reference(&*deployment);
    let selector = owners::selector(&spec.selector);
    let candidates = view.in_namespace::<ReplicaSet>(deployment.namespace());
    let claimed = owners::claim(&owner, deployment.is_deleted(), &selector, candidates);
    let mut actions = claimed.writes;
    let mut rollout = Rollout::new(&deployment, spec, view, &claimed.owned);
    actions.extend(rollout.plan());
    actions
}

fn selects_all(deployment: &Deployment) -> Vec<Action> {
    const MESSAGE: &str = "This deployment is selecting all pods. A non-empty selector is required.";
    let mut actions = vec![Action::event(reference(deployment), "Warning", "SelectingAll", MESSAGE)];
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    if observed < deployment.metadata.generation {
        let mut deployment = deployment.clone();
        deployment.status.get_or_insert_default().observed_generation = deployment.metadata.generation;
        actions.push(Action::update_status(&deployment));
    }
    actions
}

impl<'a> Rollout<'a> {
    fn new(deployment: &'a Deployment, spec: &'a DeploymentSpec, view: &'a View, sets: &[Arc<ReplicaSet>]) -> Self {
        let mut sets: Vec<ReplicaSet> = sets.iter().map(|set| (**set).clone()).collect();
        sets.sort_by_key(|set| (set.metadata.creation_timestamp.clone().map(|time| time.0), set.name().to_owned()));
        let current = sets.iter().position(|set| revisions::has_template(set, &spec.template));
        let new = current.map(|at| sets.remove(at));
        Self { deployment, spec, view, old: sets, new }
    }

    fn plan(&mut self) -> Vec<Action> {
        if self.deployment.is_deleted() {
            return self.sync_status();
        }
        if let Some(paused) = self.pause_condition() {
            return vec![paused];
        }
        if self.spec.paused == Some(true) {
            return self.paused();
        }
        if self.is_scaled() {
            return self.scaled();
        }
        match self.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) {
            Some("Recreate") => self.recreate(),
            _ => self.roll(),
        }
    }

    fn paused(&mut self) -> Vec<Action> {
        let mut actions = self.scaled();
        let status = actions.pop_if(|action| matches!(action, Action::Write(write) if write.subresource == "status"));
        actions.extend(self.clean_up());
        actions.extend(status);
        actions
    }

    /// The deployment's size changed since its sets were last scaled: scale them in proportion before anything else.
    fn is_scaled(&self) -> bool {
        let active = self.old.iter().chain(&self.new).filter(|set| size(set) > 0);
        active.filter_map(|set| number(set, DESIRED_REPLICAS)).any(|desired| desired != self.replicas())
    }

    fn scaled(&mut self) -> Vec<Action> {
        if let Some(write) = self.sync_revision() {
            return write;
        }
        let mut actions = self.scale_in_proportion();
        actions.extend(self.sync_status());
        actions
    }

    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn sets(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    fn total(&self) -> i32 {
        self.sets().map(size).sum()
    }

    fn available(&self) -> i32 {
        self.sets().map(available).sum()
    }

    fn is_rolling(&self) -> bool {
        self.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
    }

    /// How many pods more, and how many fewer than wanted a rolling update allows. Both zero would never progress.
    fn fenceposts(&self) -> (i32, i32) {
        let rolling = self.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let value = |field: Option<&IntOrString>, up| field.map_or(0, |field| resolve(field, self.replicas(), up));
        let surge = value(rolling.and_then(|rolling| rolling.max_surge.as_ref()), true);
        let unavailable = value(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), false);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    fn max_surge(&self) -> i32 {
        if self.is_rolling() { self.fenceposts().0 } else { 0 }
    }

    fn max_unavailable(&self) -> i32 {
        if self.is_rolling() && self.replicas() > 0 { self.fenceposts().1.min(self.replicas()) } else { 0 }
    }

    /// Scales `set`, in the plan and in what the plan sees; gives the write and the event, nothing if all is right.
    fn resize(&self, set: &mut ReplicaSet, replicas: i32) -> Vec<Action> {
        let before = size(set);
        let marked = self.mark_size(set);
        if before == replicas && !marked {
            return Vec::new();
        }
        set.spec.get_or_insert_default().replicas = Some(replicas);
        let mut actions = vec![Action::update(set)];
        if before != replicas {
            let way = if before < replicas { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {before} to {replicas}", set.name());
            actions.push(Action::event(reference(self.deployment), "Normal", "ScalingReplicaSet", message));
        }
        actions
    }

    /// Notes on `set` how large the deployment wants to be; whether that is news.
    fn mark_size(&self, set: &mut ReplicaSet) -> bool {
        let annotations = set.metadata.annotations.get_or_insert_default();
        let desired = annotate(annotations, DESIRED_REPLICAS, &self.replicas().to_string());
        annotate(annotations, MAX_REPLICAS, &(self.replicas() + self.max_surge()).to_string()) || desired
    }
}

fn annotate(annotations: &mut BTreeMap<String, String>, name: &str, value: &str) -> bool {
    annotations.insert(name.to_owned(), value.to_owned()).as_deref() != Some(value)
}

fn number(set: &ReplicaSet, annotation: &str) -> Option<i32> {
    set.annotation(annotation)?.parse().ok()
}

/// How many pods the set is asked for.
fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// How many pods the set has.
fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

/// A number, or a percentage of `total`.
pub(crate) fn resolve(value: &IntOrString, total: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or_default();
            let hundredfold = percent * i64::from(total);
            let rounded = if up { (hundredfold + 99).div_euclid(100) } else { hundredfold.div_euclid(100) };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests;
