//! A deployment that is resized during a rollout resizes all its sets in proportion.

use client::Action;
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::{DESIRED_REPLICAS, MAX_REPLICAS, Rollout, available, number, size};

impl Rollout<'_> {
    pub(super) fn scale_in_proportion(&mut self) -> Vec<Action> {
        let mut sets: Vec<ReplicaSet> = self.old.drain(..).collect();
        let is_new = self.new.is_some();
        sets.extend(self.new.take());
        let actions = self.scale_sets(&mut sets, is_new);
        self.new = if is_new { sets.pop() } else { None };
        self.old = sets;
        actions
    }

    /// `sets` are the old ones, and last the new one if `is_new`.
    fn scale_sets(&self, sets: &mut [ReplicaSet], is_new: bool) -> Vec<Action> {
        let active: Vec<usize> = (0..sets.len()).filter(|at| size(&sets[*at]) > 0).collect();
        if active.len() <= 1 {
            let only = active.first().copied().or_else(|| sets.len().checked_sub(1));
            return only.map(|at| self.resize_unless_equal(&mut sets[at], self.replicas())).unwrap_or_default();
        }
        if is_new && sets.last().is_some_and(|new| self.is_saturated(new)) {
            let last = sets.len() - 1;
            let old = active.into_iter().filter(|at| *at < last);
            return old.flat_map(|at| self.resize(&mut sets[at], 0)).collect();
        }
        if self.is_rolling() { self.spread(sets, active) } else { Vec::new() }
    }

    fn resize_unless_equal(&self, set: &mut ReplicaSet, replicas: i32) -> Vec<Action> {
        if size(set) == replicas && number(set, DESIRED_REPLICAS) == Some(replicas) {
            return Vec::new();
        }
        self.resize(set, replicas)
    }

    /// The set has all the pods that the deployment wants.
    fn is_saturated(&self, set: &ReplicaSet) -> bool {
        let wanted = self.replicas();
        number(set, DESIRED_REPLICAS) == Some(wanted) && size(set) == wanted && available(set) == wanted
    }

    /// Divides what is to be added (or taken) by size; what rounding leaves goes to the largest.
    fn spread(&self, sets: &mut [ReplicaSet], mut active: Vec<usize>) -> Vec<Action> {
        let allowed = if self.replicas() > 0 { self.replicas() + self.max_surge() } else { 0 };
        let to_add = allowed - active.iter().map(|at| size(&sets[*at])).sum::<i32>();
        let age = |at: usize| sets[at].metadata.creation_timestamp.as_ref().map(|time| time.0);
        active.sort_by(|a, b| {
            let larger = size(&sets[*b]).cmp(&size(&sets[*a]));
            larger.then_with(|| if to_add > 0 { age(*b).cmp(&age(*a)) } else { age(*a).cmp(&age(*b)) })
        });
        let mut added = 0;
        let mut targets = Vec::new();
        for at in &active {
            let share = self.share(&sets[*at], to_add, added);
            targets.push(size(&sets[*at]) + share);
            added += share;
        }
        if let Some(first) = targets.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        active.into_iter().zip(targets).flat_map(|(at, target)| self.resize(&mut sets[at], target)).collect()
    }

    fn share(&self, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
        if size(set) == 0 || to_add == added {
            return 0;
        }
        let (fraction, left) = (self.fraction(set), to_add - added);
        if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    fn fraction(&self, set: &ReplicaSet) -> i32 {
        if self.replicas() == 0 {
            return -size(set);
        }
        let before = number(set, MAX_REPLICAS).filter(|max| *max != 0);
        let before = before.or_else(|| self.deployment.status.as_ref()?.replicas).unwrap_or_default();
        if before == 0 {
            return 0;
        }
        let scaled = f64::from(size(set)) * f64::from(self.replicas() + self.max_surge()) / f64::from(before);
        #[allow(clippy::cast_possible_truncation, reason = "a float becomes the nearest i32; it saturates")]
        let rounded = scaled.round() as i32;
        rounded - size(set)
    }
}
