//! Making room: which less important pods must go so that a pod fits, a pure function of the snapshot
//! (`DefaultPreemption`).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use base::Random;
use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use machinery::labels::Selector;

use crate::affinity::to_selector;
use crate::config::Profile;
use crate::cycle::Cycle;
use crate::diagnosis::{Diagnosis, summary};
use crate::node::NodeInfo;
use crate::plugins::Reason;
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;
use crate::topology::Slot;

/// Why a pod that preemption took away goes, in its condition `DisruptionTarget`.
pub const PREEMPTED: &str = "PreemptionByScheduler";
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// How many pods of a kind may be taken away.
#[derive(Debug, Clone)]
pub struct Budget {
    namespace: String,
    selector: Selector,
    allowed: i32,
    /// Pods whose going is counted already, by name.
    going: BTreeSet<String>,
}

impl Budget {
    /// What a budget of the API allows now.
    #[must_use]
    pub fn new(budget: &PodDisruptionBudget) -> Self {
        let status = budget.status.as_ref();
        Self {
            namespace: budget.metadata.namespace.clone().unwrap_or_default(),
            selector: to_selector(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
            allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or(0),
            going: status.and_then(|s| s.disrupted_pods.as_ref()).into_iter().flat_map(|p| p.keys().cloned()).collect(),
        }
    }

    fn covers(&self, pod: &PodInfo) -> bool {
        self.namespace == pod.namespace()
            && !self.selector.is_empty()
            && self.selector.matches(pod.labels())
            && !self.going.contains(pod.pod.metadata.name.as_deref().unwrap_or_default())
    }
}

/// What came of the search for room.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// These pods go from a node, and the pod waits for it.
    Room(Candidate),
    /// Why there is no room to be made; what the pod waited for is off if `clear`.
    None {
        /// For the pod's message.
        message: String,
        /// Whether the pod is no longer to wait for the node that it was promised.
        clear: bool,
    },
}

/// A node on which room can be made.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The node.
    pub node: String,
    /// The pods that must go, the most important first.
    pub victims: Vec<Arc<PodInfo>>,
    /// How many of them a disruption budget protects.
    pub violations: usize,
}

/// Looks for the node where making room costs least. `now` stands for the start of pods that have not started.
#[must_use]
pub fn preempt(
    (profile, snapshot): (&Profile, &Snapshot),
    pod: &PodInfo,
    diagnosis: &Diagnosis,
    budgets: &[Budget],
    (now, random): (Timestamp, &Random),
) -> Outcome {
    if let Some(reason) = ineligible(snapshot, pod, diagnosis) {
        return Outcome::None { message: reason.to_owned(), clear: false };
    }
    let mut search = Search { cycle: Cycle::new(profile, snapshot, pod), budgets, now };
    let (mut candidates, mut reasons) = (Vec::new(), Vec::new());
    let mut told = 0;
    if search.cycle.prepare().is_ok() {
        let slots = &diagnosis.preemptible;
        let wanted = candidates_wanted(profile, slots.len());
        let offset = if slots.is_empty() { 0 } else { random.below(slots.len()) };
        for node in slots.iter().cycle().skip(offset).take(slots.len()).filter_map(|slot| snapshot.at(*slot)) {
            match search.victims(node) {
                Ok(candidate) => candidates.push(candidate),
                Err(why) => {
                    told += 1;
                    why.into_iter().for_each(|reason| count(&mut reasons, reason));
                }
            }
            if candidates.len() >= wanted && candidates.iter().any(|candidate| candidate.violations == 0) {
                break;
            }
        }
    }
    match cheapest(candidates, now) {
        Some(candidate) => Outcome::Room(candidate),
        None => Outcome::None { message: summary(snapshot.len(), &reasons, Some(NOT_HELPFUL), told), clear: true },
    }
}

fn count(reasons: &mut Vec<(Reason, usize)>, reason: Reason) {
    match reasons.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, nodes)) => *nodes += 1,
        None => reasons.push((reason, 1)),
    }
}

/// Why a pod may not take others' places (now).
fn ineligible(snapshot: &Snapshot, pod: &PodInfo, diagnosis: &Diagnosis) -> Option<&'static str> {
    if pod.spec().preemption_policy.as_deref() == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let promised = pod.nominated_node().and_then(|name| snapshot.node(name))?;
    let hopeless: Slot = promised.slot;
    if diagnosis.refused.is_some() || !diagnosis.preemptible.contains(&hopeless) {
        return None;
    }
    let leaving =
        |other: &&Arc<PodInfo>| other.is_terminating() && other.priority() < pod.priority() && was_preempted(other);
    promised.pods.iter().find(leaving).map(|_| "not eligible due to a terminating pod on the nominated node.")
}

fn was_preempted(pod: &PodInfo) -> bool {
    let conditions = pod.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions
        .iter()
        .any(|c| c.type_ == "DisruptionTarget" && c.status == "True" && c.reason.as_deref() == Some(PREEMPTED))
}

fn candidates_wanted(profile: &Profile, nodes: usize) -> usize {
    let share = nodes * profile.preemption_percentage / 100;
    share.max(profile.preemption_minimum).min(nodes)
}

struct Search<'a> {
    cycle: Cycle<'a>,
    budgets: &'a [Budget],
    now: Timestamp,
}

impl Search<'_> {
    /// The pods that must go from a node; why it would not help.
    fn victims(&mut self, node: &NodeInfo) -> Result<Candidate, Vec<Reason>> {
        let priority = self.cycle.pod.priority();
        let mut lesser: Vec<_> = node.pods.iter().filter(|pod| pod.priority() < priority).cloned().collect();
        if lesser.is_empty() {
            return Err(vec![NO_VICTIMS.into()]);
        }
        let mut bare = node.clone();
        for pod in &lesser {
            bare.remove(&pod.key);
            self.cycle.adjust(node, pod, -1);
        }
        if let Err((_, rejection)) = self.cycle.fits(&bare) {
            lesser.iter().for_each(|pod| self.cycle.adjust(node, pod, 1));
            return Err(rejection.reasons.into_vec());
        }
        let now = self.now;
        lesser.sort_by_key(|pod| (Reverse(pod.priority()), pod.started().unwrap_or(now)));
        let (protected, free) = split(&lesser, self.budgets);
        let mut victims = Vec::new();
        let mut violations = 0;
        for (pods, counts) in [(protected, 1), (free, 0)] {
            for pod in pods {
                if !self.spare(&mut bare, node, &pod) {
                    violations += counts;
                    victims.push(pod);
                }
            }
        }
        victims.iter().for_each(|pod| self.cycle.adjust(node, pod, 1));
        victims.sort_by_key(|pod| (Reverse(pod.priority()), pod.started().unwrap_or(now)));
        Ok(Candidate { node: node.name().to_owned(), victims, violations })
    }

    /// Lets a pod stay if the new one fits nevertheless.
    fn spare(&mut self, bare: &mut NodeInfo, node: &NodeInfo, pod: &Arc<PodInfo>) -> bool {
        bare.add(pod.clone());
        self.cycle.adjust(node, pod, 1);
        let fits = self.cycle.fits(bare).is_ok();
        if !fits {
            bare.remove(&pod.key);
            self.cycle.adjust(node, pod, -1);
        }
        fits
    }
}

/// Pods that a budget protects, and the others.
fn split(pods: &[Arc<PodInfo>], budgets: &[Budget]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut left: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    pods.iter().cloned().partition(|pod| {
        let mut protected = false;
        for (_, left) in budgets.iter().zip(&mut left).filter(|(budget, _)| budget.covers(pod)) {
            *left -= 1;
            protected |= *left < 0;
        }
        protected
    })
}

/// Fewest broken budgets; then the least important most important victim, the least importance together, the fewest
/// victims, and the victims that started last.
fn cheapest(candidates: Vec<Candidate>, now: Timestamp) -> Option<Candidate> {
    let cost = |candidate: &Candidate| {
        let highest = candidate.victims.first().map_or(i32::MIN, |pod| pod.priority());
        let sum: i64 = candidate.victims.iter().map(|pod| i64::from(pod.priority()) + i64::from(i32::MAX) + 1).sum();
        let top = candidate.victims.iter().filter(|pod| pod.priority() == highest);
        let earliest = top.map(|pod| pod.started().unwrap_or(now)).min();
        (candidate.violations, highest, sum, candidate.victims.len(), Reverse(earliest))
    };
    candidates.into_iter().min_by_key(cost)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::*;
    use crate::cycle::{Verdict, schedule};
    use crate::testing::{node, pod_of};

    fn asks(name: &str, cpu: &str, priority: i32) -> Arc<PodInfo> {
        with(name, cpu, priority, json!({}), json!({}))
    }

    fn with(name: &str, cpu: &str, priority: i32, spec: Value, status: Value) -> Arc<PodInfo> {
        let mut all = json!({"priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let metadata = json!({"name": name, "namespace": "a", "labels": {"app": name}});
        pod_of(metadata, &all.to_string(), status)
    }

    fn outcome(snapshot: &Snapshot, pod: &PodInfo, budgets: &[Budget]) -> String {
        let (profile, random) = (Profile::default(), Random::seeded(1));
        let diagnosis = match schedule(&profile, snapshot, pod, &mut 0, &random) {
            Verdict::Node(placement) => return format!("fits on {}", placement.node),
            Verdict::Unschedulable(diagnosis) => diagnosis,
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        match preempt((&profile, snapshot), pod, &diagnosis, budgets, (now, &random)) {
            Outcome::Room(candidate) => {
                let names: Vec<&str> = candidate.victims.iter().map(|pod| &*pod.key).collect();
                format!("{} from {}, {} protected", names.join(" "), candidate.node, candidate.violations)
            }
            Outcome::None { message, clear } => format!("{message} clear {clear}"),
        }
    }

    fn cluster(pods: &[(&str, Arc<PodInfo>)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        ["x", "y"].iter().for_each(|name| snapshot.set_node(node(name, "2", "8Gi")));
        pods.iter().for_each(|(node, pod)| snapshot.set_pod(node, pod.clone()));
        snapshot
    }

    #[test]
    fn the_least_important_go() {
        let snapshot = cluster(&[("x", asks("p1", "2", 5)), ("y", asks("p2", "1", 3)), ("y", asks("p3", "1", 1))]);
        let mut text = String::new();
        for pod in [asks("p", "1", 9), asks("p", "2", 9), asks("p", "2", 2), asks("p", "2", 1), asks("p", "3", 9)] {
            text += &(outcome(&snapshot, &pod, &[]) + "\n");
        }
        expect![[r#"
            a/p3 from y, 0 protected
            a/p2 a/p3 from y, 0 protected
            0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod. clear true
            0/2 nodes are available: 2 No preemption victims found for incoming pod. clear true
            0/2 nodes are available: 2 Preemption is not helpful for scheduling. clear true
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn budgets_protect_as_far_as_they_can() {
        let budget = |app: &str| {
            let pdb = json!({"metadata": {"namespace": "a"}, "spec": {"selector": {"matchLabels": {"app": app}}},
                "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
            Budget::new(&serde_json::from_value(pdb).unwrap())
        };
        let snapshot = cluster(&[("x", asks("p1", "2", 5)), ("y", asks("p2", "2", 1))]);
        assert_eq!(outcome(&snapshot, &asks("p", "2", 9), &[budget("p2")]), "a/p1 from x, 0 protected");
        let both = [budget("p1"), budget("p2")];
        assert_eq!(outcome(&snapshot, &asks("p", "2", 9), &both), "a/p2 from y, 1 protected");
    }

    #[test]
    fn who_started_last_goes() {
        let since = |name: &str, time: &str| with(name, "2", 1, json!({}), json!({"startTime": time}));
        let snapshot =
            cluster(&[("x", since("old", "2025-01-01T00:00:00Z")), ("y", since("new", "2025-06-01T00:00:00Z"))]);
        assert_eq!(outcome(&snapshot, &asks("p", "1", 9), &[]), "a/new from y, 0 protected");
    }

    #[test]
    fn who_may_not() {
        let snapshot = cluster(&[("x", asks("p1", "2", 5)), ("y", asks("p2", "2", 5))]);
        let never = with("p", "1", 9, json!({"preemptionPolicy": "Never"}), json!({}));
        assert_eq!(outcome(&snapshot, &never, &[]), "not eligible due to preemptionPolicy=Never. clear false");
        let leaving = pod_of(
            json!({"name": "p1", "namespace": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}),
            r#"{"priority":5,"containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}"#,
            json!({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": PREEMPTED}]}),
        );
        let snapshot = cluster(&[("x", leaving), ("y", asks("p2", "2", 5))]);
        let promised = with("p", "1", 9, json!({}), json!({"nominatedNodeName": "x"}));
        let expected = "not eligible due to a terminating pod on the nominated node. clear false";
        assert_eq!(outcome(&snapshot, &promised, &[]), expected);
    }

    #[test]
    fn anti_affinity_gives_way_too() {
        let away = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchExpressions": [
                {"key": "app", "operator": "Exists"}]}}]}}});
        let snapshot = cluster(&[("x", asks("p1", "1", 1)), ("x", asks("p2", "1", 1)), ("y", asks("p3", "1", 8))]);
        let picky = with("p", "1", 5, away, json!({}));
        assert_eq!(outcome(&snapshot, &picky, &[]), "a/p1 a/p2 from x, 0 protected");
    }
}
