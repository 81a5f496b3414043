//! What a part of the control plane answers: how it is, to everybody, and what it counts, to those who may know.

use std::sync::Arc;

use base::CancellationToken;
use http::{Method, Request, Response, StatusCode};

use super::{Delegated, Listener, Peer, Question, text};
use crate::Body;

/// Where health is asked for.
const ROOTS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// One thing that must be well.
pub struct Check {
    /// Its name in answers.
    pub name: &'static str,
    /// Whether only `/readyz` asks for it.
    pub only_ready: bool,
    /// Whether it is well.
    pub passes: Box<dyn Fn() -> bool + Send + Sync>,
}

/// The answers of a component.
pub struct Status {
    access: Delegated,
    /// Paths that need no authorization; a `*` at the end stands for anything.
    open_paths: Vec<String>,
    checks: Vec<Check>,
    metrics: Box<dyn Fn() -> String + Send + Sync>,
}

impl Status {
    /// Asks `access` about all paths but `open_paths`; all is well when all `checks` pass.
    #[must_use]
    pub fn new(
        access: Delegated,
        open_paths: Vec<String>,
        checks: Vec<Check>,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self { access, open_paths, checks, metrics: Box::new(metrics) }
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
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
        }
        if path == "/metrics" {
            return text(StatusCode::OK, (self.metrics)());
        }
        let rooted = ROOTS.iter().find_map(|root| Some((*root, path.strip_prefix(root)?)));
        match rooted {
            Some((root, "" | "/")) => self.health(root, request.uri().query().unwrap_or_default()),
            Some((root, one)) => self.one(root, one.trim_start_matches('/')),
            None => nowhere(),
        }
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

    /// The checks that `root` asks for: name, and whether it passes.
    fn results(&self, root: &str) -> Vec<(&'static str, bool)> {
        let asked = self.checks.iter().filter(|check| root == "/readyz" || !check.only_ready);
        [("ping", true)].into_iter().chain(asked.map(|check| (check.name, (check.passes)()))).collect()
    }

    /// All checks; `verbose` names those that pass too, `exclude` leaves one out.
    fn health(&self, root: &str, query: &str) -> Response<Body> {
        let root_name = root.trim_start_matches('/');
        let words = || query.split('&').map(|word| word.split_once('=').unwrap_or((word, "")));
        let is_excluded = |name: &str| words().any(|word| word == ("exclude", name));
        let results = self.results(root);
        let mut lines = String::new();
        for (name, passes) in &results {
            lines.push_str(&match (is_excluded(name), passes) {
                (true, _) => format!("[+]{name} excluded: ok\n"),
                (false, true) => format!("[+]{name} ok\n"),
                (false, false) => format!("[-]{name} failed: reason withheld\n"),
            });
        }
        if results.iter().any(|(name, passes)| !passes && !is_excluded(name)) {
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
            Some((_, true)) => text(StatusCode::OK, "ok"),
            Some((_, false)) => text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error: reason withheld\n"),
        }
    }
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
        format!("{line}: {code} {}", String::from_utf8_lossy(&body).trim_end().replace('\n', "; "))
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_for_everybody_and_metrics_are_for_some() {
        let api = Client::new(tower::service_fn(api));
        let access = Delegated::new((api.clone(), api), Clock::system(), Trust::CONTROL_PLANE);
        let open = ["/healthz*", "/livez", "/readyz"].map(str::to_owned).into();
        let checks = vec![
            Check { name: "store", only_ready: false, passes: Box::new(|| true) },
            Check { name: "sync", only_ready: true, passes: Box::new(|| false) },
        ];
        let status = Status::new(access, open, checks, || "up 1\n".to_owned());
        let (nobody, master) =
            (Peer(None), Peer(Some(User { groups: vec!["system:masters".into()], ..User::default() })));
        let mut shown = Vec::new();
        for line in [
            "GET /healthz",
            "GET /healthz?verbose",
            "GET /healthz/store",
            "GET /healthz/sync",
            "GET /livez",
            "GET /readyz",
            "GET /readyz?exclude=sync&verbose",
            "POST /livez",
            "GET /metrics",
            "GET /metrics bad",
            "GET /metrics good",
            "GET /other good",
        ] {
            shown.push(ask(&status, &nobody, line).await);
        }
        shown.push(ask(&status, &master, "GET /other").await);
        expect_test::expect![[r#"
            GET /healthz: 200 ok
            GET /healthz?verbose: 200 [+]ping ok; [+]store ok; healthz check passed
            GET /healthz/store: 200 ok
            GET /healthz/sync: 404 404 page not found
            GET /livez: 200 ok
            GET /readyz: 500 [+]ping ok; [+]store ok; [-]sync failed: reason withheld; readyz check failed
            GET /readyz?exclude=sync&verbose: 200 [+]ping ok; [+]store ok; [+]sync excluded: ok; readyz check passed
            POST /livez: 405 405 method not allowed
            GET /metrics: 403 forbidden: User "system:anonymous" cannot get path "/metrics"
            GET /metrics bad: 401 Unauthorized
            GET /metrics good: 200 up 1
            GET /other good: 403 forbidden: User "u" cannot get path "/other"
            GET /other: 404 404 page not found"#]]
        .assert_eq(&shown.join("\n"));
    }
}
