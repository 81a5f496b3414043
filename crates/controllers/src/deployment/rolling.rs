//! RollingUpdate: never more pods than surge allows, never fewer available than promised.

use client::Action;
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::{Rollout, available, size};

impl Rollout<'_> {
    pub(super) fn roll(&mut self) -> Vec<Action> {
        if self.new.is_none() {
            return self.create_set();
        }
        if let Some(write) = self.sync_revision() {
            return write;
        }
        let mut actions = self.grow_new();
        if actions.is_empty() {
            actions = self.shrink_old();
        }
        if actions.is_empty() && self.is_complete() {
            actions.extend(self.clean_up());
        }
        actions.extend(self.sync_rollout_status());
        actions
    }

    /// How large the current set may be now.
    pub(super) fn new_size(&self, new: &ReplicaSet) -> i32 {
        if !self.is_rolling() {
            return self.replicas();
        }
        let current = self.old.iter().chain([new]).map(size).sum::<i32>();
        let room = self.replicas() + self.max_surge() - current;
        if room <= 0 { size(new) } else { size(new) + room.min(self.replicas() - size(new)) }
    }

    fn grow_new(&mut self) -> Vec<Action> {
        let Some(mut new) = self.new.take() else { return Vec::new() };
        let target = match size(&new).cmp(&self.replicas()) {
            std::cmp::Ordering::Equal => size(&new),
            std::cmp::Ordering::Greater => self.replicas(),
            std::cmp::Ordering::Less => {
                // The set counts as one of all while it is measured.
                self.new_size(&new)
            }
        };
        let unchanged = target == size(&new);
        let actions = if unchanged { Vec::new() } else { self.resize(&mut new, target) };
        self.new = Some(new);
        actions
    }

    fn shrink_old(&mut self) -> Vec<Action> {
        if self.old.iter().map(size).sum::<i32>() == 0 {
            return Vec::new();
        }
        let promised = self.replicas() - self.max_unavailable();
        let coming = self.new.as_ref().map_or(0, |new| size(new) - available(new));
        let room = self.total() - promised - coming;
        if room <= 0 {
            return Vec::new();
        }
        let mut actions = self.shrink_each(room, |set| size(set) - available(set));
        // A set that is to shrink loses pods that its status counts still.
        let staying: i32 = self.old.iter().chain(&self.new).map(|set| available(set).min(size(set))).sum();
        let spare = staying - promised;
        if spare > 0 {
            actions.extend(self.shrink_each(spare, size));
        }
        actions
    }

    /// Takes up to `room` pods from the old sets, oldest first, from each at most what `part` says.
    fn shrink_each(&mut self, mut room: i32, part: fn(&ReplicaSet) -> i32) -> Vec<Action> {
        let mut old = std::mem::take(&mut self.old);
        let mut actions = Vec::new();
        for set in &mut old {
            let less = part(set).min(room).min(size(set));
            if less > 0 {
                room -= less;
                let target = size(set) - less;
                actions.extend(self.resize(set, target));
            }
        }
        self.old = old;
        actions
    }
}
