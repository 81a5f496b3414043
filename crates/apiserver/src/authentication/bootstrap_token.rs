//! Bootstrap tokens: what a new node shows before it has a certificate (KEP-130). Each is a secret in `kube-system`.

use base64::Engine;
use jiff::Timestamp;
use machinery::{Value, meta};

use super::same_secret;
use crate::User;
use crate::admission::Lister;

/// The group of everybody who comes by such a token.
pub const GROUP: &str = "system:bootstrappers";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const ID_CHARACTERS: usize = 6;
const SECRET_CHARACTERS: usize = 16;
/// What follows `system:bootstrappers:` in a group has at most so many characters.
const GROUP_SUFFIX_CHARACTERS: usize = 256;

/// Whom a bootstrap token speaks for; `None` when it is none, or its secret is gone, expired or not for this use.
pub fn user(token: &str, now: Timestamp, objects: &dyn Lister) -> Option<User> {
    let (id, secret) = split(token)?;
    let stored = objects.get("", "secrets", "kube-system", &format!("bootstrap-token-{id}"))?;
    let datum = |key: &str| read(&stored, key);
    let counts = !meta::is_deleting(&stored)
        && stored.str_at(&["type"]) == Some(TYPE)
        && same_secret(datum("token-secret").unwrap_or_default().as_bytes(), secret.as_bytes())
        && datum("token-id").as_deref() == Some(id)
        && !has_expired(datum("expiration").as_deref(), now)
        && datum("usage-bootstrap-authentication").as_deref() == Some("true");
    if !counts {
        return None;
    }
    let mut user = User::new(&format!("system:bootstrap:{id}"), &[GROUP]);
    let more = datum("auth-extra-groups").unwrap_or_default();
    let more: std::collections::BTreeSet<&str> = more.split(',').filter(|group| !group.is_empty()).collect();
    for group in more {
        if !is_group(group) {
            tracing::warn!(
                id,
                group,
                "a bootstrap token does not count: it names a group that such tokens cannot give"
            );
            return None;
        }
        user.groups.push(group.to_owned());
    }
    Some(user)
}

/// The two parts of `abcdef.0123456789abcdef`.
fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (id.len() == ID_CHARACTERS && secret.len() == SECRET_CHARACTERS && plain(id) && plain(secret))
        .then_some((id, secret))
}

/// One value of a secret's data; none when it is empty or no text.
fn read(secret: &Value, key: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(secret.str_at(&["data", key])?).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// An expiry that cannot be read has passed.
fn has_expired(expiration: Option<&str>, now: Timestamp) -> bool {
    let Some(expiration) = expiration else { return false };
    expiration.parse::<Timestamp>().map_or(true, |until| until < now)
}

fn is_group(group: &str) -> bool {
    let Some(suffix) = group.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let character = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b':' | b'-');
    (1..=GROUP_SUFFIX_CHARACTERS).contains(&suffix.len())
        && suffix.bytes().all(character)
        && suffix.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;
    use crate::admission::Objects;

    #[test]
    fn tokens() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let check = |token: &str, changes: &[(&str, &str)]| {
            let mut secret =
                value!({"metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}, "type": TYPE});
            let data = [
                ("token-id", "abcdef"),
                ("token-secret", "0123456789abcdef"),
                ("usage-bootstrap-authentication", "true"),
            ];
            for (key, text) in data.iter().chain(changes) {
                secret.set_at(&["data", key], encode(text));
            }
            let objects = Objects::default().with("", "secrets", secret);
            user(token, now, &objects)
                .map_or("nobody".to_owned(), |user| format!("{} {}", user.name, user.groups.join(" ")))
        };
        let good = "abcdef.0123456789abcdef";
        let shown = [
            check(good, &[]),
            check(good, &[("auth-extra-groups", "system:bootstrappers:b,system:bootstrappers:a")]),
            check(good, &[("auth-extra-groups", "system:masters")]),
            check(good, &[("expiration", "2026-01-01T00:00:01Z")]),
            check(good, &[("expiration", "2025-12-31T23:59:59Z")]),
            check(good, &[("expiration", "soon")]),
            check(good, &[("usage-bootstrap-authentication", "false")]),
            check(good, &[("token-id", "abcdeg")]),
            check("abcdef.0123456789abcdee", &[]),
            check("abcdeg.0123456789abcdef", &[]),
            check("ABCDEF.0123456789abcdef", &[]),
        ];
        expect_test::expect![[r#"
            system:bootstrap:abcdef system:bootstrappers
            system:bootstrap:abcdef system:bootstrappers system:bootstrappers:a system:bootstrappers:b
            nobody
            system:bootstrap:abcdef system:bootstrappers
            nobody
            nobody
            nobody
            nobody
            nobody
            nobody
            nobody"#]]
        .assert_eq(&shown.join("\n"));
    }
}
