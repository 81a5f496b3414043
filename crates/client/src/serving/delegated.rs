//! Who asks (a client certificate, or a token that the API server knows), and whether the API server lets them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base::{Clock, Instant};
use http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use parking_lot::Mutex;

use super::{Peer, User};
use crate::Client;

/// Whom every API server lets do everything.
const MASTERS: &str = "system:masters";

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const PERMISSIONS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// How long the API server's answers are believed, and how many are kept; then all are forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// A yes.
    pub allowed: Duration,
    /// A no.
    pub denied: Duration,
    /// So many answers.
    pub limit: usize,
}

impl Trust {
    /// Upstream's defaults for a part of the control plane.
    pub const CONTROL_PLANE: Self =
        Self { allowed: Duration::from_secs(10), denied: Duration::from_secs(10), limit: 1000 };

    /// Upstream's defaults for a node.
    pub const NODE: Self = Self { allowed: Duration::from_secs(300), denied: Duration::from_secs(30), limit: 10_000 };
}

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Use a verb on a path.
    Path {
        /// The method in lower case.
        verb: String,
        /// The path.
        path: String,
    },
    /// Use a verb on a part of an object.
    Resource {
        /// The verb of the API.
        verb: &'static str,
        /// The plural of the kind.
        resource: &'static str,
        /// The part.
        subresource: &'static str,
        /// The object.
        name: String,
    },
}

/// Whether somebody may, and until when that is believed.
type Verdict = (bool, Instant);

/// Asks the API server, and remembers its answers for a while.
pub struct Delegated {
    authentication: Client,
    authorization: Client,
    clock: Clock,
    trust: Trust,
    known: Mutex<HashMap<(User, Question), Verdict>>,
}

impl Delegated {
    /// `authentication` is asked who a token's holder is, `authorization` what they may.
    #[must_use]
    pub fn new((authentication, authorization): (Client, Client), clock: Clock, trust: Trust) -> Self {
        Self { authentication, authorization, clock, trust, known: Mutex::default() }
    }

    /// Who sent a request with these headers; anonymous without certificate and token.
    ///
    /// # Errors
    /// The API server does not know the token.
    pub async fn user(&self, peer: &Peer, headers: &HeaderMap) -> Result<User, UnknownToken> {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match (&peer.0, token.and_then(|value| value.strip_prefix("Bearer "))) {
            (Some(user), _) => Ok(user.clone()),
            (None, Some(token)) => self.review(token).await.ok_or(UnknownToken),
            (None, None) => Ok(User::anonymous()),
        }
    }

    /// Whether the user may do this. When the API server does not say, they may not.
    pub async fn allows(&self, user: &User, question: Question) -> bool {
        if user.groups.iter().any(|group| group == MASTERS) {
            return true;
        }
        let key = (user.clone(), question);
        let now = self.clock.instant();
        let known = self.known.lock().get(&key).copied();
        if let Some((allowed, _)) = known.filter(|(_, until)| now < *until) {
            return allowed;
        }
        let allowed = match self.authorization.post(PERMISSIONS, &review(&key.0, &key.1)).await {
            Ok(answer) => answer.status.is_some_and(|status| status.allowed),
            Err(error) => {
                tracing::warn!(%error, "cannot ask whether a request is allowed");
                return false;
            }
        };
        let mut known = self.known.lock();
        if known.len() >= self.trust.limit {
            known.clear();
        }
        known.insert(key, (allowed, now + if allowed { self.trust.allowed } else { self.trust.denied }));
        allowed
    }

    async fn review(&self, token: &str) -> Option<User> {
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.authentication.post(TOKENS, &review).await.ok()?;
        let user = answer.status.filter(|status| status.authenticated == Some(true))?.user?;
        Some(User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        })
    }
}

/// The API server does not know the token.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownToken;

fn review(user: &User, question: &Question) -> SubjectAccessReview {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
        groups: Some(user.groups.clone()),
        extra: Some(BTreeMap::new()),
        ..SubjectAccessReviewSpec::default()
    };
    match question {
        Question::Path { verb, path } => {
            let attributes = NonResourceAttributes { verb: Some(verb.clone()), path: Some(path.clone()) };
            spec.non_resource_attributes = Some(attributes);
        }
        Question::Resource { verb, resource, subresource, name } => {
            spec.resource_attributes = Some(ResourceAttributes {
                verb: Some((*verb).to_owned()),
                resource: Some((*resource).to_owned()),
                subresource: Some((*subresource).to_owned()),
                name: Some(name.clone()),
                ..ResourceAttributes::default()
            });
        }
    }
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}
