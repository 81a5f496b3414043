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
        let same = |field: &str| self.old.is_some_and(|old| old.get(field) == self.object.get(field));
        if (same("rules") && same("aggregationRule")) || self.may_escalate(authorizer) {
            return Ok(());
        }
        let has_aggregation = !self.object.items_at(&["aggregationRule", "clusterRoleSelectors"]).is_empty();
        if has_aggregation && self.missing_text(authorizer, &Rule::everything()).is_some() {
            return Err(self.forbidden("must have cluster-admin privileges to use the aggregationRule"));
        }
        match self.missing_text(authorizer, &Rule::of_role(self.object)) {
            Some(text) => Err(self.forbidden(&text)),
            None => Ok(()),
        }
    }

    fn check_binding(&self, authorizer: &Authorizer) -> Result<(), Status> {
        let Some(role_ref) = self.object.get("roleRef") else { return Ok(()) };
        if self.may_bind(authorizer, role_ref) {
            return Ok(());
        }
        let name = role_ref.str_at(&["name"]).unwrap_or_default();
        let resource = if is_cluster_role(role_ref) { "clusterroles" } else { "roles" };
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

    fn may_bind(&self, authorizer: &Authorizer, role_ref: &Value) -> bool {
        let attributes = Attributes {
            verb: "bind",
            resource: if is_cluster_role(role_ref) { "clusterroles" } else { "roles" },
            name: role_ref.str_at(&["name"]).unwrap_or_default(),
            group: role_ref.str_at(&["apiGroup"]).unwrap_or_default(),
            version: "*",
            ..self.attributes()
        };
        authorizer.authorize(&attributes).is_allowed()
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

fn is_cluster_role(role_ref: &Value) -> bool {
    role_ref.str_at(&["kind"]) == Some("ClusterRole")
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
        assert_eq!(check("jane", "roles", &more, Some(&more)), "fine");
        expect_test::expect![[r#"
            roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
            {APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}"#]]
        .assert_eq(&check("jane", "roles", &more, None));
        let aggregating = value!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
        expect_test::expect![[r#"clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule"#]]
            .assert_eq(&check("jane", "clusterroles", &aggregating, None));
    }

    #[test]
    fn bindings() {
        let to = |role: &str| value!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}});
        assert_eq!(check("jane", "rolebindings", &to("reader"), None), "fine");
        assert_eq!(check("bob", "rolebindings", &to("reader"), None), "fine");
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
