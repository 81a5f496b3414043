//! Who asks (a client certificate, or a token that the API server knows), and whether the API server lets them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base::{Clock, Instant};
use client::{Body, Client};
use http::{Method, Request, Response, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::answer;

/// A yes of the API server is believed this long, a no less (upstream's defaults).
const ALLOWED_FOR: Duration = Duration::from_secs(300);
const DENIED_FOR: Duration = Duration::from_secs(30);
const KNOWN_LIMIT: usize = 10_000;
/// Whom every API server lets do everything.
const MASTERS: &str = "system:masters";

/// A user and their groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct User {
    name: String,
    uid: String,
    groups: Vec<String>,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Peer(Option<User>);

impl Peer {
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, session) = stream.get_ref();
        Self(session.peer_certificates().and_then(|chain| user(chain.first()?)))
    }
}

/// Who wants to do what (verb) to which part of the node.
type Question = (User, &'static str, &'static str);
/// Whether they may, and until when that is believed.
type Verdict = (bool, Instant);

/// Asks the API server, and remembers its answers for a while.
pub(super) struct Access {
    client: Client,
    clock: Clock,
    node: String,
    known: Mutex<HashMap<Question, Verdict>>,
}

impl Access {
    pub(super) fn new(client: Client, clock: Clock, node: String) -> Self {
        Self { client, clock, node, known: Mutex::default() }
    }

    /// Lets the request through, or gives the answer that refuses it.
    pub(super) async fn check<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), Response<Body>> {
        let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer "));
        let user = match (&peer.0, token) {
            (Some(user), _) => Some(user.clone()),
            (None, Some(token)) => self.review(token).await,
            (None, None) => None,
        };
        let user = user.ok_or_else(|| answer::text(StatusCode::UNAUTHORIZED, "Unauthorized"))?;
        let (verb, subresource) = (verb(request.method()), subresource(request.uri().path()));
        if user.groups.iter().any(|group| group == MASTERS) || self.allowed(&user, verb, subresource).await {
            return Ok(());
        }
        let text =
            format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])", user.name);
        Err(answer::text(StatusCode::FORBIDDEN, text))
    }

    async fn review(&self, token: &str) -> Option<User> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let answer = self.client.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok()?;
        let status = answer.status.filter(|status| status.authenticated == Some(true))?;
        let user = status.user?;
        Some(User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        })
    }

    async fn allowed(&self, user: &User, verb: &'static str, subresource: &'static str) -> bool {
        let key = (user.clone(), verb, subresource);
        let now = self.clock.instant();
        let known = self.known.lock().get(&key).copied();
        if let Some((allowed, _)) = known.filter(|(_, until)| now < *until) {
            return allowed;
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
                groups: Some(user.groups.clone()),
                extra: Some(BTreeMap::new()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    resource: Some("nodes".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    name: Some(self.node.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = self.client.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await;
        let allowed = match answer {
            Ok(answer) => answer.status.is_some_and(|status| status.allowed),
            Err(error) => {
                tracing::warn!(%error, "cannot ask whether a request is allowed");
                return false;
            }
        };
        let mut known = self.known.lock();
        if known.len() >= KNOWN_LIMIT {
            known.clear();
        }
        known.insert(key, (allowed, now + if allowed { ALLOWED_FOR } else { DENIED_FOR }));
        allowed
    }
}

fn user(certificate: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned)).collect();
    Some(User { name, uid: String::new(), groups })
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The part of the node that a path belongs to (KEP-2862).
fn subresource(path: &str) -> &'static str {
    match path.split('/').nth(1).unwrap_or_default() {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "healthz" => "healthz",
        "pods" | "runningpods" => "pods",
        _ => "proxy",
    }
}
