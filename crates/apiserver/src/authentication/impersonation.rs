//! Acting as somebody else: the `Impersonate-*` headers. Each takes a right of its own, in one of several ways (KEP-5284):
//! as a node, a service account or another user for this one request, or, the older way, for all of them.

use std::collections::BTreeMap;

use http::HeaderMap;
use machinery::Status;
use machinery::field::quote;

use super::service_account;
use crate::authorization::{Attributes, Authorizer, MASTERS, node};
use crate::query::unescape;
use crate::{RequestInfo, User};

const EXTRA_PREFIX: &str = "impersonate-extra-";
const GROUP: &str = "authentication.k8s.io";
/// Where a service account's token says on which node it is used.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// From so many groups or values on, a right to all of them is looked for first.
const MANY: usize = 4;

/// One way to act as somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A service account acts as the node that it runs on.
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    /// Anybody who is neither.
    UserInfo,
    /// The right does not ask what is done with it.
    Legacy,
}

/// The ways in the order in which they are tried.
const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn verb(self) -> String {
        if self == Self::Legacy { "impersonate".to_owned() } else { format!("impersonate:{}", self.name()) }
    }

    /// Whether `caller` may try to act as `wanted` in this way at all.
    fn applies(self, wanted: &Wanted, caller: &User) -> bool {
        let (node, account) = (wanted.node(), service_account::split_user_name(&wanted.user));
        match self {
            Self::AssociatedNode => {
                let own = caller.extra.get(NODE_NAME).map(Vec::as_slice);
                let is_own = node.is_some_and(|node| own.is_some_and(|own| *own == [node]));
                wanted.is_name_only() && is_own && service_account::split_user_name(&caller.name).is_some()
            }
            Self::ArbitraryNode => wanted.is_name_only() && node.is_some(),
            Self::ServiceAccount => wanted.is_name_only() && account.is_some(),
            Self::UserInfo => node.is_none() && account.is_none(),
            Self::Legacy => true,
        }
    }
}

/// Whom the headers ask to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The user that `caller` acts as in `request`, if the headers ask for one.
///
/// # Errors
/// 400 when the headers name no user but other things, 403 when the caller may not be who they ask to be: of the ways
/// to be somebody else the first that applies says why.
pub fn impersonate(
    authorizer: &Authorizer,
    caller: &User,
    request: &RequestInfo,
    headers: &HeaderMap,
) -> Result<Option<User>, Status> {
    let wanted = Wanted::read(headers);
    if wanted == Wanted::default() {
        return Ok(None);
    }
    if wanted.user.is_empty() {
        let shown = wanted.show();
        return Err(Status::bad_request(format!("requested {shown} without impersonating a user name")));
    }
    let mut first = None;
    for mode in MODES.into_iter().filter(|mode| mode.applies(&wanted, caller)) {
        match (Attempt { mode, authorizer, wanted: &wanted }).check(&Attributes::of(caller, request)) {
            Ok(user) => return Ok(Some(user)),
            Err(status) => first = first.or(Some(status)),
        }
    }
    Err(first.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

struct Attempt<'a> {
    mode: Mode,
    authorizer: &'a Authorizer,
    wanted: &'a Wanted,
}

impl Attempt<'_> {
    fn check(&self, request: &Attributes<'_>) -> Result<User, Status> {
        let (verb, constrained) = (self.mode.verb(), self.is_constrained());
        if constrained {
            let on = format!("impersonate-on:{}:{}", self.mode.name(), request.verb);
            self.authorizer.require(&Attributes { verb: &on, ..*request })?;
        }
        let base =
            Attributes { user: request.user, verb: &verb, version: "v1", is_resource: true, ..Attributes::default() };
        let ours = Attributes { group: if constrained { GROUP } else { "" }, ..base };
        let groups = self.check_name(&ours)?;
        let base = Attributes { group: GROUP, ..base };
        if !self.wanted.uid.is_empty() {
            self.authorizer.require(&Attributes { resource: "uids", name: &self.wanted.uid, ..base })?;
        }
        self.check_groups(&Attributes { resource: "groups", ..ours })?;
        self.check_extra(&Attributes { resource: "userextras", ..base })?;
        Ok(self.wanted.to_user(groups))
    }

    fn is_constrained(&self) -> bool {
        self.mode != Mode::Legacy
    }

    /// The groups of whom the name belongs to.
    fn check_name(&self, base: &Attributes<'_>) -> Result<Vec<String>, Status> {
        let wanted = self.wanted;
        if let Some(name) = wanted.node().filter(|_| self.is_constrained()) {
            let name = if self.mode == Mode::AssociatedNode { "*" } else { name };
            self.authorizer.require(&Attributes { resource: "nodes", name, ..*base })?;
            return Ok(vec![node::GROUP.to_owned()]);
        }
        let Some((namespace, name)) = service_account::split_user_name(&wanted.user) else {
            self.authorizer.require(&Attributes { resource: "users", name: &wanted.user, ..*base })?;
            return Ok(wanted.groups.clone());
        };
        self.authorizer.require(&Attributes { resource: "serviceaccounts", namespace, name, ..*base })?;
        let none = wanted.groups.is_empty();
        Ok(if none { service_account::groups(namespace) } else { wanted.groups.clone() })
    }

    fn check_groups(&self, base: &Attributes<'_>) -> Result<(), Status> {
        let groups = &self.wanted.groups;
        if self.is_constrained() {
            if groups.iter().any(String::is_empty) {
                return Err(base.refusal("impersonating the empty string group is not allowed"));
            }
            if groups.iter().any(|group| group == MASTERS) {
                let masters = Attributes { name: MASTERS, ..*base };
                return Err(masters.refusal("impersonating the system:masters group is not allowed"));
            }
            let all = Attributes { name: "*", ..*base };
            if groups.len() >= MANY && self.authorizer.authorize(&all).is_allowed() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|name| self.authorizer.require(&Attributes { name, ..*base }))
    }

    fn check_extra(&self, base: &Attributes<'_>) -> Result<(), Status> {
        let extra = &self.wanted.extra;
        if self.is_constrained() {
            if let Some(why) = extra.iter().find_map(|(key, values)| odd_extra(key, values)) {
                return Err(base.refusal(&why));
            }
            let all = Attributes { subresource: "*", name: "*", ..*base };
            let many = extra.len() >= MANY || extra.values().map(Vec::len).sum::<usize>() >= MANY;
            if many && self.authorizer.authorize(&all).is_allowed() {
                return Ok(());
            }
        }
        let mut values = extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        values.try_for_each(|(key, name)| self.authorizer.require(&Attributes { subresource: key, name, ..*base }))
    }
}

/// What the newer ways do not allow of extra values.
fn odd_extra(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".to_owned());
    }
    let parts = key.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty());
    let Some((domain, _)) = parts else {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return Some(invalid_key(key, why));
    };
    if let Some(why) = machinery::names::is_dns1123_subdomain(domain).first() {
        return Some(invalid_key(domain, why));
    }
    values
        .iter()
        .any(String::is_empty)
        .then(|| "impersonating the empty string value in extra is not allowed".to_owned())
}

fn invalid_key(value: &str, why: &str) -> String {
    let value = quote(value);
    format!("impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {value}: {why}")
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

    fn is_name_only(&self) -> bool {
        self.uid.is_empty() && self.groups.is_empty() && self.extra.is_empty()
    }

    /// The node, if it is one.
    fn node(&self) -> Option<&str> {
        let name = self.user.strip_prefix("system:node:")?;
        machinery::names::is_dns1123_subdomain(name).is_empty().then_some(name)
    }

    fn to_user(&self, mut groups: Vec<String>) -> User {
        let has = |groups: &[String], name: &str| groups.iter().any(|group| group == name);
        let (authenticated, unauthenticated) = ("system:authenticated", "system:unauthenticated");
        let missing = if self.user == "system:anonymous" {
            (!has(&groups, unauthenticated)).then_some(unauthenticated)
        } else {
            (!has(&groups, unauthenticated) && !has(&groups, authenticated)).then_some(authenticated)
        };
        groups.extend(missing.map(str::to_owned));
        User { name: self.user.clone(), uid: self.uid.clone(), groups, extra: self.extra.clone() }
    }

    /// The wishes as the API's message shows them: a struct of Go.
    fn show(&self) -> String {
        let list = |texts: &[String]| {
            let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
            format!("[]string{{{}}}", texts.join(", "))
        };
        let groups = if self.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&self.groups) };
        let entries: Vec<String> =
            self.extra.iter().map(|(key, values)| format!("{}:{}", quote(key), list(values))).collect();
        let extra = match entries.as_slice() {
            [] => "map[string][]string(nil)".to_owned(),
            entries => format!("map[string][]string{{{}}}", entries.join(", ")),
        };
        format!("&user.DefaultInfo{{Name:\"\", UID:{}, Groups:{groups}, Extra:{extra}}}", quote(&self.uid))
    }
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::{Change, Mode};

    fn act(caller: &User, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let request = RequestInfo {
            verb: "list".to_owned(),
            resource: "pods".to_owned(),
            is_resource_request: true,
            ..RequestInfo::default()
        };
        match impersonate(&authorizer(), caller, &request, &map) {
            Ok(None) => "oneself".to_owned(),
            Ok(Some(user)) => format!("{} {:?} {:?} {:?}", user.name, user.uid, user.groups, user.extra),
            Err(status) => format!("{} {}", status.code, status.message),
        }
    }

    /// Bob may act as jane when he lists pods, and the older way as the group `g`.
    fn authorizer() -> Authorizer {
        let authorizer = Authorizer::new(vec![Mode::Rbac]);
        let role = machinery::value!({"rules": [
            {"verbs": ["impersonate:user-info"], "apiGroups": ["authentication.k8s.io"], "resources": ["users"], "resourceNames": ["jane"]},
            {"verbs": ["impersonate-on:user-info:list"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users", "groups"], "resourceNames": ["jane", "g"]}
        ]});
        let binding = machinery::value!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "bob"}]});
        let group = "rbac.authorization.k8s.io";
        authorizer.observe(group, "clusterroles", "", "r", Change::Put(&role));
        authorizer.observe(group, "clusterrolebindings", "", "b", Change::Put(&binding));
        authorizer
    }

    #[test]
    fn acting_as_others() {
        let (admin, joe) = (User::new("admin", &["system:masters"]), User::new("joe", &[]));
        let bob = User::new("bob", &[]);
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
            act(&admin, &[("impersonate-user", "system:node:n")]),
            act(&admin, &[("impersonate-user", "x"), ("impersonate-group", "system:masters")]),
            act(&joe, &[("impersonate-user", "system:node:n")]),
            act(&joe, &[("impersonate-user", "system:node:n"), ("impersonate-group", "g")]),
            act(&bob, &[("impersonate-user", "jane")]),
            act(&bob, &[("impersonate-user", "jane"), ("impersonate-group", "g")]),
            act(&bob, &[("impersonate-user", "jane"), ("impersonate-group", "h")]),
            act(&bob, &[("impersonate-user", "ann")]),
            act(&admin, &[("impersonate-uid", "7"), ("impersonate-extra-foo", "v")]),
        ];
        expect_test::expect![[r#"
            oneself
            jane "" ["system:authenticated"] {}
            jane "" ["a", "b", "system:authenticated"] {}
            system:serviceaccount:a:bot "" ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"] {}
            system:anonymous "" ["system:unauthenticated"] {}
            x "7" ["system:authenticated"] {"acme.com/scopes": ["v"]}
            400 requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name
            403 pods is forbidden: User "joe" cannot impersonate-on:user-info:list resource "pods" in API group "" at the cluster scope
            403 pods is forbidden: User "joe" cannot impersonate-on:serviceaccount:list resource "pods" in API group "" at the cluster scope
            system:node:n "" ["system:nodes", "system:authenticated"] {}
            x "" ["system:masters", "system:authenticated"] {}
            403 pods is forbidden: User "joe" cannot impersonate-on:arbitrary-node:list resource "pods" in API group "" at the cluster scope
            403 users "system:node:n" is forbidden: User "joe" cannot impersonate resource "users" in API group "" at the cluster scope
            jane "" ["system:authenticated"] {}
            jane "" ["g", "system:authenticated"] {}
            403 groups.authentication.k8s.io "h" is forbidden: User "bob" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope
            403 users.authentication.k8s.io "ann" is forbidden: User "bob" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope
            400 requested &user.DefaultInfo{Name:"", UID:"7", Groups:[]string(nil), Extra:map[string][]string{"foo":[]string{"v"}}} without impersonating a user name"#]].assert_eq(&shown.join("\n"));
    }
}
