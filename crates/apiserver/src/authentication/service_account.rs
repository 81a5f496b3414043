//! Tokens of service accounts: whom they speak for, and whether what they are bound to is still there (KEP-1205,
//! KEP-4193).

use jiff::Timestamp;
use machinery::{Value, meta, value};

use super::jwt::{self, SigningKey, VerifyingKey};
use super::legacy_token;
use super::metrics::Counts;
use crate::User;
use crate::admission::Lister;

/// The clocks of the machines of a cluster may differ by this much.
const LEEWAY_SECONDS: i64 = 60;
/// What begins the names of the extra fields.
const EXTRA: &str = "authentication.kubernetes.io";

/// Issues and checks tokens.
#[derive(Debug)]
pub struct Tokens {
    /// Who issues; what else counts as one of ours comes after.
    pub issuers: Vec<String>,
    /// What the API server calls itself as an audience.
    pub audiences: Vec<String>,
    /// The key that signs.
    pub signing: SigningKey,
    /// Keys whose tokens count, the signing key's public half among them.
    pub verifying: Vec<VerifyingKey>,
    /// What is counted of them.
    pub counts: Counts,
}

/// What a token may be bound to, by name and UID.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Binding {
    /// The pod that carries the token.
    pub pod: Option<(String, String)>,
    /// The secret that the token hangs on.
    pub secret: Option<(String, String)>,
    /// The node of the pod, or the one that the token is bound to itself.
    pub node: Option<(String, String)>,
}

/// A token to be.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// The service account.
    pub service_account: &'a Value,
    /// Who may take the token.
    pub audiences: &'a [String],
    /// What it is bound to.
    pub binding: &'a Binding,
    /// When it is issued.
    pub now: Timestamp,
    /// How long it lives.
    pub lifetime_seconds: i64,
    /// After how many seconds its use is warned about.
    pub warn_after_seconds: Option<i64>,
    /// The token's own id.
    pub id: String,
}

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The caller.
    pub user: User,
    /// Which of the wanted audiences the token is for.
    pub audiences: Vec<String>,
}

impl Tokens {
    /// Issues the token that is ordered.
    #[must_use]
    pub fn issue(&self, order: &Order<'_>) -> String {
        let account = order.service_account;
        let (namespace, name) = (meta::namespace(account), meta::name(account));
        let now = order.now.as_second();
        let mut about = value!({"namespace": namespace});
        for (kind, object) in
            [("node", &order.binding.node), ("pod", &order.binding.pod), ("secret", &order.binding.secret)]
        {
            if let Some((name, uid)) = object {
                about.set_at(&[kind], reference(name, uid));
            }
        }
        about.set_at(&["serviceaccount"], reference(name, meta::uid(account)));
        if let Some(seconds) = order.warn_after_seconds {
            about.set_at(&["warnafter"], now + seconds);
        }
        self.signing.sign(&value!({
            "aud": (order.audiences.to_vec()),
            "exp": (now + order.lifetime_seconds),
            "iat": now,
            "iss": (self.issuers.first().map_or("", String::as_str)),
            "jti": (order.id.as_str()),
            "kubernetes.io": about,
            "nbf": now,
            "sub": (user_name(namespace, name))
        }))
    }

    /// Whom `token` speaks for; `None` when it is not a token of one of our issuers at all.
    ///
    /// # Errors
    /// Why a token of ours does not count; fit to be told to who shows it.
    pub fn check(
        &self,
        token: &str,
        wanted: &[String],
        now: Timestamp,
        objects: &dyn Lister,
    ) -> Option<Result<Accepted, String>> {
        let claims = jwt::unchecked_claims(token)?;
        let issuer = claims.str_at(&["iss"]).unwrap_or_default();
        if issuer == legacy_token::ISSUER {
            return Some(self.check_legacy(token, &claims, wanted, now, objects));
        }
        if !self.issuers.iter().any(|ours| ours == issuer) {
            return None;
        }
        Some(self.check_ours(token, &claims, wanted, now, objects))
    }

    /// A token without audiences is for the API server.
    fn check_legacy(
        &self,
        token: &str,
        claims: &Value,
        wanted: &[String],
        now: Timestamp,
        objects: &dyn Lister,
    ) -> Result<Accepted, String> {
        if !jwt::is_signed_by(token, &self.verifying) {
            return Err("invalid signature".to_owned());
        }
        let audiences = common(wanted, &self.audiences);
        if audiences.is_empty() {
            return Err(format!("token audiences {:?} is invalid for the target audiences {wanted:?}", self.audiences));
        }
        let user = legacy_token::user(token, claims, now, objects)?;
        self.counts.legacy.inc();
        Ok(Accepted { user, audiences })
    }

    fn check_ours(
        &self,
        token: &str,
        claims: &Value,
        wanted: &[String],
        now: Timestamp,
        objects: &dyn Lister,
    ) -> Result<Accepted, String> {
        if !jwt::is_signed_by(token, &self.verifying) {
            return Err("invalid signature".to_owned());
        }
        let audiences = common(wanted, &audiences_of(claims));
        if audiences.is_empty() {
            return Err(format!(
                "token audiences {:?} is invalid for the target audiences {wanted:?}",
                audiences_of(claims)
            ));
        }
        check_times(claims, now)?;
        let user = check_objects(claims, now, objects)?;
        let is_stale = claims.int_at(&["kubernetes.io", "warnafter"]).is_some_and(|after| after < now.as_second());
        if is_stale { &self.counts.stale } else { &self.counts.valid }.inc();
        Ok(Accepted { user, audiences })
    }
}

/// The user name of a service account.
#[must_use]
pub fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The groups of every service account of `namespace`.
#[must_use]
pub fn groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// Namespace and name of the service account whose user name this is.
#[must_use]
pub fn split_user_name(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let valid = machinery::names::is_dns1123_label(namespace).is_empty()
        && machinery::names::is_dns1123_subdomain(name).is_empty();
    valid.then_some((namespace, name))
}

fn reference(name: &str, uid: &str) -> Value {
    let mut reference = value!({"name": name});
    if !uid.is_empty() {
        reference.set_at(&["uid"], uid);
    }
    reference
}

/// The audiences of both lists, in the order of the first.
pub(super) fn common(wanted: &[String], given: &[String]) -> Vec<String> {
    wanted.iter().filter(|audience| given.contains(audience)).cloned().collect()
}

fn audiences_of(claims: &Value) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.to_string()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn check_times(claims: &Value, now: Timestamp) -> Result<(), String> {
    let now = now.as_second();
    let Some(expires) = claims.int_at(&["exp"]) else { return Err("service account token has expired".to_owned()) };
    if now - LEEWAY_SECONDS > expires {
        return Err("service account token has expired".to_owned());
    }
    if claims.int_at(&["nbf"]).is_some_and(|from| now + LEEWAY_SECONDS < from) {
        return Err("service account token is not valid yet".to_owned());
    }
    Ok(())
}

/// The caller, when the service account and what the token is bound to are still there, with the same UIDs.
fn check_objects(claims: &Value, now: Timestamp, objects: &dyn Lister) -> Result<User, String> {
    let about = |path: [&str; 2]| claims.str_at(&["kubernetes.io", path[0], path[1]]).unwrap_or_default();
    let namespace = claims.str_at(&["kubernetes.io", "namespace"]).unwrap_or_default();
    let (name, uid) = (about(["serviceaccount", "name"]), about(["serviceaccount", "uid"]));
    account_of_claims(namespace, name, uid, now, objects)?;
    for (kind, resource) in [("secret", "secrets"), ("pod", "pods")] {
        if claims.at(&["kubernetes.io", kind]).is_some() {
            check_bound(kind, objects.get("", resource, namespace, about([kind, "name"])), about([kind, "uid"]), now)?;
        }
    }
    let bound_to_node =
        claims.at(&["kubernetes.io", "node"]).is_some() && claims.at(&["kubernetes.io", "pod"]).is_none();
    if bound_to_node {
        check_bound("node", objects.get("", "nodes", "", about(["node", "name"])), about(["node", "uid"]), now)?;
    }
    let mut user =
        User { name: user_name(namespace, name), uid: uid.to_owned(), groups: groups(namespace), ..User::default() };
    add_extra(&mut user, claims);
    Ok(user)
}

/// Checks that the service account that a token names is still there.
pub(super) fn account_of_claims(
    namespace: &str,
    name: &str,
    uid: &str,
    now: Timestamp,
    objects: &dyn Lister,
) -> Result<(), String> {
    let account = objects.get("", "serviceaccounts", namespace, name);
    let account = account.ok_or_else(|| format!("serviceaccounts {} not found", machinery::field::quote(name)))?;
    if is_gone(&account, now) {
        return Err(format!("service account {namespace}/{name} has been deleted"));
    }
    if meta::uid(&account) != uid {
        return Err(format!("service account UID ({}) does not match claim ({uid})", meta::uid(&account)));
    }
    Ok(())
}

fn check_bound(kind: &str, object: Option<std::sync::Arc<Value>>, uid: &str, now: Timestamp) -> Result<(), String> {
    let object = object.filter(|object| !is_gone(object, now));
    let object = object.ok_or("service account token has been invalidated")?;
    if meta::uid(&object) == uid {
        return Ok(());
    }
    let shown = if kind == "secret" { "secret" } else { kind };
    Err(format!("{shown} UID ({}) does not match service account {kind} ref claim ({uid})", meta::uid(&object)))
}

/// Whether an object was to be gone before now, give or take the leeway.
fn is_gone(object: &Value, now: Timestamp) -> bool {
    meta::deletion_timestamp(object).is_some_and(|at| at.as_second() < now.as_second() - LEEWAY_SECONDS)
}

fn add_extra(user: &mut User, claims: &Value) {
    if let Some(id) = claims.str_at(&["jti"]).filter(|id| !id.is_empty()) {
        user.extra.insert(format!("{EXTRA}/credential-id"), vec![format!("JTI={id}")]);
    }
    for kind in ["pod", "node"] {
        for field in ["name", "uid"] {
            if let Some(text) = claims.str_at(&["kubernetes.io", kind, field]) {
                user.extra.insert(format!("{EXTRA}/{kind}-{field}"), vec![text.to_owned()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Objects;

    fn tokens() -> Tokens {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let signing = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let verifying = vec![signing.public().clone()];
        Tokens {
            issuers: vec!["https://us".into()],
            audiences: vec!["https://us".into()],
            signing,
            verifying,
            counts: Counts::default(),
        }
    }

    fn objects() -> Objects {
        Objects::default()
            .with("", "serviceaccounts", value!({"metadata": {"namespace": "a", "name": "bot", "uid": "u1"}}))
            .with("", "pods", value!({"metadata": {"namespace": "a", "name": "p", "uid": "u2"}}))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn order<'a>(account: &'a Value, binding: &'a Binding, audiences: &'a [String]) -> Order<'a> {
        Order {
            service_account: account,
            audiences,
            binding,
            now: at("2026-01-01T00:00:00Z"),
            lifetime_seconds: 3600,
            warn_after_seconds: None,
            id: "id1".to_owned(),
        }
    }

    fn check(pod_uid: &str, audience: &str, when: &str) -> String {
        let (tokens, objects) = (tokens(), objects());
        let account = objects.get("", "serviceaccounts", "a", "bot").unwrap();
        let binding = Binding { pod: Some(("p".into(), pod_uid.into())), ..Binding::default() };
        let token = tokens.issue(&order(&account, &binding, &[audience.to_owned()]));
        match tokens.check(&token, &tokens.audiences, at(when), &objects).unwrap() {
            Ok(accepted) => format!("{} {:?} {:?}", accepted.user.name, accepted.user.groups, accepted.user.extra),
            Err(why) => why,
        }
    }

    #[test]
    fn tokens_count_as_long_as_all_is_there() {
        let shown = [
            check("u2", "https://us", "2026-01-01T00:30:00Z"),
            check("u2", "https://us", "2026-01-01T01:01:01Z"),
            check("u2", "https://us", "2025-12-31T23:58:00Z"),
            check("old", "https://us", "2026-01-01T00:30:00Z"),
            check("u2", "https://them", "2026-01-01T00:30:00Z"),
        ];
        expect_test::expect![[r#"
            system:serviceaccount:a:bot ["system:serviceaccounts", "system:serviceaccounts:a"] {"authentication.kubernetes.io/credential-id": ["JTI=id1"], "authentication.kubernetes.io/pod-name": ["p"], "authentication.kubernetes.io/pod-uid": ["u2"]}
            service account token has expired
            service account token is not valid yet
            pod UID (u2) does not match service account pod ref claim (old)
            token audiences ["https://them"] is invalid for the target audiences ["https://us"]"#]].assert_eq(&shown.join("\n"));
    }

    #[test]
    fn others_tokens_are_not_ours_to_judge() {
        let (tokens, objects) = (tokens(), objects());
        let foreign = tokens.signing.sign(&value!({"iss": "them"}));
        assert!(tokens.check(&foreign, &[], at("2026-01-01T00:00:00Z"), &objects).is_none());
        assert!(tokens.check("opaque", &[], at("2026-01-01T00:00:00Z"), &objects).is_none());
        let unsigned = self::tokens().signing.sign(&value!({"iss": "https://us"}));
        let answer = tokens.check(&unsigned, &[], at("2026-01-01T00:00:00Z"), &objects);
        assert_eq!(answer, Some(Err("invalid signature".to_owned())));
    }

    #[test]
    fn user_names_split() {
        assert_eq!(split_user_name("system:serviceaccount:a:b"), Some(("a", "b")));
        assert_eq!(split_user_name("system:serviceaccount:a"), None);
        assert_eq!(split_user_name("system:serviceaccount:A:b"), None);
    }
}
