//! Why a pod goes nowhere, and how that is said.

use std::collections::BTreeSet;

use crate::plugins::{Reason, Rejection};
use crate::topology::Slot;

/// Why a pod goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnosis {
    /// How many nodes there are.
    pub nodes: usize,
    /// The plugins that rejected the pod or some node: what wakes the pod again.
    pub plugins: BTreeSet<&'static str>,
    /// The nodes on which removing other pods might help.
    pub preemptible: Vec<Slot>,
    /// A plugin said that the pod fits nowhere, before it looked at nodes.
    pub refused: Option<String>,
    reasons: Vec<(Reason, usize)>,
    told: usize,
    /// What is said of nodes that were not looked at.
    absent: Option<String>,
}

impl Diagnosis {
    /// Nothing said yet, in a cluster of so many nodes.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// Notes what a node said.
    pub fn note(&mut self, plugin: &'static str, node: Slot, rejection: Rejection) {
        self.told += 1;
        for reason in rejection.reasons {
            match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, nodes)) => *nodes += 1,
                None => self.reasons.push((reason, 1)),
            }
        }
        self.plugins.insert(plugin);
        if rejection.preemptible {
            self.preemptible.push(node);
        }
    }

    /// Notes that a plugin rejected the pod before it looked at nodes.
    pub fn refuse(&mut self, plugin: &'static str, rejection: Rejection) {
        self.plugins.insert(plugin);
        self.refused = Some(rejection.reasons.join(", "));
    }

    /// Notes that these plugins left only some nodes to look at.
    pub fn narrow(&mut self, plugins: &BTreeSet<&'static str>) {
        self.plugins.extend(plugins);
        let names: Vec<&str> = plugins.iter().copied().collect();
        self.absent = Some(format!("node(s) didn't satisfy plugin(s) [{}]", names.join(" ")));
    }

    /// The message of the `FailedScheduling` event and of the pod's condition; `after` is what the attempt to make room
    /// came to.
    #[must_use]
    pub fn message(&self, after: &str) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut text = match &self.refused {
            Some(reason) => format!("0/{} nodes are available: {reason}.", self.nodes),
            None => summary(self.nodes, &self.reasons, self.absent.as_deref(), self.told),
        };
        if !after.is_empty() {
            text.push(' ');
            text.push_str(after);
        }
        text
    }
}

/// `0/N nodes are available: …`, with a count for each reason, sorted as text; `absent` holds for nodes that said nothing.
#[must_use]
pub fn summary(nodes: usize, reasons: &[(Reason, usize)], absent: Option<&str>, told: usize) -> String {
    let mut reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if let Some(absent) = absent.filter(|_| told < nodes) {
        reasons.push(format!("{} {absent}", nodes - told));
    }
    reasons.sort();
    if reasons.is_empty() {
        return format!("0/{nodes} nodes are available:");
    }
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}
