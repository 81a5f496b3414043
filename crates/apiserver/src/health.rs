//! `/livez`, `/readyz`, `/healthz`: whether the server lives and may be sent requests.

use http::StatusCode;

use crate::query::Query;
use crate::reply::{self, Reply};
use crate::server::Server;

/// The steps of the start under upstream's names, which monitors ask for: all are done before the server answers at
/// all, so they are as good as the start itself.
const STEPS: [&str; 32] = [
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/peer-endpoint-reconciler-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/storage-readiness",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/aggregator-reload-proxy-client-cert",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-wait-for-first-sync",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// The checks before the steps, and after them.
fn checks(root: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match root {
        "readyz" => (&["ping", "log", "informer-sync"], &["shutdown"]),
        _ => (&["ping", "log", "loopback-serving-certificate", "etcd"], &[]),
    }
}

/// The names of the checks of `/ROOT`.
#[must_use]
pub fn names(root: &str) -> Vec<&'static str> {
    let (before, after) = checks(root);
    [before, &STEPS[..], after].concat()
}

/// Answers `/ROOT` or, with `check`, `/ROOT/CHECK`.
pub async fn serve(server: &Server, root: &str, check: Option<&str>, query: &Query) -> Reply {
    let all = names(root);
    if let Some(asked) = check {
        let Some(name) = all.iter().copied().find(|name| *name == asked) else { return crate::pipeline::not_found() };
        return one(failure(server, name).await);
    }
    let mut results = Vec::with_capacity(all.len());
    for name in all {
        let failed = failure(server, name).await.is_some();
        server.metrics.checked(root, name, !failed);
        results.push((name, failed));
    }
    summary(root, &results, query)
}

fn summary(root: &str, results: &[(&str, bool)], query: &Query) -> Reply {
    let excluded: Vec<&str> = query.all("exclude").filter(|name| !name.is_empty()).collect();
    let mut report = String::new();
    let mut any_failed = false;
    for (name, failed) in results {
        if excluded.contains(name) {
            report.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if *failed {
            any_failed = true;
            report.push_str(&format!("[-]{name} failed: reason withheld\n"));
        } else {
            report.push_str(&format!("[+]{name} ok\n"));
        }
    }
    let unknown = excluded.iter().filter(|name| !results.iter().any(|(known, _)| known == *name));
    let unknown: Vec<String> = unknown.map(|name| machinery::field::quote(name)).collect();
    if !unknown.is_empty() {
        let list = unknown.join(",");
        report.push_str(&format!("warn: some health checks cannot be excluded: no matches for {list}\n"));
    }
    if any_failed {
        return reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}{root} check failed\n"));
    }
    if query.has("verbose") {
        return reply::text(StatusCode::OK, format!("{report}{root} check passed\n"));
    }
    reply::text(StatusCode::OK, "ok")
}

fn one(failure: Option<String>) -> Reply {
    match failure {
        None => reply::text(StatusCode::OK, "ok"),
        Some(why) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

/// Why a check fails; `None` when it does not.
pub async fn failure(server: &Server, check: &str) -> Option<String> {
    match check {
        "etcd" => server.store.revision().await.err().map(|error| error.to_string()),
        "shutdown" => server.stop.is_cancelled().then(|| "process is shutting down".to_owned()),
        "ping" | "log" => None,
        _ => (server.cacher.revision().0 == 0).then(|| "not finished".to_owned()),
    }
}
