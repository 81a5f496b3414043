//! A FlowSchema: which requests it is about, and what tells one flow from another.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use machinery::{Value, meta};

use crate::{RequestInfo, User};

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// A schema, read once.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// The uid of its object.
    pub uid: String,
    /// Lower comes first.
    pub precedence: i64,
    /// The name of its priority level.
    pub level: String,
    flow_by: FlowBy,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlowBy {
    Schema,
    User,
    Namespace,
}

#[derive(Debug, Clone)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Debug, Clone)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

#[derive(Debug, Clone)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    cluster_scope: bool,
}

#[derive(Debug, Clone)]
struct PathRule {
    verbs: Vec<String>,
    paths: Vec<String>,
}

impl Schema {
    /// Reads the object.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let text = |path: &[&str]| object.str_at(path).unwrap_or_default().to_owned();
        Self {
            name: meta::name(object).to_owned(),
            uid: meta::uid(object).to_owned(),
            precedence: object.int_at(&["spec", "matchingPrecedence"]).unwrap_or(1000),
            level: text(&["spec", "priorityLevelConfiguration", "name"]),
            flow_by: match object.str_at(&["spec", "distinguisherMethod", "type"]) {
                Some("ByUser") => FlowBy::User,
                Some("ByNamespace") => FlowBy::Namespace,
                _ => FlowBy::Schema,
            },
            rules: object.items_at(&["spec", "rules"]).iter().map(rule).collect(),
        }
    }

    /// Whether a request is this schema's.
    #[must_use]
    pub fn fits(&self, user: &User, info: &RequestInfo) -> bool {
        self.rules.iter().any(|rule| {
            rule.subjects.iter().any(|subject| subject.fits(user))
                && match info.is_resource_request {
                    true => rule.resources.iter().any(|rule| rule.fits(info)),
                    false => rule.paths.iter().any(|rule| rule.fits(info)),
                }
        })
    }

    /// The flow of a request within this schema.
    #[must_use]
    pub fn flow(&self, user: &User, info: &RequestInfo) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        match self.flow_by {
            FlowBy::Schema => {}
            FlowBy::User => user.name.hash(&mut hasher),
            FlowBy::Namespace => info.namespace.hash(&mut hasher),
        }
        hasher.finish()
    }
}

impl Subject {
    fn fits(&self, user: &User) -> bool {
        match self {
            Self::User(name) => name == "*" || *name == user.name,
            Self::Group(name) => name == "*" || user.is_in(name),
            Self::ServiceAccount { namespace, name } => {
                let account = user.name.strip_prefix(SERVICE_ACCOUNT).and_then(|account| account.split_once(':'));
                account.is_some_and(|(found, account)| found == namespace && (name == "*" || name == account))
            }
        }
    }
}

impl ResourceRule {
    fn fits(&self, info: &RequestInfo) -> bool {
        let in_scope = match info.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => has(&self.namespaces, namespace),
        };
        in_scope
            && has(&self.verbs, &info.verb)
            && has(&self.groups, &info.group)
            && has(&self.resources, &info.resource_path())
    }
}

impl PathRule {
    fn fits(&self, info: &RequestInfo) -> bool {
        let below = |path: &String| path.strip_suffix('*').is_some_and(|prefix| info.path.starts_with(prefix));
        has(&self.verbs, &info.verb) && (has(&self.paths, &info.path) || self.paths.iter().any(below))
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

fn rule(rule: &Value) -> Rule {
    Rule {
        subjects: rule.items_at(&["subjects"]).iter().filter_map(subject).collect(),
        resources: rule.items_at(&["resourceRules"]).iter().map(resource_rule).collect(),
        paths: rule.items_at(&["nonResourceRules"]).iter().map(path_rule).collect(),
    }
}

fn subject(subject: &Value) -> Option<Subject> {
    let text = |path: &[&str]| subject.str_at(path).unwrap_or_default().to_owned();
    match subject.str_at(&["kind"])? {
        "User" => Some(Subject::User(text(&["user", "name"]))),
        "Group" => Some(Subject::Group(text(&["group", "name"]))),
        "ServiceAccount" => Some(Subject::ServiceAccount {
            namespace: text(&["serviceAccount", "namespace"]),
            name: text(&["serviceAccount", "name"]),
        }),
        _ => None,
    }
}

fn resource_rule(rule: &Value) -> ResourceRule {
    ResourceRule {
        verbs: texts(rule, "verbs"),
        groups: texts(rule, "apiGroups"),
        resources: texts(rule, "resources"),
        namespaces: texts(rule, "namespaces"),
        cluster_scope: rule.bool_at(&["clusterScope"]).unwrap_or(false),
    }
}

fn path_rule(rule: &Value) -> PathRule {
    PathRule { verbs: texts(rule, "verbs"), paths: texts(rule, "nonResourceURLs") }
}

fn texts(object: &Value, field: &str) -> Vec<String> {
    object.items_at(&[field]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap;
    use crate::query::Query;

    #[test]
    fn what_the_server_comes_with() {
        let objects = bootstrap::flow_control();
        let mut schemas: Vec<Schema> =
            objects.iter().filter(|o| meta::kind(o) == "FlowSchema").map(Schema::read).collect();
        schemas.sort_by_key(|schema| schema.precedence);
        let all = "system:authenticated";
        let cases = [
            (User::new("admin", &["system:masters", all]), "GET", "/api/v1/pods"),
            (User::new("system:node:a", &["system:nodes", all]), "PATCH", "/api/v1/nodes/a/status"),
            (User::new("system:node:a", &["system:nodes", all]), "GET", "/api/v1/pods"),
            (User::new("system:kube-scheduler", &[all]), "PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"),
            (User::new("system:serviceaccount:kube-system:x", &["system:serviceaccounts", all]), "GET", "/api/v1/pods"),
            (User::new("system:serviceaccount:a:x", &["system:serviceaccounts", all]), "GET", "/api/v1/pods"),
            (User::new("jane", &[all]), "GET", "/api/v1/pods"),
            (User::anonymous(), "GET", "/livez"),
            (User::new("odd", &[]), "GET", "/version"),
        ];
        let shown = cases.map(|(user, method, path)| {
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::default());
            let found = schemas.iter().find(|schema| schema.fits(&user, &info));
            format!("{} {method} {path}: {}", user.name, found.map_or("none", |schema| &schema.name))
        });
        expect_test::expect![[r#"
            admin GET /api/v1/pods: exempt
            system:node:a PATCH /api/v1/nodes/a/status: system-node-high
            system:node:a GET /api/v1/pods: system-nodes
            system:kube-scheduler PUT /apis/coordination.k8s.io/v1/namespaces/a/leases/b: system-leader-election
            system:serviceaccount:kube-system:x GET /api/v1/pods: kube-system-service-accounts
            system:serviceaccount:a:x GET /api/v1/pods: service-accounts
            jane GET /api/v1/pods: global-default
            system:anonymous GET /livez: probes
            odd GET /version: none"#]]
        .assert_eq(&shown.join("\n"));
    }
}
