//! Nobody hands on rights that they do not hold: the checks of writes of roles and bindings.

use machinery::field::quote;
use machinery::status::In;
use machinery::{Status, Value};

use super::covers::missing;
use super::rules::quote_list;
use super::{Attributes, Authorizer, MASTERS, Rule};
use crate::User;

/// The group whose kinds are checked.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// A write of a role or a binding.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Who writes.
    pub user: &'a User,
    /// roles, clusterroles, rolebindings or clusterrolebindings.
    pub resource: &'a str,
    /// The namespace; empty for cluster-wide objects.
    pub namespace: &'a str,
    /// The name in the request's path; empty on a create.
    pub name: &'a str,
    /// The object to be.
    pub object: &'a Value,
    /// The object that is; none on a create.
    pub old: Option<&'a Value>,
}

impl Write<'_> {
    /// Checks a write of any of RBAC's four kinds; other resources pass.
    ///
    /// # Errors
    /// The answer to give when the writer would hand on rights that they do not hold.
    pub fn check(&self, authorizer: &Authorizer) -> Result<(), Status> {
        if self.user.is_in(MASTERS) {
            return Ok(());
        }
        match self.resource {
            "roles" | "clusterroles" => self.check_role(authorizer),
            "rolebindings" | "clusterrolebindings" => self.check_binding(authorizer),
            _ => Ok(()),
        }
    }

    fn check_role(&self, authorizer: &Authorizer) -> Result<(), Status> {
        if self.may_escalate(authorizer) || self.is_for_garbage_collection() {
            return Ok(());
        }
        if let Some(text) = self.missing_text(authorizer, &Rule::of_role(self.object)) {
            return Err(self.forbidden(&text));
        }
        // Who takes an aggregation rule away could keep rights that it would have taken.
        let aggregates = aggregates(self.object) || self.old.is_some_and(aggregates);
        if aggregates && self.missing_text(authorizer, &Rule::everything()).is_some() {
            return Err(self.forbidden("must have cluster-admin privileges to use the aggregationRule"));
        }
        Ok(())
    }

    fn check_binding(&self, authorizer: &Authorizer) -> Result<(), Status> {
        let Some(role_ref) = self.object.get("roleRef") else { return Ok(()) };
        let kind = role_ref.str_at(&["kind"]).unwrap_or_default();
        let resource = match kind {
            "ClusterRole" => Some("clusterroles"),
            "Role" => Some("roles"),
            _ => None,
        };
        if self.is_for_garbage_collection() || resource.is_some_and(|r| self.may_bind(authorizer, role_ref, r)) {
            return Ok(());
        }
        let Some(resource) = resource else {
            return Err(Status::unknown(format!("unsupported role reference kind: {}", quote(kind))));
        };
        let name = role_ref.str_at(&["name"]).unwrap_or_default();
        let Some(rules) = authorizer.referenced_rules(role_ref, self.namespace) else {
            return Err(Status::not_found(In { group: GROUP, name: resource }, name));
        };
        match self.missing_text(authorizer, &rules) {
            Some(text) => Err(self.forbidden(&text)),
            None => Ok(()),
        }
    }

    fn may_escalate(&self, authorizer: &Authorizer) -> bool {
        let attributes = Attributes {
            verb: "escalate",
            resource: self.resource,
            name: self.name,
            version: "*",
            ..self.attributes()
        };
        authorizer.authorize(&attributes).is_allowed()
    }

    fn may_bind(&self, authorizer: &Authorizer, role_ref: &Value, resource: &str) -> bool {
        let attributes = Attributes {
            verb: "bind",
            resource,
            name: role_ref.str_at(&["name"]).unwrap_or_default(),
            group: role_ref.str_at(&["apiGroup"]).unwrap_or_default(),
            version: "*",
            ..self.attributes()
        };
        authorizer.authorize(&attributes).is_allowed()
    }

    /// Whether an update touches no more than what the garbage collector writes before it deletes an object.
    fn is_for_garbage_collection(&self) -> bool {
        let rest = |object: &Value| {
            let mut rest = object.clone();
            for field in ["ownerReferences", "finalizers", "managedFields"] {
                rest.remove_at(&["metadata", field]);
            }
            rest
        };
        self.old.is_some_and(|old| rest(old) == rest(self.object))
    }

    fn attributes(&self) -> Attributes<'_> {
        Attributes {
            user: self.user,
            group: GROUP,
            namespace: self.namespace,
            is_resource: true,
            ..Attributes::default()
        }
    }

    /// Which of `wanted` the writer does not hold, as the API words it; `None` when they hold all.
    fn missing_text(&self, authorizer: &Authorizer, wanted: &[Rule]) -> Option<String> {
        let held = authorizer.rules_for(self.user, self.namespace);
        let mut missing: Vec<String> = missing(&held.rules, wanted).iter().map(ToString::to_string).collect();
        if missing.is_empty() {
            return None;
        }
        missing.sort();
        missing.dedup();
        let groups = quote_list(self.user.groups.iter().map(String::as_str));
        let mut text = format!(
            "user {} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{}",
            quote(&self.user.name),
            missing.join("\n")
        );
        if !held.errors.is_empty() {
            text = format!("{text}; resolution errors: [{}]", held.errors.join(", "));
        }
        Some(text)
    }

    fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(In { group: GROUP, name: self.resource }, machinery::meta::name(self.object), why)
    }
}

fn aggregates(role: &Value) -> bool {
    !role.items_at(&["aggregationRule", "clusterRoleSelectors"]).is_empty()
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;
    use crate::authorization::{Change, Mode};

    fn rule(verbs: Value, resource: &str) -> Value {
        value!({"verbs": verbs, "apiGroups": ["", "rbac.authorization.k8s.io"], "resources": [resource]})
    }

    fn authorizer() -> Authorizer {
        let authorizer = Authorizer::new(vec![Mode::Rbac]);
        let put = |resource: &str, namespace: &str, name: &str, object: Value| {
            authorizer.observe(GROUP, resource, namespace, name, Change::Put(&object));
        };
        put("clusterroles", "", "reader", value!({"rules": [(rule(value!(["get"]), "pods"))]}));
        put("clusterroles", "", "binder", value!({"rules": [(rule(value!(["bind"]), "clusterroles"))]}));
        for (role, user) in [("reader", "jane"), ("binder", "bob")] {
            put(
                "clusterrolebindings",
                "",
                user,
                value!({
                    "roleRef": {"kind": "ClusterRole", "name": role},
                    "subjects": [{"kind": "User", "name": user}]
                }),
            );
        }
        authorizer
    }

    fn check(user: &str, resource: &str, object: &Value, old: Option<&Value>) -> String {
        let user = User::new(user, &["system:authenticated"]);
        let write = Write { user: &user, resource, namespace: "a", name: "", object, old };
        write.check(&authorizer()).map_or_else(|status| status.message, |()| "fine".to_owned())
    }

    #[test]
    fn roles() {
        let less = value!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        let more = value!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get", "delete", "create"], "apiGroups": [""], "resources": ["pods"]}]});
        assert_eq!(check("jane", "roles", &less, None), "fine");
        let mut held = more.clone();
        held.set_at(&["metadata", "finalizers"], value!(["a.io/b"]));
        assert_eq!(check("jane", "roles", &more, Some(&held)), "fine");
        held.set_at(&["metadata", "labels"], value!({"a": "b"}));
        assert_ne!(check("jane", "roles", &more, Some(&held)), "fine");
        expect_test::expect![[r#"
            roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}"#]]
        .assert_eq(&check("jane", "roles", &more, None));
        let aggregating = value!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
        expect_test::expect![[r#"clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule"#]]
            .assert_eq(&check("jane", "clusterroles", &aggregating, None));
        let plain = value!({"metadata": {"name": "r"}});
        assert!(check("jane", "clusterroles", &plain, Some(&aggregating)).ends_with("to use the aggregationRule"));
        let both = value!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}], "aggregationRule": {"clusterRoleSelectors": [{}]}});
        assert!(check("jane", "clusterroles", &both, None).ends_with(r#"Resources:["secrets"], Verbs:["get"]}"#));
    }

    #[test]
    fn bindings() {
        let to = |role: &str| value!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}});
        assert_eq!(check("jane", "rolebindings", &to("reader"), None), "fine");
        assert_eq!(check("bob", "rolebindings", &to("reader"), None), "fine");
        let odd = value!({"metadata": {"name": "b"}, "roleRef": {"kind": "Foo", "name": "x"}});
        assert_eq!(check("jane", "rolebindings", &odd, None), r#"unsupported role reference kind: "Foo""#);
        assert_eq!(
            check("jane", "rolebindings", &to("nope"), None),
            r#"clusterroles.rbac.authorization.k8s.io "nope" not found"#
        );
        expect_test::expect![[r#"
            rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "joe" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["get"]}
            {APIGroups:["rbac.authorization.k8s.io"], Resources:["pods"], Verbs:["get"]}"#]]
        .assert_eq(&check("joe", "rolebindings", &to("reader"), None));
    }
}
