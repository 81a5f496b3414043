//! Counts kept up to date for every term of pod affinity and spreading that matters: how many pods it means in each
//! part of the cluster, and how many pods that hold it stand there.
//!
//! Invariant: whoever puts a pod on a node or takes it off tells [`Terms::place`], with the labels that the node has then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::affinity::{NamespaceLabels, Term};
use crate::pod::PodInfo;
use crate::topology::{Counts, Slot, Topology};

/// So many terms that no placed pod holds keep their counts; the one asked for first is forgotten first.
const ASKED_LIMIT: usize = 1024;

/// A term with its counts.
#[derive(Debug, Clone)]
pub struct Group {
    /// The term.
    pub term: Arc<Term>,
    /// Which topology its counts go by.
    pub topology: usize,
    /// Pods that the term means; none until somebody asks.
    pub meant: Option<Counts>,
    /// Pods that must not be near such pods.
    pub anti_required: Counts,
    /// Pods that must be near such pods.
    pub required: Counts,
    /// Weights of the pods that would rather be near or away.
    pub preferred: Counts,
    holders: usize,
}

/// All groups and the topologies that they go by.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    topologies: Vec<Topology>,
    groups: Vec<Option<Group>>,
    free: Vec<usize>,
    by_identity: HashMap<Arc<str>, usize>,
    /// Groups whose pods all have a label, by that label's key and value.
    by_label: HashMap<String, HashMap<String, Vec<usize>>>,
    unlabelled: Vec<usize>,
    asked: VecDeque<Arc<str>>,
    /// Groups that placed pods hold.
    held: usize,
}

/// A node's place and labels, and its pods.
pub type Placed<'a> = (Slot, &'a BTreeMap<String, String>, &'a [Arc<PodInfo>]);

impl Terms {
    /// The topologies, by number.
    #[must_use]
    pub fn topology(&self, number: usize) -> &Topology {
        &self.topologies[number]
    }

    /// The topology of a label key, if some term goes by it.
    #[must_use]
    pub fn topology_of(&self, key: &str) -> Option<&Topology> {
        self.topologies.iter().find(|topology| topology.key() == key)
    }

    /// The group of a term.
    #[must_use]
    pub fn group(&self, term: &Term) -> Option<&Group> {
        self.groups[*self.by_identity.get(&term.identity)?].as_ref()
    }

    /// Whether any placed pod holds a term.
    #[must_use]
    pub fn any_held(&self) -> bool {
        self.held > 0
    }

    /// The groups that may mean a pod with its labels, and that placed pods hold.
    pub fn held_about<'a>(&'a self, pod: &'a PodInfo) -> impl Iterator<Item = &'a Group> {
        self.candidates(pod).filter_map(|number| self.groups[number].as_ref()).filter(|group| group.holders > 0)
    }

    /// A node came or its labels changed. None of its pods is placed.
    pub fn set_node(&mut self, slot: Slot, labels: &BTreeMap<String, String>) {
        self.topologies.iter_mut().for_each(|topology| topology.set(slot, labels));
    }

    /// A node went. None of its pods is placed.
    pub fn remove_node(&mut self, slot: Slot) {
        self.topologies.iter_mut().for_each(|topology| topology.remove(slot));
    }

    /// Makes sure that a label key has its topology.
    pub fn watch_topology<'a>(&mut self, key: &str, nodes: impl Iterator<Item = Placed<'a>>) -> usize {
        if let Some(known) = self.topologies.iter().position(|topology| topology.key() == key) {
            return known;
        }
        let mut topology = Topology::new(key);
        nodes.for_each(|(slot, labels, _)| topology.set(slot, labels));
        self.topologies.push(topology);
        self.topologies.len() - 1
    }

    /// Puts a pod on the node in `slot` (`sign` 1) or takes it off (-1).
    pub fn place<'a>(
        &mut self,
        pod: &PodInfo,
        slot: Slot,
        sign: i64,
        namespaces: &NamespaceLabels,
        nodes: impl Iterator<Item = Placed<'a>> + Clone,
    ) {
        let meant: Vec<usize> = self.candidates(pod).collect();
        for number in meant {
            let Some(group) = &mut self.groups[number] else { continue };
            if let Some(counts) = &mut group.meant
                && let Some(domain) = self.topologies[group.topology].domain(slot)
                && group.term.matches(pod, namespaces)
            {
                counts.add(domain, sign);
            }
        }
        let terms = &pod.affinity;
        for term in &terms.anti_required {
            self.hold(term, slot, sign, sign, |group| &mut group.anti_required, nodes.clone());
        }
        for term in &terms.required {
            self.hold(term, slot, sign, sign, |group| &mut group.required, nodes.clone());
        }
        for (weight, term) in &terms.preferred {
            self.hold(term, slot, sign, sign * weight, |group| &mut group.preferred, nodes.clone());
        }
    }

    /// Counts the pods that a term means from now on.
    pub fn watch<'a>(
        &mut self,
        term: &Arc<Term>,
        namespaces: &NamespaceLabels,
        nodes: impl Iterator<Item = Placed<'a>> + Clone,
    ) {
        if self.group(term).is_some_and(|group| group.meant.is_some()) {
            return;
        }
        let number = self.ensure(term, nodes.clone());
        let topology = self.groups[number].as_ref().map_or(0, |group| group.topology);
        let counts = count(&[term], &self.topologies[topology], namespaces, nodes);
        if let Some(group) = &mut self.groups[number] {
            group.meant = Some(counts);
        }
        self.asked.push_back(term.identity.clone());
        if self.asked.len() > ASKED_LIMIT
            && let Some(first) = self.asked.pop_front()
        {
            self.forget_meant(&first);
        }
    }

    /// The labels of some namespace changed: what depends on them is counted anew when it is asked for.
    pub fn namespaces_changed(&mut self) {
        let stale: Vec<Arc<str>> = self
            .groups
            .iter()
            .flatten()
            .map(|group| &group.term)
            .filter(|term| term.depends_on_namespaces())
            .map(|term| term.identity.clone())
            .collect();
        for identity in stale {
            self.asked.retain(|asked| *asked != identity);
            self.forget_meant(&identity);
        }
    }

    fn candidates<'a>(&'a self, pod: &'a PodInfo) -> impl Iterator<Item = usize> + 'a {
        let labelled = pod.labels().iter().filter_map(|(key, value)| self.by_label.get(key)?.get(value)).flatten();
        labelled.chain(&self.unlabelled).copied()
    }

    fn hold<'a>(
        &mut self,
        term: &Arc<Term>,
        slot: Slot,
        holders: i64,
        amount: i64,
        counts: impl Fn(&mut Group) -> &mut Counts,
        nodes: impl Iterator<Item = Placed<'a>>,
    ) {
        let number = self.ensure(term, nodes);
        let Some(group) = &mut self.groups[number] else { return };
        if let Some(domain) = self.topologies[group.topology].domain(slot) {
            counts(group).add(domain, amount);
        }
        let before = group.holders;
        group.holders = group.holders.saturating_add_signed(isize::try_from(holders).unwrap_or(0));
        match (before, group.holders) {
            (0, 1..) => self.held += 1,
            (1.., 0) => {
                self.held -= 1;
                self.drop_unused(number);
            }
            _ => {}
        }
    }

    fn ensure<'a>(&mut self, term: &Arc<Term>, nodes: impl Iterator<Item = Placed<'a>>) -> usize {
        if let Some(number) = self.by_identity.get(&term.identity) {
            return *number;
        }
        let topology = self.watch_topology(&term.topology_key, nodes);
        let group = Group {
            term: term.clone(),
            topology,
            meant: None,
            anti_required: Counts::default(),
            required: Counts::default(),
            preferred: Counts::default(),
            holders: 0,
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() - 1
        });
        self.groups[number] = Some(group);
        self.by_identity.insert(term.identity.clone(), number);
        self.bucket(term).push(number);
        number
    }

    fn bucket(&mut self, term: &Term) -> &mut Vec<usize> {
        match term.label() {
            Some((key, value)) => self.by_label.entry(key.to_owned()).or_default().entry(value.to_owned()).or_default(),
            None => &mut self.unlabelled,
        }
    }

    fn forget_meant(&mut self, identity: &Arc<str>) {
        let Some(number) = self.by_identity.get(identity).copied() else { return };
        if let Some(group) = &mut self.groups[number] {
            group.meant = None;
        }
        self.drop_unused(number);
    }

    fn drop_unused(&mut self, number: usize) {
        if !self.groups[number].as_ref().is_some_and(|group| group.holders == 0 && group.meant.is_none()) {
            return;
        }
        let Some(group) = self.groups[number].take() else { return };
        self.by_identity.remove(&group.term.identity);
        self.bucket(&group.term).retain(|known| *known != number);
        if let Some((key, value)) = group.term.label()
            && let Some(values) = self.by_label.get_mut(key)
            && values.get(value).is_some_and(Vec::is_empty)
        {
            values.remove(value);
        }
        self.free.push(number);
    }
}

/// Counts from nothing the pods that all of `terms` mean, by part.
#[must_use]
pub fn count<'a>(
    terms: &[&Arc<Term>],
    topology: &Topology,
    namespaces: &NamespaceLabels,
    nodes: impl Iterator<Item = Placed<'a>>,
) -> Counts {
    let mut counts = Counts::default();
    for (slot, _, pods) in nodes {
        let Some(domain) = topology.domain(slot) else { continue };
        let meant = pods.iter().filter(|pod| terms.iter().all(|term| term.matches(pod, namespaces))).count();
        if meant > 0 {
            counts.add(domain, i64::try_from(meant).unwrap_or(i64::MAX));
        }
    }
    counts
}
