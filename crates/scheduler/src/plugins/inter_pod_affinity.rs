//! `InterPodAffinity`: pods that must or would rather run near, or away from, other pods; both the new pod's terms and
//! those of the pods that run.

use std::borrow::Cow;
use std::sync::Arc;

use super::{BASE, MAX_SCORE, Plugin, Prepared, Rejection};
use crate::affinity::Term;
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;
use crate::terms;
use crate::topology::{Counts, Topology};

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

pub const PLUGIN: Plugin = Plugin {
    name: "InterPodAffinity",
    prepare: Some(prepare),
    filter: Some(filter),
    adjust: Some(adjust),
    prepare_score: Some(prepare_score),
    score: Some(score),
    normalize,
    weight: 2,
    helps,
    ..BASE
};

/// A term with how many pods count for it in each part of the cluster.
#[derive(Debug)]
pub struct Tracked<'a> {
    term: Arc<Term>,
    topology: Cow<'a, Topology>,
    counts: Cow<'a, Counts>,
}

impl Tracked<'_> {
    fn at(&self, node: &NodeInfo) -> Option<i64> {
        self.topology.domain(node.slot).map(|domain| self.counts.get(domain))
    }

    fn add(&mut self, node: &NodeInfo, amount: i64) {
        if let Some(domain) = self.topology.domain(node.slot) {
            self.counts.to_mut().add(domain, amount);
        }
    }
}

/// What the filter knows of one pod.
#[derive(Debug, Default)]
pub struct State<'a> {
    /// The pod's own affinity; each counts pods that meet all of its terms.
    required: Vec<Tracked<'a>>,
    /// The pod's own anti-affinity.
    away: Vec<Tracked<'a>>,
    /// Anti-affinity of other pods that means this pod.
    existing: Vec<Tracked<'a>>,
    /// Whether the pod meets its own affinity, so that it may be the first of its kind.
    first: bool,
}

fn prepare<'a>(cycle: &mut Cycle<'a>) -> Prepared {
    let (snapshot, pod) = (cycle.snapshot, cycle.pod);
    let wanted = &pod.affinity;
    let existing = existing(snapshot, pod);
    if wanted.required.is_empty() && wanted.anti_required.is_empty() && existing.is_empty() {
        return Prepared::Skip;
    }
    let all: Vec<&Arc<Term>> = wanted.required.iter().collect();
    let required = wanted.required.iter().map(|term| track(snapshot, term, &all)).collect();
    let away = wanted.anti_required.iter().map(|term| track(snapshot, term, &[term])).collect();
    let first = wanted.required.iter().all(|term| term.matches(pod, snapshot.namespaces()));
    cycle.state.affinity = State { required, away, existing, first };
    Prepared::Ask
}

/// The counts of pods that `all` mean, by the topology of `term`: those kept up to date, or counted now.
fn track<'a>(snapshot: &'a Snapshot, term: &Arc<Term>, all: &[&Arc<Term>]) -> Tracked<'a> {
    let known = snapshot.terms().group(term).filter(|_| all.len() == 1);
    if let Some((group, meant)) = known.and_then(|group| Some((group, group.meant.as_ref()?))) {
        let topology = Cow::Borrowed(snapshot.terms().topology(group.topology));
        return Tracked { term: term.clone(), topology, counts: Cow::Borrowed(meant) };
    }
    let topology = topology(snapshot, &term.topology_key);
    let counts = terms::count(all, &topology, snapshot.namespaces(), snapshot.placed());
    Tracked { term: term.clone(), topology, counts: Cow::Owned(counts) }
}

/// The topology of a label key: the one kept up to date, or one made now.
pub fn topology<'a>(snapshot: &'a Snapshot, key: &str) -> Cow<'a, Topology> {
    if let Some(known) = snapshot.terms().topology_of(key) {
        return Cow::Borrowed(known);
    }
    let mut topology = Topology::new(key);
    snapshot.placed().for_each(|(slot, labels, _)| topology.set(slot, labels));
    Cow::Owned(topology)
}

fn existing<'a>(snapshot: &'a Snapshot, pod: &PodInfo) -> Vec<Tracked<'a>> {
    let groups = snapshot.terms();
    if !groups.any_held() {
        return Vec::new();
    }
    let found = groups
        .held_about(pod)
        .filter(|group| !group.anti_required.is_zero() && group.term.matches(pod, snapshot.namespaces()));
    // The iterator borrows the pod, its groups only the snapshot.
    let found: Vec<&Arc<Term>> = found.map(|group| &group.term).collect();
    found
        .into_iter()
        .filter_map(|term| {
            let group = groups.group(term)?;
            let topology = Cow::Borrowed(groups.topology(group.topology));
            Some(Tracked { term: group.term.clone(), topology, counts: Cow::Borrowed(&group.anti_required) })
        })
        .collect()
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let state = &cycle.state.affinity;
    let mut missing = false;
    for tracked in &state.required {
        let Some(count) = tracked.at(node) else { return Err(Rejection::unfit(AFFINITY)) };
        missing |= count <= 0;
    }
    if missing && !(state.first && state.required.iter().all(|tracked| tracked.counts.is_zero())) {
        return Err(Rejection::unfit(AFFINITY));
    }
    if state.away.iter().any(|tracked| tracked.at(node).is_some_and(|count| count > 0)) {
        return Err(Rejection::crowded(ANTI_AFFINITY));
    }
    if state.existing.iter().any(|tracked| tracked.at(node).is_some_and(|count| count > 0)) {
        return Err(Rejection::crowded(EXISTING));
    }
    Ok(())
}

fn adjust(cycle: &mut Cycle<'_>, node: &NodeInfo, other: &PodInfo, sign: i64) {
    let (snapshot, pod) = (cycle.snapshot, cycle.pod);
    let namespaces = snapshot.namespaces();
    let state = &mut cycle.state.affinity;
    if state.required.iter().all(|tracked| tracked.term.matches(other, namespaces)) {
        state.required.iter_mut().for_each(|tracked| tracked.add(node, sign));
    }
    for tracked in state.away.iter_mut().filter(|tracked| tracked.term.matches(other, namespaces)) {
        tracked.add(node, sign);
    }
    for term in other.affinity.anti_required.iter().filter(|term| term.matches(pod, namespaces)) {
        let known = state.existing.iter().position(|tracked| tracked.term.identity == term.identity);
        let known = known.unwrap_or_else(|| {
            let topology = topology(snapshot, &term.topology_key);
            let counts = Cow::Owned(Counts::default());
            state.existing.push(Tracked { term: term.clone(), topology, counts });
            state.existing.len() - 1
        });
        state.existing[known].add(node, sign);
    }
}

/// What the score knows: how much each part of the cluster draws, one entry a topology.
#[derive(Debug, Default)]
pub struct Preferences<'a>(Vec<(Cow<'a, Topology>, Counts)>);

impl<'a> Preferences<'a> {
    fn add(&mut self, topology: Cow<'a, Topology>, counts: &Counts, weight: i64) {
        if weight == 0 || counts.is_zero() {
            return;
        }
        let known = self.0.iter().position(|(known, _)| known.key() == topology.key());
        let known = known.unwrap_or_else(|| {
            self.0.push((topology, Counts::default()));
            self.0.len() - 1
        });
        counts.iter().for_each(|(domain, count)| self.0[known].1.add(domain, weight * count));
    }
}

fn prepare_score<'a>(cycle: &mut Cycle<'a>, _: &[&NodeInfo]) -> bool {
    let (snapshot, pod, profile) = (cycle.snapshot, cycle.pod, cycle.profile);
    let mut preferences = Preferences::default();
    for (weight, term) in &pod.affinity.preferred {
        let tracked = track(snapshot, term, &[term]);
        preferences.add(tracked.topology, &tracked.counts, *weight);
    }
    let groups = snapshot.terms();
    let ignore = profile.ignore_preferences_of_placed && pod.affinity.preferred.is_empty();
    if groups.any_held() && !ignore {
        for group in groups.held_about(pod) {
            let says = !group.required.is_zero() && profile.hard_pod_affinity_weight > 0 || !group.preferred.is_zero();
            if says && group.term.matches(pod, snapshot.namespaces()) {
                let topology = topology(snapshot, &group.term.topology_key);
                preferences.add(topology.clone(), &group.required, profile.hard_pod_affinity_weight);
                preferences.add(topology, &group.preferred, 1);
            }
        }
    }
    let any = !preferences.0.is_empty();
    cycle.state.near = preferences;
    any
}

fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let draw = |(topology, counts): &(Cow<'_, Topology>, Counts)| {
        topology.domain(node.slot).map_or(0, |domain| counts.get(domain))
    };
    cycle.state.near.0.iter().map(draw).sum()
}

/// The best node gets [`MAX_SCORE`], the worst 0.
fn normalize(_: &Cycle<'_>, _: &[&NodeInfo], scores: &mut [i64]) {
    let least = scores.iter().copied().min().unwrap_or(0);
    let range = scores.iter().copied().max().unwrap_or(0) - least;
    for score in scores {
        *score = if range == 0 { 0 } else { MAX_SCORE * (*score - least) / range };
    }
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    match change {
        Change::PodUpdated | Change::Selection => true,
        Change::PodPlaced(_) => !pod.affinity.required.is_empty(),
        Change::PodLeft(left) => !pod.affinity.anti_required.is_empty() || !left.affinity.anti_required.is_empty(),
        _ => change.touches_labels(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::testing::{labelled, pod_in, scores, verdicts};

    fn cluster() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, zone) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            snapshot.set_node(labelled(name, json!({"zone": zone})));
        }
        snapshot.set_node(labelled("x", json!({})));
        snapshot
    }

    fn term(app: &str) -> serde_json::Value {
        json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}})
    }

    fn wants(name: &str, app: &str, kind: &str, when: &str, terms: serde_json::Value) -> Arc<PodInfo> {
        let spec = json!({"containers": [], "affinity": {kind: {when: terms}}});
        pod_in("a", name, json!({"app": app}), &spec.to_string())
    }

    const HARD: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const SOFT: &str = "preferredDuringSchedulingIgnoredDuringExecution";

    #[test]
    fn near_others() {
        let mut snapshot = cluster();
        let near = wants("p", "web", "podAffinity", HARD, json!([term("db")]));
        snapshot.set_pod("a1", pod_in("a", "db", json!({"app": "db"}), r#"{"containers":[]}"#));
        expect![[r#"
            a1: ok
            a2: ok
            b1: node(s) didn't match pod affinity rules
            x: node(s) didn't match pod affinity rules
        "#]]
        .assert_eq(&verdicts(&snapshot, &near));
        let before = verdicts(&snapshot, &near);
        snapshot.watch(&near);
        assert_eq!(verdicts(&snapshot, &near), before, "counts kept say the same as counts made");
    }

    #[test]
    fn the_first_of_its_kind_goes_anywhere_with_the_label() {
        let first = wants("p", "web", "podAffinity", HARD, json!([term("web")]));
        expect![[r#"
            a1: ok
            a2: ok
            b1: ok
            x: node(s) didn't match pod affinity rules
        "#]]
        .assert_eq(&verdicts(&cluster(), &first));
        let both = wants("p", "web", "podAffinity", HARD, json!([term("web"), term("db")]));
        assert!(!verdicts(&cluster(), &both).contains("ok"));
    }

    #[test]
    fn away_from_others_both_ways() {
        let mut snapshot = cluster();
        let away = |name| wants(name, "web", "podAntiAffinity", HARD, json!([term("web")]));
        snapshot.set_pod("a2", away("q"));
        expect![[r#"
            a1: node(s) didn't match pod anti-affinity rules
            a2: node(s) didn't match pod anti-affinity rules
            b1: ok
            x: ok
        "#]]
        .assert_eq(&verdicts(&snapshot, &away("p")));
        let plain = pod_in("a", "r", json!({"app": "web"}), r#"{"containers":[]}"#);
        expect![[r#"
            a1: node(s) didn't satisfy existing pods anti-affinity rules
            a2: node(s) didn't satisfy existing pods anti-affinity rules
            b1: ok
            x: ok
        "#]]
        .assert_eq(&verdicts(&snapshot, &plain));
        assert!(!verdicts(&snapshot, &pod_in("b", "r", json!({"app": "web"}), r#"{"containers":[]}"#)).contains('('));
    }

    #[test]
    fn preferences_of_both_sides() {
        let mut snapshot = cluster();
        let soft = |weight: i64, app: &str| json!([{"weight": weight, "podAffinityTerm": term(app)}]);
        let near = wants("p", "web", "podAffinity", SOFT, soft(10, "db"));
        assert_eq!(scores(&PLUGIN, &snapshot, &near), "skipped");
        snapshot.set_pod("a1", pod_in("a", "db", json!({"app": "db"}), r#"{"containers":[]}"#));
        assert_eq!(scores(&PLUGIN, &snapshot, &near), "a1: 100\na2: 100\nb1: 0\nx: 0\n");
        snapshot.set_pod("b1", wants("q", "cache", "podAntiAffinity", SOFT, soft(10, "web")));
        assert_eq!(scores(&PLUGIN, &snapshot, &near), "a1: 100\na2: 100\nb1: 0\nx: 50\n");
        snapshot.set_pod("b1", wants("r", "cache", "podAffinity", HARD, json!([term("web")])));
        assert_eq!(scores(&PLUGIN, &snapshot, &near), "a1: 100\na2: 100\nb1: 0\nx: 47\n");
    }
}
