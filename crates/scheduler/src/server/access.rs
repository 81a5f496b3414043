//! Who asks (a client certificate, or a token that the API server knows), and whether the API server lets them.

use std::collections::HashMap;
use std::time::Duration;

use base::{Clock, Instant};
use client::Client;
use http::{Request, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// An answer of the API server is believed so long (upstream's defaults for delegated checks).
const BELIEVED_FOR: Duration = Duration::from_secs(10);
/// So many answers are kept; then all are forgotten.
const KNOWN_LIMIT: usize = 1000;
/// Whom every API server lets do everything.
const MASTERS: &str = "system:masters";
const ANONYMOUS: &str = "system:anonymous";

/// A user and their groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct User {
    name: String,
    groups: Vec<String>,
}

/// Who is at the other end of a connection.
pub(super) struct Peer(Option<User>);

impl Peer {
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, session) = stream.get_ref();
        Self(session.peer_certificates().and_then(|chain| user(chain.first()?)))
    }
}

/// Who wants to use which verb on which path.
type Asked = (User, String, String);

/// Asks the API server, and remembers its answers for a while.
pub(super) struct Access {
    authentication: Client,
    authorization: Client,
    clock: Clock,
    /// Whether a request is allowed, and until when that is believed.
    known: Mutex<HashMap<Asked, (bool, Instant)>>,
}

impl Access {
    pub(super) fn new(authentication: Client, authorization: Client, clock: Clock) -> Self {
        Self { authentication, authorization, clock, known: Mutex::default() }
    }

    /// Lets the request through, or gives the code and text that refuse it.
    pub(super) async fn check<B>(&self, peer: &Peer, request: &Request<B>) -> Result<(), (StatusCode, String)> {
        let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer "));
        let user = match (&peer.0, token) {
            (Some(user), _) => user.clone(),
            (None, Some(token)) => {
                let reviewed = self.review(token).await;
                reviewed.ok_or_else(|| (StatusCode::UNAUTHORIZED, "Unauthorized\n".to_owned()))?
            }
            (None, None) => User { name: ANONYMOUS.to_owned(), groups: vec!["system:unauthenticated".to_owned()] },
        };
        let (verb, path) = (request.method().as_str().to_lowercase(), request.uri().path().to_owned());
        if user.groups.iter().any(|group| group == MASTERS) || self.allowed(&user, &verb, &path).await {
            return Ok(());
        }
        Err((StatusCode::FORBIDDEN, format!("forbidden: User {:?} cannot {verb} path {path:?}\n", user.name)))
    }

    async fn review(&self, token: &str) -> Option<User> {
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.authentication.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok()?;
        let user = answer.status.filter(|status| status.authenticated == Some(true))?.user?;
        Some(User { name: user.username.unwrap_or_default(), groups: user.groups.unwrap_or_default() })
    }

    async fn allowed(&self, user: &User, verb: &str, path: &str) -> bool {
        let key = (user.clone(), verb.to_owned(), path.to_owned());
        let now = self.clock.instant();
        if let Some((allowed, _)) = self.known.lock().await.get(&key).filter(|(_, until)| now < *until) {
            return *allowed;
        }
        let attributes = NonResourceAttributes { verb: Some(verb.to_owned()), path: Some(path.to_owned()) };
        let spec = SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            groups: Some(user.groups.clone()),
            non_resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = self.authorization.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await;
        let allowed = match answer {
            Ok(answer) => answer.status.is_some_and(|status| status.allowed),
            Err(error) => {
                tracing::warn!(%error, "cannot ask whether a request is allowed");
                return false;
            }
        };
        let mut known = self.known.lock().await;
        if known.len() >= KNOWN_LIMIT {
            known.clear();
        }
        known.insert(key, (allowed, now + BELIEVED_FOR));
        allowed
    }
}

fn user(certificate: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let mut groups: Vec<String> =
        subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned)).collect();
    groups.push("system:authenticated".to_owned());
    Some(User { name, groups })
}
