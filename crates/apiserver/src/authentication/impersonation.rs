//! Acting as somebody else: the `Impersonate-*` headers, each of which takes a right of its own.

use std::collections::BTreeMap;

use http::HeaderMap;
use machinery::Status;

use super::service_account;
use crate::User;
use crate::authorization::{Attributes, Authorizer};
use crate::query::unescape;

const EXTRA_PREFIX: &str = "impersonate-extra-";
const GROUP: &str = "authentication.k8s.io";

/// The headers of a request make no sense together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Answered as an internal error in plain text: `Internal Server Error: "PATH": MESSAGE`.
    WithoutUser(String),
    /// Answered with this status.
    Forbidden(Box<Status>),
}

/// Whom the headers ask to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The user that `caller` acts as, if the headers ask for one.
///
/// # Errors
/// When the headers name no user but other things, or the caller may not be who they ask to be.
pub fn impersonate(authorizer: &Authorizer, caller: &User, headers: &HeaderMap) -> Result<Option<User>, Refusal> {
    let wanted = Wanted::read(headers);
    if wanted == Wanted::default() {
        return Ok(None);
    }
    if wanted.user.is_empty() {
        return Err(Refusal::WithoutUser(format!("requested {} without impersonating a user", wanted.show())));
    }
    wanted.check(authorizer, caller).map_err(|status| Refusal::Forbidden(Box::new(status)))?;
    Ok(Some(wanted.into_user()))
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Self {
        let first = |name: &str| all(headers, name).into_iter().next().unwrap_or_default();
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in headers.keys() {
            if let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) {
                let key = unescape(key, false).unwrap_or_else(|| key.to_owned());
                extra.entry(key).or_default().extend(all(headers, name.as_str()));
            }
        }
        let (user, uid) = (first("impersonate-user"), first("impersonate-uid"));
        Self { user, uid, groups: all(headers, "impersonate-group"), extra }
    }

    fn check(&self, authorizer: &Authorizer, caller: &User) -> Result<(), Status> {
        let base = Attributes { user: caller, verb: "impersonate", is_resource: true, ..Attributes::default() };
        match service_account::split_user_name(&self.user) {
            Some((namespace, name)) => {
                authorizer.require(&Attributes { resource: "serviceaccounts", namespace, name, ..base })?;
            }
            None => authorizer.require(&Attributes { resource: "users", name: &self.user, ..base })?,
        }
        let base = Attributes { version: "v1", ..base };
        if !self.uid.is_empty() {
            authorizer.require(&Attributes { group: GROUP, resource: "uids", name: &self.uid, ..base })?;
        }
        for name in &self.groups {
            authorizer.require(&Attributes { resource: "groups", version: "", name, ..base })?;
        }
        for (key, value) in self.extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value))) {
            authorizer.require(&Attributes {
                group: GROUP,
                resource: "userextras",
                subresource: key,
                name: value,
                ..base
            })?;
        }
        Ok(())
    }

    fn into_user(self) -> User {
        let mut groups = self.groups;
        if let Some((namespace, _)) = service_account::split_user_name(&self.user).filter(|_| groups.is_empty()) {
            groups = service_account::groups(namespace);
        }
        let known = ["system:authenticated", "system:unauthenticated"];
        let (authenticated, unauthenticated) = (known[0].to_owned(), known[1].to_owned());
        if self.user == "system:anonymous" {
            if !groups.contains(&unauthenticated) {
                groups.push(unauthenticated);
            }
        } else if !groups.contains(&authenticated) && !groups.contains(&unauthenticated) {
            groups.push(authenticated);
        }
        User { name: self.user, uid: self.uid, groups, extra: self.extra }
    }

    /// The wishes as the API's message lists them: references with their seven fields.
    fn show(&self) -> String {
        let mut shown: Vec<String> = Vec::new();
        if !self.uid.is_empty() {
            shown.push(format!("{{UID  {}  {GROUP}/v1  }}", self.uid));
        }
        shown.extend(self.groups.iter().map(|group| format!("{{Group  {group}    }}")));
        for (key, values) in &self.extra {
            shown.extend(values.iter().map(|value| format!("{{UserExtra  {value}  {GROUP}/v1  {key}}}")));
        }
        format!("[{}]", shown.join(" "))
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::Mode;

    fn act(caller: &User, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match impersonate(&Authorizer::new(vec![Mode::Rbac]), caller, &map) {
            Ok(None) => "oneself".to_owned(),
            Ok(Some(user)) => format!("{} {:?} {:?} {:?}", user.name, user.uid, user.groups, user.extra),
            Err(Refusal::WithoutUser(message)) => message,
            Err(Refusal::Forbidden(status)) => status.message,
        }
    }

    #[test]
    fn acting_as_others() {
        let (admin, joe) = (User::new("admin", &["system:masters"]), User::new("joe", &[]));
        let shown = [
            act(&joe, &[]),
            act(&admin, &[("impersonate-user", "jane")]),
            act(&admin, &[("impersonate-user", "jane"), ("impersonate-group", "a"), ("impersonate-group", "b")]),
            act(&admin, &[("impersonate-user", "system:serviceaccount:a:bot")]),
            act(&admin, &[("impersonate-user", "system:anonymous")]),
            act(
                &admin,
                &[("impersonate-user", "x"), ("impersonate-uid", "7"), ("impersonate-extra-acme%2ecom%2fscopes", "v")],
            ),
            act(&admin, &[("impersonate-group", "g")]),
            act(&joe, &[("impersonate-user", "jane")]),
            act(&joe, &[("impersonate-user", "system:serviceaccount:a:bot")]),
        ];
        expect_test::expect![[r#"
            oneself
            jane "" ["system:authenticated"] {}
            jane "" ["a", "b", "system:authenticated"] {}
            system:serviceaccount:a:bot "" ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"] {}
            system:anonymous "" ["system:unauthenticated"] {}
            x "7" ["system:authenticated"] {"acme.com/scopes": ["v"]}
            requested [{Group  g    }] without impersonating a user
            users "jane" is forbidden: User "joe" cannot impersonate resource "users" in API group "" at the cluster scope
            serviceaccounts "bot" is forbidden: User "joe" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "a""#]].assert_eq(&shown.join("\n"));
    }
}
