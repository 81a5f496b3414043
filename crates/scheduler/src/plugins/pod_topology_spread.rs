//! `PodTopologySpread`: pods of a kind are spread evenly over the parts of the cluster (KEP-895, KEP-3022, KEP-3094).

use std::borrow::Cow;
use std::cell::Cell;

use super::inter_pod_affinity::topology;
use super::{BASE, MAX_SCORE, Plugin, Prepared, Rejection, node_affinity, taint_toleration};
use crate::change::Change;
use crate::cycle::Cycle;
use crate::node::NodeInfo;
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;
use crate::spread::{Constraint, HOSTNAME};
use crate::terms;
use crate::topology::{Counts, Topology};

const SKEWED: &str = "node(s) didn't match pod topology spread constraints";
const UNLABELLED: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

pub const PLUGIN: Plugin = Plugin {
    name: "PodTopologySpread",
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

/// A constraint with how many pods of the kind stand in each part that counts.
#[derive(Debug)]
struct Tracked<'a> {
    constraint: Constraint,
    topology: Cow<'a, Topology>,
    /// By part; `None` for parts that do not count.
    pods: Vec<Option<i64>>,
    /// Whether the pod itself is of the kind.
    counts_itself: bool,
    /// The fewest in any part, once somebody asked.
    least: Cell<Option<i64>>,
}

impl Tracked<'_> {
    fn least(&self) -> i64 {
        if let Some(known) = self.least.get() {
            return known;
        }
        let parts = i64::try_from(self.pods.iter().flatten().count()).unwrap_or(i64::MAX);
        let fewest = self.pods.iter().flatten().copied().min().unwrap_or(i64::MAX);
        let least = if parts < self.constraint.min_domains { 0 } else { fewest };
        self.least.set(Some(least));
        least
    }
}

/// What the filter knows of one pod.
#[derive(Debug, Default)]
pub struct State<'a>(Vec<Tracked<'a>>);

/// The pod's own constraints, or the default ones if it has none and belongs to something.
fn constraints(cycle: &Cycle<'_>, required: bool) -> Vec<Constraint> {
    if !cycle.pod.spread.is_empty() {
        return cycle.pod.spread.iter().filter(|constraint| constraint.required == required).cloned().collect();
    }
    let defaults = &cycle.profile.spread_defaults;
    let wanted = |when: &str| (when == "DoNotSchedule") == required;
    if !defaults.iter().any(|constraint| wanted(&constraint.when_unsatisfiable)) {
        return Vec::new();
    }
    let Some(selector) = cycle.snapshot.owners.selector(cycle.pod) else { return Vec::new() };
    let of = |constraint| Constraint::new(constraint, cycle.pod.namespace(), selector.clone());
    defaults.iter().filter(|constraint| wanted(&constraint.when_unsatisfiable)).map(of).collect()
}

/// Whether a node counts for a constraint.
fn counts(constraint: &Constraint, pod: &PodInfo, node: &NodeInfo) -> bool {
    (!constraint.honor_affinity || node_affinity::allows(pod, &node.node))
        && (!constraint.honor_taints || taint_toleration::allows(pod, node.taints()))
}

fn in_all(topologies: &[Cow<'_, Topology>], node: &NodeInfo) -> bool {
    topologies.iter().all(|topology| topology.domain(node.slot).is_some())
}

/// How many pods of a constraint's kind are on each node: the count kept up to date, or one made now.
fn like<'a>(snapshot: &'a Snapshot, constraint: &Constraint) -> Cow<'a, Counts> {
    let kept = snapshot.terms().group(&constraint.like).and_then(|group| group.meant.as_ref());
    kept.map_or_else(
        || {
            let each = Topology::new("");
            Cow::Owned(terms::count(&[&constraint.like], &each, snapshot.namespaces(), snapshot.placed()))
        },
        Cow::Borrowed,
    )
}

fn prepare<'a>(cycle: &mut Cycle<'a>) -> Prepared {
    let constraints = constraints(cycle, true);
    if constraints.is_empty() {
        return Prepared::Skip;
    }
    let (snapshot, pod) = (cycle.snapshot, cycle.pod);
    let topologies: Vec<_> = constraints.iter().map(|c| topology(snapshot, &c.topology_key)).collect();
    let mut tracked = Vec::new();
    for (constraint, topology) in constraints.into_iter().zip(topologies.clone()) {
        let like = like(snapshot, &constraint);
        let mut pods = vec![None; topology.limit()];
        for node in snapshot.nodes().filter(|node| in_all(&topologies, node) && counts(&constraint, pod, node)) {
            if let Some(domain) = topology.domain(node.slot) {
                *pods[domain].get_or_insert(0) += like.get(node.slot);
            }
        }
        let counts_itself = constraint.like.matches(pod, snapshot.namespaces());
        tracked.push(Tracked { constraint, topology, pods, counts_itself, least: Cell::new(None) });
    }
    cycle.state.spread = State(tracked);
    Prepared::Ask
}

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    for tracked in &cycle.state.spread.0 {
        let Some(domain) = tracked.topology.domain(node.slot) else { return Err(Rejection::unfit(UNLABELLED)) };
        let here = tracked.pods[domain].unwrap_or(0) + i64::from(tracked.counts_itself);
        if here - tracked.least() > tracked.constraint.max_skew {
            return Err(Rejection::crowded(SKEWED));
        }
    }
    Ok(())
}

fn adjust(cycle: &mut Cycle<'_>, node: &NodeInfo, other: &PodInfo, sign: i64) {
    let (snapshot, pod) = (cycle.snapshot, cycle.pod);
    let inside = cycle.state.spread.0.iter().all(|tracked| tracked.topology.domain(node.slot).is_some());
    for tracked in &mut cycle.state.spread.0 {
        let Some(domain) = tracked.topology.domain(node.slot).filter(|_| inside) else { continue };
        if tracked.constraint.like.matches(other, snapshot.namespaces()) && counts(&tracked.constraint, pod, node) {
            *tracked.pods[domain].get_or_insert(0) += sign;
            tracked.least.set(None);
        }
    }
}

/// A constraint as the score sees it.
#[derive(Debug)]
struct Wish<'a> {
    topology: Cow<'a, Topology>,
    /// By part, or by node where the parts are nodes.
    pods: Counts,
    by_node: bool,
    max_skew: i64,
    weight: f64,
}

/// What the score knows of one pod.
#[derive(Debug, Default)]
pub struct Preferences<'a> {
    wishes: Vec<Wish<'a>>,
    /// Whether nodes without one of the labels are worst.
    strict: bool,
}

impl Preferences<'_> {
    fn ignores(&self, node: &NodeInfo) -> bool {
        self.strict && self.wishes.iter().any(|wish| wish.topology.domain(node.slot).is_none())
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of nodes need no more")]
fn prepare_score<'a>(cycle: &mut Cycle<'a>, nodes: &[&NodeInfo]) -> bool {
    let constraints = constraints(cycle, false);
    if constraints.is_empty() {
        return false;
    }
    let (snapshot, pod) = (cycle.snapshot, cycle.pod);
    let strict = !pod.spread.is_empty() || !cycle.profile.system_spread_defaults;
    let topologies: Vec<_> = constraints.iter().map(|c| topology(snapshot, &c.topology_key)).collect();
    let left: Vec<&&NodeInfo> = nodes.iter().filter(|node| !strict || in_all(&topologies, node)).collect();
    let mut wishes = Vec::new();
    for (constraint, topology) in constraints.iter().zip(topologies.clone()) {
        let like = like(snapshot, constraint);
        let by_node = constraint.topology_key == HOSTNAME;
        let mut parts = vec![false; topology.limit()];
        left.iter().filter_map(|node| topology.domain(node.slot)).for_each(|domain| parts[domain] = true);
        let size = if by_node { left.len() } else { parts.iter().filter(|part| **part).count() };
        let pods = if by_node {
            like.into_owned()
        } else {
            let mut pods = Counts::default();
            for node in snapshot.nodes() {
                if (!strict || in_all(&topologies, node))
                    && let Some(domain) = topology.domain(node.slot)
                    && parts[domain]
                    && counts(constraint, pod, node)
                {
                    pods.add(domain, like.get(node.slot));
                }
            }
            pods
        };
        let weight = ((size + 2) as f64).ln();
        wishes.push(Wish { topology, pods, by_node, max_skew: constraint.max_skew, weight });
    }
    cycle.state.evenness = Preferences { wishes, strict };
    true
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers of pods need no more")]
fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let preferences = &cycle.state.evenness;
    if preferences.ignores(node) {
        return 0;
    }
    let of = |wish: &Wish<'_>| {
        let domain = wish.topology.domain(node.slot)?;
        let pods = wish.pods.get(if wish.by_node { node.slot } else { domain });
        Some(pods as f64 * wish.weight + (wish.max_skew - 1) as f64)
    };
    preferences.wishes.iter().filter_map(of).sum::<f64>().round() as i64
}

/// The fewer the better; nodes without the labels get 0.
fn normalize(cycle: &Cycle<'_>, nodes: &[&NodeInfo], scores: &mut [i64]) {
    let preferences = &cycle.state.evenness;
    let ignored: Vec<bool> = nodes.iter().map(|node| preferences.ignores(node)).collect();
    let left = || scores.iter().zip(&ignored).filter(|(_, ignored)| !**ignored).map(|(score, _)| *score);
    let (least, most) = (left().min().unwrap_or(0), left().max().unwrap_or(0));
    for (score, ignored) in scores.iter_mut().zip(&ignored) {
        *score = match (*ignored, most) {
            (true, _) => 0,
            (false, 0) => MAX_SCORE,
            (false, most) => MAX_SCORE * (most + least - *score) / most,
        };
    }
}

fn helps(pod: &PodInfo, change: &Change) -> bool {
    let like = |other: &PodInfo| {
        pod.spread.is_empty()
            || pod.spread.iter().any(|constraint| other.namespace() == pod.namespace() && constraint.required)
    };
    match change {
        Change::PodUpdated | Change::Selection => true,
        Change::PodPlaced(other) | Change::PodLeft(other) => like(other),
        _ => change.touches_labels() || change.touches_taints(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::expect;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{labelled, pod_in, scores, verdicts};

    fn cluster(pods: &[&str]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, zone) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            snapshot.set_node(labelled(name, json!({"zone": zone})));
        }
        snapshot.set_node(labelled("x", json!({})));
        for (i, node) in pods.iter().enumerate() {
            snapshot.set_pod(node, pod_in("a", &format!("q{i}"), json!({"app": "web"}), r#"{"containers":[]}"#));
        }
        snapshot
    }

    fn spread(when: &str, extra: Value) -> Arc<PodInfo> {
        let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": "web"}}});
        constraint.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let spec = json!({"containers": [], "topologySpreadConstraints": [constraint]});
        pod_in("a", "p", json!({"app": "web"}), &spec.to_string())
    }

    #[test]
    fn skew() {
        let pod = spread("DoNotSchedule", json!({}));
        let mut snapshot = cluster(&["a1", "a2"]);
        expect![[r#"
            a1: node(s) didn't match pod topology spread constraints
            a2: node(s) didn't match pod topology spread constraints
            b1: ok
            x: node(s) didn't match pod topology spread constraints (missing required label)
        "#]]
        .assert_eq(&verdicts(&snapshot, &pod));
        let before = verdicts(&snapshot, &pod);
        snapshot.watch(&pod);
        assert_eq!(verdicts(&snapshot, &pod), before, "counts kept say the same as counts made");
        assert!(verdicts(&cluster(&[]), &pod).contains("a1: ok"));
    }

    #[test]
    fn min_domains_and_policies() {
        let ok = |snapshot: &Snapshot, extra| verdicts(snapshot, &spread("DoNotSchedule", extra)).matches("ok").count();
        assert_eq!(ok(&cluster(&["a1", "b1"]), json!({})), 3);
        assert_eq!(ok(&cluster(&["a1", "b1"]), json!({"minDomains": 3})), 0);
        let spec = json!({"containers": [], "nodeSelector": {"zone": "a"}, "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
             "labelSelector": {"matchLabels": {"app": "web"}}}]});
        let only_a = pod_in("a", "p", json!({"app": "web"}), &spec.to_string());
        assert_eq!(verdicts(&cluster(&["a1", "a2"]), &only_a).matches("ok").count(), 2);
        let ignore = spec.to_string().replace("\"maxSkew\"", "\"nodeAffinityPolicy\":\"Ignore\",\"maxSkew\"");
        let ignoring = pod_in("a", "p", json!({"app": "web"}), &ignore);
        assert_eq!(verdicts(&cluster(&["a1", "a2"]), &ignoring).matches("ok").count(), 0);
    }

    #[test]
    fn evenness() {
        let pod = spread("ScheduleAnyway", json!({}));
        assert_eq!(scores(&PLUGIN, &cluster(&["a1"]), &pod), "a1: 0\na2: 0\nb1: 100\nx: 0\n");
        assert_eq!(scores(&PLUGIN, &cluster(&[]), &pod), "a1: 100\na2: 100\nb1: 100\nx: 0\n");
    }

    #[test]
    fn pods_of_a_service_are_spread_by_default() {
        let mut snapshot = cluster(&["a1", "a1"]);
        let pod = pod_in("a", "p", json!({"app": "web"}), r#"{"containers":[]}"#);
        assert_eq!(scores(&PLUGIN, &snapshot, &pod), "skipped");
        let selector = std::collections::BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        snapshot.owners.set_service("a", "web", Some(selector));
        assert_eq!(scores(&PLUGIN, &snapshot, &pod), "a1: 33\na2: 100\nb1: 100\nx: 100\n");
    }
}
