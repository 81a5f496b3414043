//! Whether the rights one holds include the rights one wants to hand on, and which are missing.

use std::collections::BTreeMap;

use machinery::Text;

use super::rules::{ALL, Rule, path_matches};

/// The parts of `wanted`, each of one verb on one resource or path, that no rule of `held` includes; rules about the
/// same resource made one again.
#[must_use]
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(break_down);
    compact(parts.filter(|part| !held.iter().any(|rule| covers(rule, part))))
}

fn break_down(rule: &Rule) -> Vec<Rule> {
    let mut parts = Vec::new();
    let one = |text: &Text| vec![text.clone()];
    for (group, resource) in rule.groups.iter().flat_map(|g| rule.resources.iter().map(move |r| (g, r))) {
        for verb in &rule.verbs {
            let part = Rule { verbs: one(verb), groups: one(group), resources: one(resource), ..Rule::default() };
            if rule.names.is_empty() {
                parts.push(part);
            } else {
                parts.extend(rule.names.iter().map(|name| Rule { names: one(name), ..part.clone() }));
            }
        }
    }
    for path in &rule.paths {
        parts.extend(rule.verbs.iter().map(|v| Rule { verbs: one(v), paths: one(path), ..Rule::default() }));
    }
    parts
}

fn covers(held: &Rule, part: &Rule) -> bool {
    has_all(&held.verbs, &part.verbs)
        && has_all(&held.groups, &part.groups)
        && part.resources.iter().all(|resource| covers_resource(&held.resources, resource))
        && part.paths.iter().all(|path| held.paths.iter().any(|pattern| path_matches(pattern, path)))
        && (held.names.is_empty()
            || (!part.names.is_empty() && part.names.iter().all(|name| held.names.contains(name))))
}

fn has_all(held: &[Text], wanted: &[Text]) -> bool {
    held.iter().any(|text| text == ALL) || wanted.iter().all(|text| held.contains(text))
}

fn covers_resource(held: &[Text], resource: &Text) -> bool {
    held.iter().any(|pattern| {
        pattern == ALL
            || pattern == resource
            || resource.split_once('/').is_some_and(|(_, sub)| pattern.strip_prefix("*/") == Some(sub))
    })
}

fn compact(parts: impl Iterator<Item = Rule>) -> Vec<Rule> {
    let mut rules = Vec::new();
    let mut simple: BTreeMap<(Text, Text, Vec<Text>), Vec<Text>> = BTreeMap::new();
    for part in parts {
        let (true, [group], [resource]) = (part.paths.is_empty(), &part.groups[..], &part.resources[..]) else {
            rules.push(part);
            continue;
        };
        let verbs = simple.entry((group.clone(), resource.clone(), part.names)).or_default();
        let new: Vec<Text> = part.verbs.into_iter().filter(|verb| !verbs.contains(verb)).collect();
        verbs.extend(new);
    }
    rules.extend(simple.into_iter().map(|((group, resource, names), verbs)| Rule {
        verbs,
        groups: vec![group],
        resources: vec![resource],
        names,
        paths: Vec::new(),
    }));
    rules
}

#[cfg(test)]
mod tests {
    use machinery::{Value, value};

    use super::*;

    fn rules(rules: Value) -> Vec<Rule> {
        rules.as_array().unwrap_or_default().iter().map(Rule::from_value).collect()
    }

    #[test]
    fn what_is_missing() {
        let held = rules(value!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/status"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]},
            {"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}
        ]));
        let wanted = rules(value!([
            {"verbs": ["get", "delete", "create"], "apiGroups": [""], "resources": ["pods", "nodes/status"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]},
            {"verbs": ["get"], "nonResourceURLs": ["/logs/x", "/metrics"]}
        ]));
        let shown: Vec<String> = missing(&held, &wanted).iter().map(ToString::to_string).collect();
        expect_test::expect![[r#"
            {NonResourceURLs:["/metrics"], Verbs:["get"]}
            {APIGroups:[""], Resources:["nodes/status"], Verbs:["delete" "create"]}
            {APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}
            {APIGroups:[""], Resources:["secrets"], Verbs:["get"]}
            {APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn everything_covers_everything() {
        let wanted = rules(value!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
        assert!(missing(&Rule::everything(), &wanted).is_empty());
        assert_eq!(missing(&[], &wanted).len(), 1);
    }
}
