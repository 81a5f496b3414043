//! Service account tokens for pods, bound to them, kept until they grow old.

use std::collections::HashMap;

use base::Clock;
use client::{ApiError, Client};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};
use parking_lot::Mutex;

use crate::pod::spec;

/// What a token lives when the pod does not say.
const DEFAULT_SECONDS: i64 = 3600;
/// A token is replaced when this part of its life is over, or after a day.
const REFRESH_PERCENT: i32 = 80;
const REFRESH_LIMIT: SignedDuration = SignedDuration::from_hours(24);

/// Tokens by pod and what was asked for.
pub(crate) struct Tokens {
    client: Client,
    clock: Clock,
    known: Mutex<HashMap<Key, Token>>,
}

type Key = (String, String, i64);

#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// When to ask for a new one.
    pub(crate) refresh: Timestamp,
}

impl Tokens {
    pub(crate) fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, known: Mutex::default() }
    }

    /// The token that `projection` asks for, known or new.
    pub(crate) async fn get(&self, pod: &Pod, projection: &ServiceAccountTokenProjection) -> Result<Token, ApiError> {
        let seconds = projection.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        let audience = projection.audience.clone().unwrap_or_default();
        let key = (spec::uid(pod).to_owned(), audience.clone(), seconds);
        let now = self.clock.now();
        let known = self.known.lock().get(&key).cloned();
        if let Some(token) = known.filter(|token| now < token.refresh) {
            return Ok(token);
        }
        let token = self.request(pod, audience, seconds, now).await?;
        self.known.lock().insert(key, token.clone());
        Ok(token)
    }

    /// Forgets the pod's tokens.
    pub(crate) fn forget(&self, pod: &Pod) {
        self.known.lock().retain(|(uid, ..), _| uid != spec::uid(pod));
    }

    async fn request(&self, pod: &Pod, audience: String, seconds: i64, now: Timestamp) -> Result<Token, ApiError> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(audience).filter(|audience| !audience.is_empty()).map(|audience| vec![audience]),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(spec::name(pod).to_owned()),
                    uid: Some(spec::uid(pod).to_owned()),
                }),
            }),
            ..TokenRequest::default()
        };
        let account = spec::spec(pod).service_account_name.as_deref().unwrap_or("default");
        let answer = self.client.token(spec::namespace(pod), account, &request).await?;
        let status = answer.status.unwrap_or_default();
        let expires = status.expiration_timestamp.map_or(now + SignedDuration::from_secs(seconds), |time| time.0);
        let life = expires.duration_since(now);
        Ok(Token {
            text: status.token.unwrap_or_default(),
            refresh: now + (life * REFRESH_PERCENT / 100).min(REFRESH_LIMIT),
        })
    }
}
