//! What a part of the control plane answers: how it is, to everybody, and what it counts, to those who may know.

use std::sync::Arc;

use base::CancellationToken;
use base::metrics::{Counters, Exposition, Family, Gauges, Registry, Wanted, stable, start_time};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use super::{Delegated, Listener, Peer, Question, text};
use crate::{Body, full, metrics};

/// Where health is asked for.
const ROOTS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// One thing that must be well.
pub struct Check {
    /// Its name in answers.
    pub name: &'static str,
    /// Who asks for it, of `/healthz`, `/livez` and `/readyz`.
    pub roots: &'static [&'static str],
    /// What is wrong, if it is not well.
    pub failure: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// The answers of a component.
pub struct Status {
    access: Delegated,
    /// Paths that need no authorization; a `*` at the end stands for anything.
    open_paths: Vec<String>,
    checks: Vec<Check>,
    /// What the component itself counts.
    counts: Registry,
    slis: Slis,
}

/// What is counted of health checks (KEP-3466).
struct Slis {
    registry: Registry,
    check: Gauges,
    results: Counters,
}

impl Slis {
    fn new() -> Self {
        let registry = Registry::new();
        let check = stable("kubernetes_healthcheck", "Whether a health check passes.");
        let results = stable("kubernetes_healthchecks_total", "Results of health checks.");
        Self {
            check: registry.gauges(check, &["name", "type"]),
            results: registry.counters(results, &["name", "type", "status"]),
            registry,
        }
    }

    fn count(&self, name: &str, root: &str, passes: bool) {
        let root = root.trim_start_matches('/');
        self.check.with(&[name, root]).set_count(usize::from(passes));
        self.results.with(&[name, root, if passes { "success" } else { "error" }]).inc();
    }

    fn gather(&self) -> Vec<Family> {
        self.registry.gather().into_iter().chain(start_time()).collect()
    }
}

impl Status {
    /// Asks `access` about all paths but `open_paths`; all is well when all `checks` pass. The component counts in
    /// `counts`, what all share is added.
    #[must_use]
    pub fn new(access: Delegated, open_paths: Vec<String>, checks: Vec<Check>, counts: Registry) -> Self {
        Self { access, open_paths, checks, counts, slis: Slis::new() }
    }

    /// Serves until cancelled; `name` is that of the connections' tasks.
    pub async fn serve(self, listener: Listener, name: &'static str, cancel: CancellationToken) {
        let shared = Arc::new(self);
        let answer = move |peer: Arc<Peer>, request: Request<_>| {
            let shared = shared.clone();
            async move { shared.answer(&peer, &request).await }
        };
        listener.run(name, cancel, answer).await;
    }

    async fn answer<B>(&self, peer: &Peer, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        if !self.is_open(path)
            && let Err(refusal) = self.check(peer, request).await
        {
            return refusal;
        }
        if matches!(path, "/metrics" | "/metrics/slis") {
            return self.metrics(path == "/metrics/slis", request.method(), request.headers());
        }
        let rooted = ROOTS.iter().find_map(|root| Some((*root, path.strip_prefix(root)?)));
        match rooted {
            Some((root, "" | "/")) => self.health(root, request.uri().query().unwrap_or_default()),
            Some((root, one)) => self.one(root, one.trim_start_matches('/')),
            None => nowhere(),
        }
    }

    /// What is counted; a DELETE lets the counts begin anew.
    fn metrics(&self, of_checks: bool, method: &Method, headers: &HeaderMap) -> Response<Body> {
        if *method == Method::DELETE {
            if of_checks {
                self.slis.registry.reset();
            } else {
                self.counts.reset();
                metrics::reset();
            }
            return text(StatusCode::OK, "metrics reset\n");
        }
        if !of_checks {
            return exposed(metrics::gather(self.counts.gather()), headers);
        }
        ROOTS.iter().for_each(|root| drop(self.results(root)));
        exposed(self.slis.gather(), headers)
    }

    async fn check<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), Response<Body>> {
        let user = self.access.user(peer, request.headers()).await;
        let user = user.map_err(|_| text(StatusCode::UNAUTHORIZED, "Unauthorized\n"))?;
        let (verb, path) = (request.method().as_str().to_lowercase(), request.uri().path().to_owned());
        let message = format!("forbidden: User {:?} cannot {verb} path {path:?}\n", user.name);
        if self.access.allows(&user, Question::Path { verb, path }).await {
            return Ok(());
        }
        Err(text(StatusCode::FORBIDDEN, message))
    }

    fn is_open(&self, path: &str) -> bool {
        self.open_paths.iter().any(|open| match open.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == open,
        })
    }

    /// The checks that `root` asks for, and what is wrong.
    fn results(&self, root: &str) -> Vec<(&'static str, Option<String>)> {
        let asked = self.checks.iter().filter(|check| check.roots.contains(&root));
        let mut results: Vec<_> = asked.map(|check| (check.name, (check.failure)())).collect();
        if results.is_empty() {
            results.push(("ping", None));
        }
        results.iter().for_each(|(name, failure)| self.slis.count(name, root, failure.is_none()));
        results
    }

    /// All checks; `verbose` names those that pass too, `exclude` leaves one out.
    fn health(&self, root: &str, query: &str) -> Response<Body> {
        let root_name = root.trim_start_matches('/');
        let words = || query.split('&').map(|word| word.split_once('=').unwrap_or((word, "")));
        let excluded = || words().filter(|(word, name)| *word == "exclude" && !name.is_empty()).map(|(_, name)| name);
        let is_excluded = |name: &str| excluded().any(|one| one == name);
        let results = self.results(root);
        let mut lines = String::new();
        for (name, failure) in &results {
            lines.push_str(&match (is_excluded(name), failure) {
                (true, _) => format!("[+]{name} excluded: ok\n"),
                (false, None) => format!("[+]{name} ok\n"),
                (false, Some(_)) => format!("[-]{name} failed: reason withheld\n"),
            });
        }
        let unknown = excluded().filter(|one| results.iter().all(|(name, _)| name != one));
        let unknown: Vec<String> = unknown.map(machinery::field::quote).collect();
        if !unknown.is_empty() {
            let list = unknown.join(",");
            lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {list}\n"));
        }
        if results.iter().any(|(name, failure)| failure.is_some() && !is_excluded(name)) {
            return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{root_name} check failed\n"));
        }
        if words().any(|(word, _)| word == "verbose") {
            return text(StatusCode::OK, format!("{lines}{root_name} check passed\n"));
        }
        text(StatusCode::OK, "ok")
    }

    /// One check by its name.
    fn one(&self, root: &str, name: &str) -> Response<Body> {
        match self.results(root).into_iter().find(|(of, _)| *of == name) {
            None => nowhere(),
            Some((_, None)) => text(StatusCode::OK, "ok"),
            Some((_, Some(why))) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
        }
    }
}

/// Families as the answer to who takes what `headers` say.
#[must_use]
pub fn exposed(families: Vec<Family>, headers: &HeaderMap) -> Response<Body> {
    let value = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = Wanted::read(value(header::ACCEPT), value(header::ACCEPT_ENCODING));
    let told = Exposition::of(families, wanted);
    let mut answer = Response::new(full(told.body));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(told.content_type));
    if told.gzip {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn nowhere() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use base::Clock;
    use http_body_util::BodyExt as _;

    use super::super::{Trust, User};
    use super::*;
    use crate::{Client, full};

    /// An API server that knows one token and lets its holder read metrics.
    async fn api(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        let answer = match path.rsplit('/').next() {
            Some("tokenreviews") => {
                let known = body.contains("\"good\"");
                format!(r#"{{"spec":{{"token":""}},"status":{{"authenticated":{known},"user":{{"username":"u"}}}}}}"#)
            }
            _ => {
                let allowed = body.contains(r#""user":"u""#) && body.contains("/metrics");
                format!(r#"{{"spec":{{}},"status":{{"allowed":{allowed}}}}}"#)
            }
        };
        Ok(Response::new(full(answer)))
    }

    async fn ask(status: &Status, peer: &Peer, line: &str) -> String {
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = words.next() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = status.answer(peer, &request.body(()).unwrap()).await;
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        // The process' own numbers differ.
        let is_ours = |line: &&str| {
            !path.starts_with("/metrics")
                || line.starts_with("up_")
                || line.starts_with("kubernetes_hea") && line.contains("sync")
                || code != 200
                || line.starts_with("metrics")
        };
        let lines: Vec<&str> = body.lines().filter(is_ours).collect();
        format!("{line}: {code} {}", lines.join("; "))
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_for_everybody_and_metrics_are_for_some() {
        let api = Client::new(tower::service_fn(api));
        let access = Delegated::new((api.clone(), api), Clock::system(), Trust::CONTROL_PLANE);
        let open = ["/healthz*", "/livez", "/readyz"].map(str::to_owned).into();
        let checks = vec![
            Check { name: "store", roots: &ROOTS, failure: Box::new(|| None) },
            Check { name: "sync", roots: &["/readyz"], failure: Box::new(|| Some("not yet".to_owned())) },
        ];
        let counts = Registry::new();
        counts.counters(stable("up_total", "Up."), &["x"]).with(&["y"]).inc();
        let status = Status::new(access, open, checks, counts);
        let (nobody, master) =
            (Peer(None), Peer(Some(User { groups: vec!["system:masters".into()], ..User::default() })));
        let mut shown = Vec::new();
        for line in [
            "GET /healthz",
            "GET /healthz?verbose",
            "GET /healthz/store",
            "GET /healthz/sync",
            "GET /readyz/sync",
            "GET /livez",
            "GET /readyz",
            "GET /readyz?exclude=sync&verbose",
            "GET /livez?exclude=sync&verbose",
            "POST /livez",
            "GET /metrics",
            "GET /metrics bad",
            "GET /metrics good",
            "DELETE /metrics good",
            "GET /metrics good",
            "GET /metrics/slis good",
            "GET /other good",
        ] {
            shown.push(ask(&status, &nobody, line).await);
        }
        shown.push(ask(&status, &master, "GET /other").await);
        expect_test::expect![[r#"
            GET /healthz: 200 ok
            GET /healthz?verbose: 200 [+]store ok; healthz check passed
            GET /healthz/store: 200 ok
            GET /healthz/sync: 404 404 page not found
            GET /readyz/sync: 403 forbidden: User "system:anonymous" cannot get path "/readyz/sync"
            GET /livez: 200 ok
            GET /readyz: 500 [+]store ok; [-]sync failed: reason withheld; readyz check failed
            GET /readyz?exclude=sync&verbose: 200 [+]store ok; [+]sync excluded: ok; readyz check passed
            GET /livez?exclude=sync&verbose: 200 [+]store ok; warn: some health checks cannot be excluded: no matches for "sync"; livez check passed
            POST /livez: 200 ok
            GET /metrics: 403 forbidden: User "system:anonymous" cannot get path "/metrics"
            GET /metrics bad: 401 Unauthorized
            GET /metrics good: 200 up_total{x="y"} 1
            DELETE /metrics good: 200 metrics reset
            GET /metrics good: 200 
            GET /metrics/slis good: 200 kubernetes_healthcheck{name="sync",type="readyz"} 0; kubernetes_healthchecks_total{name="sync",status="error",type="readyz"} 3
            GET /other good: 403 forbidden: User "u" cannot get path "/other"
            GET /other: 404 404 page not found"#]]
        .assert_eq(&shown.join("\n"));
    }
}
