//! Roles and bindings, indexed by whom they speak of, so that a check looks only at the caller's own grants.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use machinery::field::quote;
use machinery::{Text, Value};

use super::{Attributes, Change, Decision, Rule};
use crate::User;

/// A namespace, empty for cluster-wide objects, and a name.
type Key = (Text, Text);

/// The rules that hold for somebody, and what hindered finding them all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserRules {
    /// The rules, cluster-wide ones first.
    pub rules: Vec<Rule>,
    /// Whether there may be more.
    pub incomplete: bool,
    /// What went wrong: a binding to a role that is not there.
    pub errors: Vec<String>,
}

impl UserRules {
    /// Adds what another authorizer says.
    pub fn extend(&mut self, more: Self) {
        self.rules.extend(more.rules);
        self.incomplete |= more.incomplete;
        self.errors.extend(more.errors);
    }
}

/// Whom a binding speaks of. A service account is its user name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject {
    User(Text),
    Group(Text),
}

/// One binding as far as a decision needs it.
#[derive(Debug)]
struct Binding {
    cluster_role: bool,
    role: Text,
    subjects: Vec<(Subject, String)>,
}

/// All roles and bindings. Roles and bindings without a namespace are the cluster's.
#[derive(Debug, Default)]
pub struct Rbac {
    roles: HashMap<Key, Arc<[Rule]>>,
    bindings: HashMap<Key, Binding>,
    by_subject: HashMap<Subject, BTreeSet<Key>>,
}

impl Rbac {
    /// Takes note of a change of a role or binding.
    pub fn observe(&mut self, resource: &str, namespace: &str, name: &str, change: Change<'_>) {
        let key = (Text::from(namespace), Text::from(name));
        match (resource, change) {
            ("roles" | "clusterroles", Change::Put(role)) => {
                self.roles.insert(key, Rule::of_role(role).into());
            }
            ("roles" | "clusterroles", Change::Delete) => {
                self.roles.remove(&key);
            }
            ("rolebindings" | "clusterrolebindings", Change::Put(binding)) => {
                self.forget_binding(&key);
                self.learn_binding(key, binding);
            }
            ("rolebindings" | "clusterrolebindings", Change::Delete) => self.forget_binding(&key),
            _ => {}
        }
    }

    /// Whether one of the caller's grants allows the request.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut errors = BTreeSet::new();
        for (key, binding) in self.bindings_of(attributes.user, attributes.namespace) {
            let Some(rules) = self.role(binding.cluster_role, &key.0, &binding.role) else {
                errors.insert(binding.missing_role());
                continue;
            };
            if rules.iter().any(|rule| rule.allows(attributes)) {
                return Decision::Allow(format!("RBAC: allowed by {}", binding.describe(key, attributes.user)));
            }
        }
        Decision::NoOpinion(aggregate(&errors).map_or_else(String::new, |errors| format!("RBAC: {errors}")))
    }

    /// The rules of all of the caller's grants that count in `namespace`.
    pub fn rules_for(&self, user: &User, namespace: &str) -> UserRules {
        let (mut found, mut errors) = (UserRules::default(), BTreeSet::new());
        for (key, binding) in self.bindings_of(user, namespace) {
            match self.role(binding.cluster_role, &key.0, &binding.role) {
                Some(rules) => found.rules.extend(rules.iter().cloned()),
                None => _ = errors.insert(binding.missing_role()),
            }
        }
        found.errors = errors.into_iter().collect();
        found
    }

    /// The rules of a role, one of `namespace` or one of the cluster.
    pub fn role(&self, of_cluster: bool, namespace: &str, name: &str) -> Option<Arc<[Rule]>> {
        let namespace = if of_cluster { "" } else { namespace };
        self.roles.get(&(Text::from(namespace), Text::from(name))).cloned()
    }

    /// The bindings that speak of `user` and count in `namespace`: the cluster's first, then the namespace's, by name.
    fn bindings_of(&self, user: &User, namespace: &str) -> impl Iterator<Item = (&Key, &Binding)> {
        let mut keys: BTreeSet<&Key> = BTreeSet::new();
        for subject in subjects_of(user) {
            let bound = self.by_subject.get(&subject).into_iter().flatten();
            keys.extend(bound.filter(|(of, _)| of.is_empty() || of == namespace));
        }
        keys.into_iter().filter_map(|key| Some((key, self.bindings.get(key)?)))
    }

    fn learn_binding(&mut self, key: Key, binding: &Value) {
        let role = |name: &str| binding.str_at(&["roleRef", name]).unwrap_or_default();
        let subjects = binding.items_at(&["subjects"]).iter();
        let learned = Binding {
            cluster_role: role("kind") == "ClusterRole",
            role: role("name").into(),
            subjects: subjects.filter_map(|subject| read_subject(subject, &key.0)).collect(),
        };
        for (subject, _) in &learned.subjects {
            self.by_subject.entry(subject.clone()).or_default().insert(key.clone());
        }
        self.bindings.insert(key, learned);
    }

    fn forget_binding(&mut self, key: &Key) {
        let Some(forgotten) = self.bindings.remove(key) else { return };
        for (subject, _) in forgotten.subjects {
            let Some(keys) = self.by_subject.get_mut(&subject) else { continue };
            keys.remove(key);
            if keys.is_empty() {
                self.by_subject.remove(&subject);
            }
        }
    }
}

impl Binding {
    fn describe(&self, (namespace, name): &Key, user: &User) -> String {
        let (kind, name) = match namespace.as_str() {
            "" => ("ClusterRoleBinding", name.to_string()),
            namespace => ("RoleBinding", format!("{name}/{namespace}")),
        };
        let role = if self.cluster_role { "ClusterRole" } else { "Role" };
        let speaks_of = |subject: &Subject| match subject {
            Subject::User(name) => *name == user.name,
            Subject::Group(group) => user.is_in(group),
        };
        let to = self.subjects.iter().find(|(subject, _)| speaks_of(subject)).map_or("", |(_, shown)| shown);
        format!("{kind} {} of {role} {} to {to}", quote(&name), quote(&self.role))
    }

    fn missing_role(&self) -> String {
        let kind = if self.cluster_role { "clusterrole" } else { "role" };
        format!("{kind}.rbac.authorization.k8s.io {} not found", quote(&self.role))
    }
}

/// A binding's subject and how a reason names it. A service account without a namespace is one of the binding's.
fn read_subject(subject: &Value, binding_namespace: &str) -> Option<(Subject, String)> {
    let text = |name: &str| subject.str_at(&[name]).unwrap_or_default();
    let name = text("name");
    match text("kind") {
        "User" => Some((Subject::User(name.into()), format!("User {}", quote(name)))),
        "Group" => Some((Subject::Group(name.into()), format!("Group {}", quote(name)))),
        "ServiceAccount" => {
            let namespace = Some(text("namespace")).filter(|n| !n.is_empty()).unwrap_or(binding_namespace);
            let user = format!("system:serviceaccount:{namespace}:{name}");
            let shown = format!("ServiceAccount {}", quote(&format!("{name}/{namespace}")));
            (!namespace.is_empty()).then(|| (Subject::User(user.into()), shown))
        }
        _ => None,
    }
}

fn subjects_of(user: &User) -> impl Iterator<Item = Subject> {
    let groups = user.groups.iter().map(|group| Subject::Group(group.into()));
    std::iter::once(Subject::User(user.name.as_str().into())).chain(groups)
}

fn aggregate(errors: &BTreeSet<String>) -> Option<String> {
    let all: Vec<&str> = errors.iter().map(String::as_str).collect();
    match all.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// Rules sorted into those of resources and those of paths, as a rules review lists them.
pub(super) fn sort_out(rules: &[Rule]) -> BTreeMap<&'static str, Vec<Value>> {
    let resources = rules.iter().filter(|rule| !rule.resources.is_empty());
    let paths = rules.iter().filter(|rule| !rule.paths.is_empty());
    BTreeMap::from([
        ("resourceRules", resources.map(|rule| Rule { paths: vec![], ..rule.clone() }.to_value()).collect()),
        (
            "nonResourceRules",
            paths
                .map(|rule| Rule { verbs: rule.verbs.clone(), paths: rule.paths.clone(), ..Rule::default() }.to_value())
                .collect(),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;

    fn put(rbac: &mut Rbac, resource: &str, namespace: &str, name: &str, object: Value) {
        rbac.observe(resource, namespace, name, Change::Put(&object));
    }

    fn some() -> Rbac {
        let mut rbac = Rbac::default();
        put(
            &mut rbac,
            "clusterroles",
            "",
            "reader",
            value!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        );
        put(
            &mut rbac,
            "roles",
            "a",
            "writer",
            value!({"rules": [{"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}]}),
        );
        put(
            &mut rbac,
            "clusterrolebindings",
            "",
            "all",
            value!({
                "roleRef": {"kind": "ClusterRole", "name": "reader"},
                "subjects": [{"kind": "Group", "name": "readers"}]
            }),
        );
        put(
            &mut rbac,
            "rolebindings",
            "a",
            "rb",
            value!({
                "roleRef": {"kind": "Role", "name": "writer"},
                "subjects": [{"kind": "ServiceAccount", "name": "bot"}, {"kind": "User", "name": "jane"}]
            }),
        );
        put(
            &mut rbac,
            "rolebindings",
            "a",
            "dangling",
            value!({
                "roleRef": {"kind": "Role", "name": "nope"},
                "subjects": [{"kind": "User", "name": "jane"}]
            }),
        );
        rbac
    }

    fn decide(rbac: &Rbac, user: &User, verb: &str, namespace: &str) -> String {
        let attributes =
            Attributes { user, verb, resource: "pods", namespace, is_resource: true, ..Attributes::default() };
        format!("{verb} in {namespace:?}: {:?}", rbac.authorize(&attributes))
    }

    #[test]
    fn decisions_and_their_reasons() {
        let rbac = some();
        let (jane, reader) = (User::new("jane", &[]), User::new("joe", &["readers"]));
        let bot = User::new("system:serviceaccount:a:bot", &[]);
        let shown = [
            decide(&rbac, &jane, "create", "a"),
            decide(&rbac, &jane, "create", "b"),
            decide(&rbac, &jane, "delete", "a"),
            decide(&rbac, &reader, "get", ""),
            decide(&rbac, &reader, "get", "b"),
            decide(&rbac, &bot, "create", "a"),
        ];
        expect_test::expect![[r#"
            create in "a": Allow("RBAC: allowed by RoleBinding \"rb/a\" of Role \"writer\" to User \"jane\"")
            create in "b": NoOpinion("")
            delete in "a": NoOpinion("RBAC: role.rbac.authorization.k8s.io \"nope\" not found")
            get in "": Allow("RBAC: allowed by ClusterRoleBinding \"all\" of ClusterRole \"reader\" to Group \"readers\"")
            get in "b": Allow("RBAC: allowed by ClusterRoleBinding \"all\" of ClusterRole \"reader\" to Group \"readers\"")
            create in "a": Allow("RBAC: allowed by RoleBinding \"rb/a\" of Role \"writer\" to ServiceAccount \"bot/a\"")"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn a_change_counts_at_once() {
        let mut rbac = some();
        let reader = User::new("joe", &["readers"]);
        rbac.observe("clusterrolebindings", "", "all", Change::Delete);
        assert_eq!(decide(&rbac, &reader, "get", ""), r#"get in "": NoOpinion("")"#);
        assert_eq!(rbac.by_subject.len(), 2, "a subject without bindings takes no room");
        put(
            &mut rbac,
            "roles",
            "a",
            "nope",
            value!({"rules": [{"verbs": ["delete"], "apiGroups": [""], "resources": ["pods"]}]}),
        );
        assert!(decide(&rbac, &User::new("jane", &[]), "delete", "a").contains("Allow"));
    }
}
