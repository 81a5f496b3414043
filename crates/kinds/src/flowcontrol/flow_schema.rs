//! FlowSchema: which requests belong to which priority level.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use super::{FLOW_CONTROL, STATUS, check_fixed, check_status, subject};
use crate::kind::{Kind, MetadataChecks};
use crate::table::{AGE, Describe, NAME, age, int, str, str_or, text};

const SPEC: &str = "io.k8s.api.flowcontrol.v1.FlowSchemaSpec";
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
const DEFAULT_PRECEDENCE: i64 = 1000;
const MAX_PRECEDENCE: i64 = 10_000;
/// Only this schema comes before all others.
const EXEMPT: &str = "exempt";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "FlowSchema",
    plural: "flowschemas",
    storage: "flowschemas",
    schema: "io.k8s.api.flowcontrol.v1.FlowSchema",
    subresources: &[STATUS],
    columns: &[
        NAME,
        text("PriorityLevel", Describe::Field("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationReference", "name")),
        text("MatchingPrecedence", Describe::Field(SPEC, "matchingPrecedence")),
        text("DistinguisherMethod", Describe::Field(SPEC, "distinguisherMethod")),
        AGE,
        text("MissingPL", Describe::Text("references a broken or non-existent PriorityLevelConfiguration")),
    ],
    row,
    default: |schema| {
        if schema.get("spec").is_some() && schema.int_at(&["spec", "matchingPrecedence"]).unwrap_or_default() == 0 {
            schema.set_at(&["spec", "matchingPrecedence"], DEFAULT_PRECEDENCE);
        }
    },
    metadata: MetadataChecks::NEW,
    validate: check,
    validate_update: |new, _| check(new),
    ..FLOW_CONTROL
};

fn row(schema: &Value, now: Timestamp) -> Vec<Value> {
    let conditions = schema.items_at(&["status", "conditions"]).iter();
    let dangling = conditions.rev().find(|condition| condition.str_at(&["type"]) == Some("Dangling"));
    vec![
        meta::name(schema).into(),
        str(schema, &["spec", "priorityLevelConfiguration", "name"]),
        int(schema, &["spec", "matchingPrecedence"]),
        str_or(schema, &["spec", "distinguisherMethod", "type"], "<none>"),
        age(schema, now),
        dangling.map_or("?", |condition| condition.str_at(&["status"]).unwrap_or_default()).into(),
    ]
}

fn check(schema: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = schema.get("spec").unwrap_or(&Value::Null);
    let mut errors = precedence(meta::name(schema), spec, &path.child("matchingPrecedence"));
    if let Some(method) = spec.get("distinguisherMethod").filter(|value| !value.is_null()) {
        let kind = method.str_at(&["type"]).unwrap_or_default();
        if !METHODS.contains(&kind) {
            let shown = value!({"Type": kind});
            errors.push(Error::not_supported(&path.child("distinguisherMethod.type"), shown, &METHODS));
        }
    }
    let level = path.child("priorityLevelConfiguration.name");
    match spec.str_at(&["priorityLevelConfiguration", "name"]).unwrap_or_default() {
        "" => errors.push(Error::required(&level, "must reference a priority level")),
        name => errors.extend(crate::validate::text(names::is_dns1123_subdomain, name, &level)),
    }
    for (i, rule) in spec.items_at(&["rules"]).iter().enumerate() {
        errors.extend(subject::check_rule(rule, &path.child("rules").index(i)));
    }
    errors.extend(check_fixed(schema, SPEC, &fixed()));
    errors.extend(check_status(schema));
    errors
}

fn precedence(name: &str, spec: &Value, path: &Path) -> Errors {
    let precedence = spec.int_at(&["matchingPrecedence"]).unwrap_or_default();
    let mut errors = Errors::new();
    if precedence <= 0 {
        errors.push(Error::invalid(path, precedence, "must be a positive value"));
    }
    if precedence > MAX_PRECEDENCE {
        errors.push(Error::invalid(path, precedence, format!("must not be greater than {MAX_PRECEDENCE}")));
    }
    if precedence == 1 && name != EXEMPT {
        let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(Error::invalid(path, precedence, detail));
    }
    errors
}

/// The schemas that stay as the server makes them.
fn fixed() -> [(&'static str, Value); 2] {
    let everything = |groups: &[&str]| {
        let subjects = groups.iter().map(|group| value!({"kind": "Group", "group": {"name": (*group)}}));
        value!([{
            "subjects": (subjects.collect::<Vec<Value>>()),
            "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        }])
    };
    let exempt = value!({
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": (everything(&["system:masters"]))
    });
    let catch_all = value!({
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10_000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": (everything(&["system:unauthenticated", "system:authenticated"]))
    });
    [(EXEMPT, exempt), ("catch-all", catch_all)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn precedence_and_method() {
        let schema = value!({"metadata": {"name": "a"}, "spec": {
            "matchingPrecedence": 1, "distinguisherMethod": {"type": "Odd"}, "priorityLevelConfiguration": {"name": ""}}});
        expect_test::expect![[r#"[spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1, spec.distinguisherMethod.type: Unsupported value: {"Type":"Odd"}: supported values: "ByNamespace", "ByUser", spec.priorityLevelConfiguration.name: Required value: must reference a priority level]"#]]
        .assert_eq(&field::aggregate(&check(&schema)));
    }

    #[test]
    fn the_server_s_own_stay() {
        for (name, spec) in fixed() {
            let schema = value!({"metadata": {"name": name}, "spec": (spec.clone())});
            assert_eq!(check(&schema), []);
            let mut other = schema;
            other.set_at(&["spec", "rules"], value!([]));
            assert!(
                field::aggregate(&check(&other)).ends_with(&format!("spec of '{name}' must equal the fixed value"))
            );
        }
    }
}
