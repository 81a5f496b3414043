//! What is counted on a request's way in: who asks, whether they may, how long it took.

use std::sync::Arc;
use std::time::Duration;

use base::metrics::{Counter, Histogram, Registry, alpha, exponential};

const FILTER_DURATIONS: [f64; 13] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 5.0, 10.0, 15.0, 30.0];

/// Users that upstream names; all others are `email_id` or `other`.
const USERS: [&str; 7] =
    ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default", "email_id", "other"];

/// How often something came out so, and how long it took.
#[derive(Debug)]
struct Outcome {
    attempts: Arc<Counter>,
    durations: Arc<Histogram>,
}

impl Outcome {
    fn count(&self, took: Duration) {
        self.attempts.inc();
        self.durations.took(took);
    }
}

/// The cells of a request's way in.
#[derive(Debug)]
pub(super) struct Filters {
    users: [Arc<Counter>; USERS.len()],
    authenticated: Outcome,
    unknown: Outcome,
    allowed: Outcome,
    denied: Outcome,
    authentication: Arc<Histogram>,
    authorization: Arc<Histogram>,
    fairness: Arc<Histogram>,
}

impl Filters {
    pub(super) fn new(all: &Registry) -> Self {
        let buckets = exponential(0.001, 2.0, 15);
        let users =
            all.counters(alpha("authenticated_user_requests", "Authenticated requests, by user."), &["username"]);
        let attempts =
            all.counters(alpha("authentication_attempts", "Requests, by who asks being known."), &["result"]);
        let durations = all.histograms(
            alpha("authentication_duration_seconds", "How long it took to find out who asks."),
            &["result"],
            &buckets,
        );
        let asked =
            all.counters(alpha("authorization_attempts_total", "Requests, by being allowed or not."), &["result"]);
        let decided = all.histograms(
            alpha("authorization_duration_seconds", "How long it took to find out whether it is allowed."),
            &["result"],
            &buckets,
        );
        let filters = all.histograms(
            alpha("apiserver_request_filter_duration_seconds", "How long parts of a request's way in took."),
            &["filter"],
            &FILTER_DURATIONS,
        );
        let known = |result: &str| Outcome { attempts: attempts.with(&[result]), durations: durations.with(&[result]) };
        let may = |result: &str| Outcome { attempts: asked.with(&[result]), durations: decided.with(&[result]) };
        Self {
            users: USERS.map(|user| users.with(&[user])),
            authenticated: known("success"),
            unknown: known("failure"),
            allowed: may("allowed"),
            denied: may("no-opinion"),
            authentication: filters.with(&["authentication"]),
            authorization: filters.with(&["authorization"]),
            fairness: filters.with(&["priorityandfairness"]),
        }
    }

    pub(super) fn authenticated(&self, user: Option<&str>, took: Duration) {
        self.authentication.took(took);
        match user {
            Some(user) => {
                self.users[place(user)].inc();
                self.authenticated.count(took);
            }
            None => self.unknown.count(took),
        }
    }

    pub(super) fn authorized(&self, is_allowed: bool, took: Duration) {
        self.authorization.took(took);
        if is_allowed { &self.allowed } else { &self.denied }.count(took);
    }

    pub(super) fn entered(&self, took: Duration) {
        self.fairness.took(took);
    }
}

/// Which of `USERS` stands for this one: people are many.
fn place(user: &str) -> usize {
    let (known, others) = USERS.split_at(USERS.len() - 2);
    let at = known.iter().position(|known| *known == user);
    at.unwrap_or(if user.contains('@') { known.len() } else { known.len() + others.len() - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        let shown = ["admin", "kubelet", "jane@x", "system:node:a"].map(|user| USERS[place(user)]);
        assert_eq!(shown, ["admin", "kubelet", "email_id", "other"]);
    }
}
