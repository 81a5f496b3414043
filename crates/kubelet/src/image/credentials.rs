//! Credentials for registries from the pod's image pull secrets.

use base64::Engine as _;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

use super::name;
use crate::proto::cri::AuthConfig;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: std::collections::BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
}

/// The credentials that fit `image` best: those of the longest registry path.
pub(super) fn find<'a>(image: &str, secrets: impl Iterator<Item = &'a Secret>) -> Option<AuthConfig> {
    let name = name::parse(image).ok()?;
    let full = format!("{}/{}", name.registry, name.repository);
    let entries = secrets.flat_map(entries).filter(|(key, _)| fits(key, &full));
    let (key, entry) = entries.max_by_key(|(key, _)| key.len())?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(&entry.auth).ok();
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) if entry.username.is_empty() => (user.to_owned(), password.to_owned()),
        _ => (entry.username, entry.password),
    };
    let identity_token = entry.identity_token;
    Some(AuthConfig { username: user, password, server_address: key, identity_token, ..AuthConfig::default() })
}

fn entries(secret: &Secret) -> Vec<(String, Entry)> {
    let data = secret.data.as_ref();
    let new = data.and_then(|data| data.get(".dockerconfigjson"));
    let new = new.and_then(|bytes| serde_json::from_slice::<DockerConfig>(&bytes.0).ok()).map(|config| config.auths);
    let old = data.and_then(|data| data.get(".dockercfg")).and_then(|bytes| serde_json::from_slice(&bytes.0).ok());
    new.or(old).unwrap_or_default().into_iter().collect()
}

/// Keys are registries, with or without a scheme, the version path of old clients, and a part of the repository.
fn fits(key: &str, full: &str) -> bool {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    let key = key.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    let key = key.replace("index.docker.io", "docker.io");
    full == key || full.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_wins() {
        let config = serde_json::json!({"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOng="},
            "example.com": {"username": "a", "password": "1"},
            "example.com/team": {"username": "b", "password": "2"},
        }});
        let data = base64::engine::general_purpose::STANDARD.encode(config.to_string());
        let secret: Secret = serde_json::from_value(serde_json::json!({"data": {".dockerconfigjson": data}})).unwrap();
        for (image, user) in [
            ("example.com/app", Some("a")),
            ("example.com/team/app:1", Some("b")),
            ("busybox", Some("hub")),
            ("example.org/app", None),
        ] {
            assert_eq!(find(image, [&secret].into_iter()).map(|auth| auth.username).as_deref(), user, "{image}");
        }
    }
}
