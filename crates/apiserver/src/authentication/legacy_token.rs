//! Tokens of service accounts that live in a secret and never expire: made before tokens were bound to pods, or by
//! somebody who made a secret of type `kubernetes.io/service-account-token`.

use base64::Engine;
use jiff::Timestamp;
use machinery::{Value, meta};

use super::same_secret;
use super::service_account::{account_of_claims, groups, split_user_name, user_name};
use crate::User;
use crate::admission::Lister;

/// Who such tokens say issued them, whatever the server's issuer.
pub const ISSUER: &str = "kubernetes/serviceaccount";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// Whom the token speaks for, whose signature is good.
///
/// # Errors
/// Why it does not count.
pub fn user(token: &str, claims: &Value, now: Timestamp, objects: &dyn Lister) -> Result<User, String> {
    let claim = |name: &str, called: &str| {
        let text = claims.str_at(&[&format!("kubernetes.io/serviceaccount/{name}")]).filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("{called} claim is missing"))
    };
    let subject = claims.str_at(&["sub"]).filter(|text| !text.is_empty()).ok_or("sub claim is missing")?;
    let namespace = claim("namespace", "namespace")?;
    let secret = claim("secret.name", "secretName")?;
    let name = claim("service-account.name", "serviceAccountName")?;
    let uid = claim("service-account.uid", "serviceAccountUID")?;
    if split_user_name(subject) != Some((namespace, name)) {
        return Err("sub claim is invalid".to_owned());
    }
    let invalidated = || "service account token has been invalidated".to_owned();
    let secret = objects.get("", "secrets", namespace, secret).ok_or_else(invalidated)?;
    if meta::is_deleting(&secret) || meta::label(&secret, INVALID_SINCE).is_some() {
        return Err(invalidated());
    }
    let kept = secret.str_at(&["data", "token"]).unwrap_or_default();
    let kept = base64::engine::general_purpose::STANDARD.decode(kept).unwrap_or_default();
    if !same_secret(&kept, token.as_bytes()) {
        return Err("service account token does not match server's copy".to_owned());
    }
    account_of_claims(namespace, name, uid, now, objects)?;
    let name = user_name(namespace, name);
    Ok(User { name, uid: uid.to_owned(), groups: groups(namespace), ..User::default() })
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;
    use crate::admission::Objects;

    #[test]
    fn tokens_count_as_long_as_their_secret_holds_them() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let kept = base64::engine::general_purpose::STANDARD.encode("the-token");
        let secret = |labels: Value| value!({"metadata": {"namespace": "a", "name": "s", "labels": labels}, "data": {"token": (kept.as_str())}});
        let account = value!({"metadata": {"namespace": "a", "name": "bot", "uid": "u1"}});
        let claims = |subject: &str, secret: &str| {
            value!({
                "iss": ISSUER, "sub": subject, "kubernetes.io/serviceaccount/namespace": "a",
                "kubernetes.io/serviceaccount/secret.name": secret,
                "kubernetes.io/serviceaccount/service-account.name": "bot",
                "kubernetes.io/serviceaccount/service-account.uid": "u1"
            })
        };
        let check = |token: &str, claims: &Value, labels: Value| {
            let objects =
                Objects::default().with("", "secrets", secret(labels)).with("", "serviceaccounts", account.clone());
            user(token, claims, now, &objects)
                .map_or_else(|why| why, |user| format!("{} {}", user.name, user.groups.join(" ")))
        };
        let good = claims("system:serviceaccount:a:bot", "s");
        let shown = [
            check("the-token", &good, Value::Null),
            check("another", &good, Value::Null),
            check("the-token", &good, value!({"kubernetes.io/legacy-token-invalid-since": "2025-01-01"})),
            check("the-token", &claims("system:serviceaccount:a:bot", "gone"), Value::Null),
            check("the-token", &claims("system:serviceaccount:a:other", "s"), Value::Null),
            check("the-token", &value!({"iss": ISSUER, "sub": "x"}), Value::Null),
        ];
        expect_test::expect![[r#"
            system:serviceaccount:a:bot system:serviceaccounts system:serviceaccounts:a
            service account token does not match server's copy
            service account token has been invalidated
            service account token has been invalidated
            sub claim is invalid
            namespace claim is missing"#]]
        .assert_eq(&shown.join("\n"));
    }
}
