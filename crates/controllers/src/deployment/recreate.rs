//! Recreate: all old pods go before the first new one comes.

use client::{Action, Object};
use k8s_openapi::api::core::v1::Pod;

use super::{Rollout, actual, size};
use crate::pods;

impl Rollout<'_> {
    pub(super) fn recreate(&mut self) -> Vec<Action> {
        if let Some(write) = self.sync_revision() {
            return write;
        }
        let mut actions = self.drain_old();
        if !actions.is_empty() || self.old_pods_run() {
            actions.extend(self.sync_rollout_status());
            return actions;
        }
        let Some(mut new) = self.new.take() else { return self.create_set() };
        if size(&new) != self.replicas() {
            actions.extend(self.resize(&mut new, self.replicas()));
        }
        self.new = Some(new);
        if self.is_complete() {
            actions.extend(self.clean_up());
        }
        actions.extend(self.sync_rollout_status());
        actions
    }

    fn drain_old(&mut self) -> Vec<Action> {
        let mut old = std::mem::take(&mut self.old);
        let active = old.iter_mut().filter(|set| size(set) > 0);
        let actions = active.flat_map(|set| self.resize(set, 0)).collect();
        self.old = old;
        actions
    }

    fn old_pods_run(&self) -> bool {
        let of_set = |uid| self.view.controlled_by::<Pod>(uid);
        self.old.iter().any(|set| actual(set) > 0 || of_set(set.uid()).iter().any(|pod| !pods::is_terminal(pod)))
    }
}
