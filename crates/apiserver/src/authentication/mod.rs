//! Who asks: client certificates, static tokens, tokens of service accounts, bootstrap tokens, and nobody in particular.

mod bootstrap_token;
pub mod discovery;
mod impersonation;
mod jwt;
mod legacy_token;
mod metrics;
pub mod review;
pub mod service_account;
mod token_file;
pub mod token_request;
mod x509;

use std::sync::Arc;

use base::Clock;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use machinery::Status;
use rustls_pki_types::CertificateDer;

pub use impersonation::impersonate;
pub use jwt::{KeyError, SigningKey, VerifyingKey};
pub use metrics::Counts as TokenCounts;
pub use token_file::{TokenFile, TokenFileError};
pub use x509::{BadRoots, ClientCertificates};

use crate::User;
use crate::admission::Lister;
use service_account::{Accepted, Tokens, common};

const AUTHENTICATED: &str = "system:authenticated";
/// How a browser sends a token along with a WebSocket: as a subprotocol.
const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// Finds out who asks.
pub struct Authenticator {
    /// Trusted client certificates.
    pub certificates: ClientCertificates,
    /// Static tokens.
    pub token_file: TokenFile,
    /// Tokens of service accounts.
    pub tokens: Arc<Tokens>,
    /// Whether bootstrap tokens count.
    pub bootstrap_tokens: bool,
    /// Where service accounts and what tokens are bound to are looked up.
    pub objects: Arc<dyn Lister>,
    /// What time it is.
    pub clock: Clock,
    /// Whether those who show nothing are `system:anonymous` rather than refused.
    pub anonymous: bool,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Who sends a request with `headers` over a connection whose client showed `chain`.
    ///
    /// # Errors
    /// 401 when something was shown and nothing of it counts; the reason goes to the log only.
    pub fn authenticate(&self, chain: &[CertificateDer<'_>], headers: &HeaderMap) -> Result<User, Status> {
        let mut failures = Vec::new();
        if !chain.is_empty() {
            match self.certificates.user(chain, self.clock.now()) {
                Ok(user) => return Ok(authenticated(user)),
                Err(why) => failures.push(why),
            }
        }
        if let Some(token) = token_of(headers) {
            match self.token(&token, &[]) {
                Ok(accepted) => return Ok(accepted.user),
                Err(why) => failures.push(why),
            }
        }
        if failures.is_empty() && self.anonymous {
            return Ok(User::anonymous());
        }
        tracing::debug!(why = failures.join(", "), "a request is not authenticated");
        Err(Status::unauthorized())
    }

    /// Whom `token` speaks for, asked by somebody who takes tokens for the audiences `wanted`; none means the API
    /// server's own.
    ///
    /// # Errors
    /// Why the token does not count.
    pub fn token(&self, token: &str, wanted: &[String]) -> Result<Accepted, String> {
        let ours = &self.tokens.audiences;
        let wanted = if wanted.is_empty() { ours } else { wanted };
        if let Some(user) = self.token_file.user(token) {
            // A static token knows no audiences: it is for the API server.
            let audiences = common(wanted, ours);
            if !audiences.is_empty() {
                return Ok(Accepted { user: authenticated(user.clone()), audiences });
            }
        }
        if self.bootstrap_tokens
            && let Some(user) = bootstrap_token::user(token, self.clock.now(), &*self.objects)
        {
            let audiences = common(wanted, ours);
            if !audiences.is_empty() {
                return Ok(Accepted { user: authenticated(user), audiences });
            }
        }
        match self.tokens.check(token, wanted, self.clock.now(), &*self.objects) {
            Some(Ok(accepted)) => Ok(Accepted { user: authenticated(accepted.user), ..accepted }),
            Some(Err(why)) => Err(format!("[invalid bearer token, {why}]")),
            None => Err("invalid bearer token".to_owned()),
        }
    }
}

/// Whether both are the same, found out in a time that does not tell where they differ.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

fn authenticated(mut user: User) -> User {
    if !user.is_in(AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// The token that a request shows. Other schemes than `Bearer` show nothing.
fn token_of(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    if let Some((scheme, token)) = header.split_once(' ') {
        let token = token.split(' ').next().unwrap_or_default();
        return (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned());
    }
    websocket_token(headers)
}

fn websocket_token(headers: &HeaderMap) -> Option<String> {
    use base64::Engine;
    let protocols = headers.get_all("sec-websocket-protocol").iter().filter_map(|value| value.to_str().ok());
    let mut protocols = protocols.flat_map(|list| list.split(',')).map(str::trim);
    let encoded = protocols.find_map(|protocol| protocol.strip_prefix(WEBSOCKET_TOKEN))?;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?;
    String::from_utf8(token).ok().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use machinery::{json, value};

    use super::*;
    use crate::admission::Objects;
    use crate::certificates::Authority;

    fn authenticator(clock: Clock) -> Authenticator {
        use rustls_pki_types::pem::PemObject;
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let signing = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let us = vec!["https://us".to_owned()];
        let authority = Authority::make(clock.now());
        let root = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        Authenticator {
            certificates: ClientCertificates::new([root]).unwrap(),
            token_file: TokenFile::parse("t1,admin,admin,\"system:masters\"").unwrap(),
            tokens: Arc::new(Tokens {
                issuers: us.clone(),
                audiences: us,
                verifying: vec![signing.public().clone()],
                signing,
                counts: TokenCounts::default(),
            }),
            bootstrap_tokens: true,
            objects: Arc::new(Objects::default()),
            clock,
            anonymous: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks() {
        let authenticator = authenticator(Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()));
        let ask = |name: &'static str, value: &str| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            match authenticator.authenticate(&[], &headers) {
                Ok(user) => format!("{} {:?}", user.name, user.groups),
                Err(status) => format!("{} {}", status.code, status.message),
            }
        };
        let ours = authenticator
            .tokens
            .signing
            .sign(&value!({"iss": "https://us", "aud": ["https://us"], "exp": 1_900_000_000}));
        let shown = [
            ask("authorization", "Bearer t1"),
            ask("authorization", "bearer t1"),
            ask("authorization", "Bearer not-a-token"),
            ask("authorization", "Bearer "),
            ask("authorization", "Basic YWRtaW46YWRtaW4="),
            ask("authorization", &format!("Bearer {ours}")),
            ask("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.dDE, v5.channel.k8s.io"),
            ask("accept", "*/*"),
        ];
        expect_test::expect![[r#"
            admin ["system:masters", "system:authenticated"]
            admin ["system:masters", "system:authenticated"]
            401 Unauthorized
            system:anonymous ["system:unauthenticated"]
            system:anonymous ["system:unauthenticated"]
            401 Unauthorized
            admin ["system:masters", "system:authenticated"]
            system:anonymous ["system:unauthenticated"]"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn reviews_and_discovery() {
        let authenticator = authenticator(Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()));
        let review = |token: &str| {
            let mut review = value!({"spec": {"token": token}});
            match review::answer_token(&authenticator, &mut review) {
                Ok(()) => json::to_string(&review),
                Err(status) => status.message,
            }
        };
        let foreign = authenticator.tokens.signing.sign(&value!({"iss": "https://us", "aud": ["x"]}));
        let mut oneself = value!({});
        review::answer_self(&User::anonymous(), &mut oneself);
        let configuration = discovery::configuration(&authenticator.tokens, "https://us:6443");
        let shown = [
            review("t1"),
            review("x"),
            review(""),
            review(&foreign).split_once("\"status\"").unwrap().1.to_owned(),
            json::to_string(&oneself),
            json::to_string(&configuration),
        ];
        expect_test::expect![[r#"
            {"spec":{"token":"t1"},"status":{"authenticated":true,"user":{"username":"admin","uid":"admin","groups":["system:masters","system:authenticated"]},"audiences":["https://us"]}}
            {"spec":{"token":"x"},"status":{"user":{},"error":"invalid bearer token"}}
            token is required for TokenReview in authentication
            :{"user":{},"error":"[invalid bearer token, token audiences [\"x\"] is invalid for the target audiences [\"https://us\"]]"}}
            {"status":{"userInfo":{"username":"system:anonymous","groups":["system:unauthenticated"]}}}
            {"issuer":"https://us","jwks_uri":"https://us:6443/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}"#]].assert_eq(&shown.join("\n"));
        let keys = discovery::keys(&authenticator.tokens);
        assert_eq!(keys.items_at(&["keys"])[0].str_at(&["kty"]), Some("EC"));
    }
}
