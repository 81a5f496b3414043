//! How others check our tokens: the issuer's metadata and its public keys (OpenID Connect Discovery 1.0, KEP-1393).

use machinery::{Value, value};

use super::service_account::Tokens;

/// Where the metadata stands.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys stand.
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// The type of the answer with the keys.
pub const KEYS_TYPE: &str = "application/jwk-set+json";

/// The issuer's metadata; `base` is the URL that the server's own paths begin with.
#[must_use]
pub fn configuration(tokens: &Tokens, base: &str) -> Value {
    let mut algorithms: Vec<Value> = Vec::new();
    for key in &tokens.verifying {
        let algorithm = key.jwk().get("alg").cloned().unwrap_or_default();
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    value!({
        "issuer": (tokens.issuers.first().map_or("", String::as_str)),
        "jwks_uri": (format!("{base}{KEYS_PATH}")),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": (Value::Array(algorithms))
    })
}

/// The public keys.
#[must_use]
pub fn keys(tokens: &Tokens) -> Value {
    value!({"keys": (Value::Array(tokens.verifying.iter().map(|key| key.jwk().clone()).collect()))})
}
