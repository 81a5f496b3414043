//! A server over the engine in memory, asked in process; answers shown as short texts.

use std::sync::Arc;

use apiserver::access::Settings;
use apiserver::authentication::service_account::Tokens;
use apiserver::authentication::{ClientCertificates, SigningKey, TokenCounts, TokenFile};
use apiserver::authorization::Mode;
use apiserver::certificates::Authority;
use apiserver::{ApiServer, Options, User, bootstrap};
use base::{CancellationToken, Clock, Random, Tasks};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use machinery::{Value, json};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use store::Store;
use tower::Service as _;

/// A running server; ends when dropped.
pub struct World {
    server: ApiServer,
    stop: CancellationToken,
    _tasks: Tasks,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    /// With the namespace `ns`.
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let store = store::memory::open(clock.clone());
        let world = Self::over(store, clock, options).await;
        world.ask("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"ns"}}"#).await;
        world
    }

    /// A server over a store that may have a past.
    pub async fn over(store: Arc<dyn Store>, clock: Clock, options: Options) -> Self {
        let random = Random::seeded(1);
        let settings = settings(&clock);
        let (server, loaded) = ApiServer::start(store, options, settings, clock, random).await.unwrap();
        let (stop, mut tasks) = (CancellationToken::new(), Tasks::new());
        let (following, end) = (server.clone(), stop.clone());
        tasks.spawn("follower", async move { following.run(loaded, end).await });
        Self { server, stop, _tasks: tasks }
    }

    /// Makes what a cluster begins with and announces the server, until the token ends.
    pub async fn begin(&self, address: &str) -> CancellationToken {
        let settings = bootstrap::Settings {
            advertise_address: address.parse().unwrap(),
            secure_port: 6443,
            service_ranges: vec!["10.96.0.0/24".parse().unwrap(), "fd00::/112".parse().unwrap()],
            client_ca_pem: String::new(),
        };
        bootstrap::apply(&self.server, &settings).await.map_err(|status| status.message).unwrap();
        let end = CancellationToken::new();
        drop(base::spawn("announcer", bootstrap::keep(self.server.clone(), settings, end.clone())));
        end
    }

    /// Any request of any user; its answer with the whole body.
    pub async fn request(
        &self,
        user: User,
        (method, url): (&str, &str),
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(url).header("user-agent", "test/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Full::new(body.into())).unwrap();
        request.extensions_mut().insert(user);
        let (parts, body) = self.server.clone().call(request).await.unwrap().into_parts();
        Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }

    /// A GET of the admin with these headers.
    /// All families of metrics, also those with nothing to tell.
    pub fn families(&self) -> Vec<base::metrics::Family> {
        let server = &self.server.server;
        server.metrics.families(server)
    }

    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.request(User::new("admin", &["system:masters"]), ("GET", url), headers, "").await
    }

    pub async fn send(
        &self,
        method: &str,
        url: &str,
        content_type: &str,
        body: &str,
    ) -> Response<apiserver::reply::Body> {
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = url.parse().unwrap();
        request.headers_mut().insert(http::header::CONTENT_TYPE, content_type.parse().unwrap());
        request.headers_mut().insert(http::header::USER_AGENT, "test/1".parse().unwrap());
        request.extensions_mut().insert(User::new("admin", &["system:masters"]));
        self.server.clone().call(request).await.unwrap()
    }

    /// The code and the body.
    pub async fn ask(&self, method: &str, url: &str, body: &str) -> (u16, Value) {
        let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let answer = self.send(method, url, content_type, body).await;
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (code, json::parse(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()))
    }

    /// A scenario: a request a line (`METHOD URL BODY`, `cm` for the ConfigMaps of `ns`), an answer a line.
    pub async fn play(&self, script: &str) -> String {
        let mut shown = Vec::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, ' ');
            let (method, url, body) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
            let url = url.replacen("cm", "/api/v1/namespaces/ns/configmaps", usize::from(url.starts_with("cm")));
            let (code, answer) = self.ask(method, &url, body).await;
            shown.push(format!("{line}\n  {code} {}", show(&answer)));
        }
        shown.join("\n")
    }
}

/// What matters of an answer: of a Status its message, of a list its names, of an object its fields without what the
/// server alone decides.
pub fn show(answer: &Value) -> String {
    if let Some(text) = answer.as_str() {
        return text.trim_end().to_owned();
    }
    if answer.str_at(&["kind"]) == Some("Status") {
        let word = answer.str_at(&["status"]).unwrap_or_default();
        return format!("{word} {}", answer.str_at(&["message"]).unwrap_or_default()).trim_end().to_owned();
    }
    if let Some(items) = answer.get("items").and_then(Value::as_array) {
        let names: Vec<&str> = items.iter().filter_map(|item| item.str_at(&["metadata", "name"])).collect();
        let more = answer.int_at(&["metadata", "remainingItemCount"]).map(|n| format!(" and {n} more"));
        return format!("[{}]{}", names.join(" "), more.unwrap_or_default());
    }
    let mut object = answer.clone();
    for field in ["kind", "apiVersion"] {
        object.remove_at(&[field]);
    }
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "namespace"] {
        object.remove_at(&["metadata", field]);
    }
    json::to_string(&object)
}

fn settings(clock: &Clock) -> Settings {
    let authority = Authority::make(clock.now());
    let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
    let signing = SigningKey::from_pem(authority.pair().key_pem.as_bytes()).unwrap();
    let (verifying, issuers) = (vec![signing.public().clone()], vec!["https://issuer".to_owned()]);
    Settings {
        modes: vec![Mode::Node, Mode::Rbac],
        certificates: ClientCertificates::new([root]).unwrap(),
        token_file: TokenFile::default(),
        tokens: Tokens { audiences: issuers.clone(), issuers, signing, verifying, counts: TokenCounts::default() },
        anonymous: true,
        bootstrap_tokens: false,
        plugins: apiserver::admission::Plugins::default(),
    }
}
