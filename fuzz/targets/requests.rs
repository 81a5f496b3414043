// What must hold of any request of somebody who may do everything.

use std::cell::RefCell;
use std::time::Duration;

use apiserver::access::Settings;
use apiserver::authentication::service_account::Tokens;
use apiserver::authentication::{ClientCertificates, SigningKey, TokenCounts, TokenFile};
use apiserver::authorization::Mode;
use apiserver::certificates::Authority;
use apiserver::{ApiServer, Options, User};
use base::{CancellationToken, Clock, Random, Tasks};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use machinery::json;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tower::Service as _;

/// A target: its name, which is also that of its corpus, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[("requests", requests)];

/// After so many requests a server begins anew, so that what they have made does not fill the memory.
const REQUESTS: usize = 1000;

/// Watches and connections end after this, of the time that passes when everybody waits.
const LONGEST: Duration = Duration::from_secs(3600);

/// `METHOD URL CONTENT-TYPE ACCEPT` in the first line, and the body. There is always an answer; one in JSON is JSON,
/// and it is never that of the guard that catches panics.
pub fn requests(bytes: &[u8]) {
    thread_local!(static HOUSE: RefCell<Option<House>> = const { RefCell::new(None) });
    let Some(request) = request(bytes) else { return };
    HOUSE.with_borrow_mut(|house| {
        if house.as_ref().is_none_or(|house| house.left == 0) {
            *house = None;
            *house = Some(House::open());
        }
        house.as_mut().expect("it was just opened").ask(request);
    });
}

fn request(bytes: &[u8]) -> Option<Request<Full<Bytes>>> {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = (std::str::from_utf8(&bytes[..at]).ok()?, bytes.get(at + 1..).unwrap_or_default());
    let mut words = line.split(' ');
    let mut request = Request::builder().method(words.next()?).uri(words.next()?).header(header::USER_AGENT, "test/1");
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = words.next() {
            request = request.header(name, value);
        }
    }
    let mut request = request.body(Full::new(Bytes::copy_from_slice(body))).ok()?;
    request.extensions_mut().insert(User::new("admin", &["system:masters"]));
    Some(request)
}

/// A server on a runtime of its own, in which time passes when everybody waits.
struct House {
    runtime: tokio::runtime::Runtime,
    server: ApiServer,
    clock: Clock,
    stop: CancellationToken,
    _tasks: Tasks,
    left: usize,
}

impl House {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let (server, clock, stop, tasks) = runtime.block_on(async {
            let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().expect("a time"));
            let (store, random) = (store::memory::open(clock.clone()), Random::seeded(1));
            let started = ApiServer::start(store, Options::default(), settings(&clock), clock.clone(), random).await;
            let (server, loaded) = started.expect("an empty store");
            let (stop, mut tasks) = (CancellationToken::new(), Tasks::new());
            let (following, end) = (server.clone(), stop.clone());
            tasks.spawn("follower", async move { following.run(loaded, end).await });
            (server, clock, stop, tasks)
        });
        let mut house = Self { runtime, server, clock, stop, _tasks: tasks, left: REQUESTS };
        for name in ["ns", "default", "kube-system"] {
            let body = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
            let text = format!("POST /api/v1/namespaces application/json\n{body}");
            house.ask(request(text.as_bytes()).expect("a request"));
        }
        house
    }

    fn ask(&mut self, request: Request<Full<Bytes>>) {
        self.left = self.left.saturating_sub(1);
        let (server, clock) = (&mut self.server, &self.clock);
        let shown = format!("{} {}", request.method(), request.uri());
        self.runtime.block_on(async {
            let answered = clock.timeout(LONGEST, server.call(request)).await;
            let answer = answered.unwrap_or_else(|_| panic!("no answer to {shown}")).expect("it cannot fail");
            let (head, body) = answer.into_parts();
            let whole = clock.timeout(LONGEST, body.collect()).await;
            let Ok(Ok(whole)) = whole else { return };
            let whole = whole.to_bytes();
            let shown = format!("{shown}: {}", String::from_utf8_lossy(&whole));
            let is_panic =
                head.status == StatusCode::INTERNAL_SERVER_ERROR && shown.contains("caused apiserver to panic");
            assert!(!is_panic, "{shown}");
            let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let is_json = kind.is_some_and(|kind| kind == "application/json");
            let is_one = is_json && !shown.contains("watch");
            let is_plain = !head.headers.contains_key(header::CONTENT_ENCODING);
            assert!(!is_one || !is_plain || json::parse(&whole).is_ok(), "{shown}");
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn settings(clock: &Clock) -> Settings {
    let authority = Authority::make(clock.now());
    let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).expect("a certificate");
    let signing = SigningKey::from_pem(authority.pair().key_pem.as_bytes()).expect("a key");
    let (verifying, issuers) = (vec![signing.public().clone()], vec!["https://issuer".to_owned()]);
    Settings {
        modes: vec![Mode::Node, Mode::Rbac],
        certificates: ClientCertificates::new([root]).expect("one root"),
        token_file: TokenFile::default(),
        tokens: Tokens { audiences: issuers.clone(), issuers, signing, verifying, counts: TokenCounts::default() },
        anonymous: true,
        bootstrap_tokens: false,
        plugins: apiserver::admission::Plugins::default(),
    }
}
