//! One RBAC rule and what it allows (API: `rbac.authorization.k8s.io/v1`, `PolicyRule`).

use std::fmt;

use machinery::field::quote;
use machinery::{Object, Text, Value};

use super::Attributes;

/// The word that stands for every verb, group, resource or path.
pub const ALL: &str = "*";

/// What may be done to what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rule {
    /// The verbs; `*` is every verb.
    pub verbs: Vec<Text>,
    /// The API groups; empty text is the core group.
    pub groups: Vec<Text>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<Text>,
    /// Names of objects; none means all objects.
    pub names: Vec<Text>,
    /// Paths outside the API, `/logs/*` say.
    pub paths: Vec<Text>,
}

impl Rule {
    /// Reads a rule of a role.
    #[must_use]
    pub fn from_value(rule: &Value) -> Self {
        Self {
            verbs: texts(rule, "verbs"),
            groups: texts(rule, "apiGroups"),
            resources: texts(rule, "resources"),
            names: texts(rule, "resourceNames"),
            paths: texts(rule, "nonResourceURLs"),
        }
    }

    /// The rules of a role, in order.
    #[must_use]
    pub fn of_role(role: &Value) -> Vec<Self> {
        role.items_at(&["rules"]).iter().map(Self::from_value).collect()
    }

    /// Everything, everywhere: what setting an aggregation rule takes.
    #[must_use]
    pub fn everything() -> [Self; 2] {
        let all = || vec![Text::from(ALL)];
        [
            Self { verbs: all(), groups: all(), resources: all(), ..Self::default() },
            Self { verbs: all(), paths: all(), ..Self::default() },
        ]
    }

    /// The rule as an object, fields in the API's order, empty ones left out.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let fields = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ];
        let used = fields.into_iter().filter(|(name, texts)| *name == "verbs" || !texts.is_empty());
        Value::Object(used.map(|(name, texts)| (name, Value::from(texts.clone()))).collect::<Object>())
    }

    /// Whether the rule allows the request.
    #[must_use]
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !contains(&self.verbs, attributes.verb) {
            return false;
        }
        if !attributes.is_resource {
            return self.paths.iter().any(|pattern| path_matches(pattern, attributes.path));
        }
        contains(&self.groups, attributes.group)
            && self.resources.iter().any(|r| resource_matches(r, attributes.resource, attributes.subresource))
            && (self.names.is_empty() || self.names.iter().any(|name| name == attributes.name))
    }
}

impl fmt::Display for Rule {
    /// As messages about missing rights write a rule: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.paths),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let shown: Vec<String> = parts
            .iter()
            .filter(|(_, texts)| !texts.is_empty())
            .map(|(name, texts)| format!("{name}:{}", quote_list(texts.iter().map(Text::as_str))))
            .collect();
        write!(f, "{{{}}}", shown.join(", "))
    }
}

/// Texts as messages list them: `["a" "b"]`.
pub fn quote_list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", texts.map(quote).collect::<Vec<_>>().join(" "))
}

/// Whether a rule's path covers `path`: the same, or a prefix before a final `*`.
pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == ALL || pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == ALL {
        return true;
    }
    if subresource.is_empty() {
        return pattern == resource;
    }
    pattern.split_once('/').is_some_and(|(r, s)| s == subresource && (r == ALL || r == resource))
}

fn contains(texts: &[Text], wanted: &str) -> bool {
    texts.iter().any(|text| text == ALL || text == wanted)
}

fn texts(rule: &Value, name: &str) -> Vec<Text> {
    rule.items_at(&[name]).iter().filter_map(Value::as_str).map(Text::from).collect()
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::*;
    use crate::User;

    fn attributes<'a>(user: &'a User, verb: &'a str, what: &'a str, name: &'a str) -> Attributes<'a> {
        if what.starts_with('/') {
            return Attributes { user, verb, path: what, ..Attributes::default() };
        }
        let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
        Attributes { user, verb, resource, subresource, name, is_resource: true, ..Attributes::default() }
    }

    #[test]
    fn what_rules_allow() {
        let user = User::anonymous();
        let pods = value!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "*/scale"]});
        let named = value!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a"]});
        let paths = value!({"verbs": ["get"], "nonResourceURLs": ["/logs/*", "/metrics"]});
        let cases = [
            (&pods, "get", "pods", "", true),
            (&pods, "list", "pods", "", false),
            (&pods, "get", "pods/log", "", false),
            (&pods, "get", "deployments/scale", "", true),
            (&pods, "get", "/metrics", "", false),
            (&named, "delete", "secrets/x", "a", true),
            (&named, "list", "secrets", "", false),
            (&paths, "get", "/logs/x/y", "", true),
            (&paths, "get", "/logs", "", false),
            (&paths, "get", "/metrics", "", true),
            (&paths, "get", "/metrics/slis", "", false),
        ];
        for (rule, verb, what, name, expected) in cases {
            let allowed = Rule::from_value(rule).allows(&attributes(&user, verb, what, name));
            assert_eq!(allowed, expected, "{verb} {what} {name}");
        }
    }

    #[test]
    fn a_rule_shows_as_messages_show_it() {
        let rule = Rule::from_value(&value!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}));
        expect_test::expect![[r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#]]
            .assert_eq(&rule.to_string());
    }
}
