//! Parts of the cluster: which nodes share the value of a label, as small numbers.

use std::collections::{BTreeMap, HashMap};

/// The place of a node in the snapshot; it keeps it as long as it exists.
pub type Slot = usize;
/// A part of the cluster under one label key.
pub type Domain = usize;

/// The parts that one label makes of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    key: String,
    /// The part that each slot is in.
    of_slot: Vec<Option<Domain>>,
    domains: HashMap<String, Domain>,
    /// How many nodes are in each part.
    nodes: Vec<usize>,
    free: Vec<Domain>,
}

impl Topology {
    /// A topology by the label `key`; an empty key makes every node a part of its own.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), ..Self::default() }
    }

    /// The label.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The part that the node in `slot` is in; none if it has no such label.
    #[must_use]
    pub fn domain(&self, slot: Slot) -> Option<Domain> {
        if self.key.is_empty() { Some(slot) } else { self.of_slot.get(slot).copied().flatten() }
    }

    /// More than any part's number.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.nodes.len()
    }

    /// Takes in a node's labels.
    pub fn set(&mut self, slot: Slot, labels: &BTreeMap<String, String>) {
        if self.key.is_empty() {
            return;
        }
        self.remove(slot);
        let Some(value) = labels.get(&self.key) else { return };
        let domain = match self.domains.get(value) {
            Some(domain) => *domain,
            None => self.add_domain(value),
        };
        self.nodes[domain] += 1;
        if self.of_slot.len() <= slot {
            self.of_slot.resize(slot + 1, None);
        }
        self.of_slot[slot] = Some(domain);
    }

    /// Takes out a node.
    pub fn remove(&mut self, slot: Slot) {
        let Some(domain) = self.of_slot.get_mut(slot).and_then(Option::take) else { return };
        self.nodes[domain] -= 1;
        if self.nodes[domain] == 0 {
            self.domains.retain(|_, known| *known != domain);
            self.free.push(domain);
        }
    }

    fn add_domain(&mut self, value: &str) -> Domain {
        let domain = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(0);
            self.nodes.len() - 1
        });
        self.domains.insert(value.to_owned(), domain);
        domain
    }
}

/// A count per part; parts never counted are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    counts: Vec<i64>,
    /// How many parts are not 0.
    filled: usize,
}

impl Counts {
    /// The count of a part.
    #[must_use]
    pub fn get(&self, domain: Domain) -> i64 {
        self.counts.get(domain).copied().unwrap_or(0)
    }

    /// Adds to the count of a part.
    pub fn add(&mut self, domain: Domain, amount: i64) {
        if self.counts.len() <= domain {
            self.counts.resize(domain + 1, 0);
        }
        let before = self.counts[domain];
        self.counts[domain] += amount;
        match (before, self.counts[domain]) {
            (0, 0) => {}
            (0, _) => self.filled += 1,
            (_, 0) => self.filled -= 1,
            _ => {}
        }
    }

    /// Whether all parts are 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.filled == 0
    }

    /// The parts that are not 0.
    pub fn iter(&self) -> impl Iterator<Item = (Domain, i64)> {
        self.counts.iter().enumerate().filter(|(_, count)| **count != 0).map(|(domain, count)| (domain, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_and_go() {
        let labels = |zone: &str| BTreeMap::from([("zone".to_owned(), zone.to_owned())]);
        let mut zones = Topology::new("zone");
        zones.set(0, &labels("a"));
        zones.set(1, &labels("b"));
        zones.set(2, &labels("a"));
        zones.set(3, &BTreeMap::new());
        assert_eq!((0..4).map(|slot| zones.domain(slot)).collect::<Vec<_>>(), [Some(0), Some(1), Some(0), None]);
        zones.remove(1);
        zones.set(3, &labels("c"));
        assert_eq!((zones.domain(3), zones.limit()), (Some(1), 2));
        let mut counts = Counts::default();
        counts.add(1, 2);
        assert_eq!((counts.get(0), counts.get(1), counts.get(9), counts.is_zero()), (0, 2, 0, false));
        counts.add(1, -2);
        assert!(counts.is_zero());
    }
}
