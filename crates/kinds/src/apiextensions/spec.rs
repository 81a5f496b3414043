//! The specification of a definition: group, scope, versions and what they hold.
//!
//! What all versions say alike is checked once and told at the top (`spec.validation` rather than
//! `spec.versions[0].schema`), as if the definition had the older form in which it stood there.

use machinery::Value;
use machinery::field::{Error, Errors, Path};
use machinery::names as text;

use super::{column, conversion, names, schema};
use crate::strategy::immutable;
use crate::validate::one_of;

const VERSION: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion";
const MAX_WARNING_BYTES: usize = 256;

/// What is wrong with the specification of a definition.
pub(super) fn check(definition: &Value, old: Option<&Value>) -> Errors {
    let path = Path::new("spec");
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let before = old.and_then(|old| old.get("spec"));
    let mut errors: Errors = group(spec, &path.child("group")).into_iter().collect();
    match spec.str_at(&["scope"]).unwrap_or_default() {
        "" => errors.push(Error::required(&path.child("scope"), "")),
        scope => errors.extend(one_of(scope, &["Cluster", "Namespaced"], &path.child("scope"))),
    }
    let versions = Versions::of(spec);
    errors.extend(versions.check(before, &path));
    let own = spec.get("names").unwrap_or(&Value::Null);
    errors.extend(names::check_present(own, &path.child("names")));
    errors.extend(names::check(own, &path.child("names")));
    errors.extend(versions.check_common(before, &path));
    let wanted = spec.get("conversion").unwrap_or(&Value::Null);
    if !wanted.is_null() {
        let old = before.and_then(|before| before.get("conversion"));
        errors.extend(conversion::check(wanted, old, &path.child("conversion")));
    }
    if let Some(old) = old {
        errors.extend(unchanged(spec, old, &path));
    }
    errors
}

fn group(spec: &Value, path: &Path) -> Option<Error> {
    let group = spec.str_at(&["group"]).unwrap_or_default();
    if group.is_empty() {
        return Some(Error::required(path, ""));
    }
    let problems = text::is_dns1123_subdomain(group);
    if !problems.is_empty() {
        return Some(Error::invalid(path, group, problems.join(",")));
    }
    let detail = "should be a domain with at least one dot";
    (!group.contains('.')).then(|| Error::invalid(path, group, detail))
}

fn unchanged(spec: &Value, old: &Value, path: &Path) -> Errors {
    let mut conditions = old.items_at(&["status", "conditions"]).iter();
    let established =
        conditions.any(|one| one.str_at(&["type"]) == Some("Established") && one.str_at(&["status"]) == Some("True"));
    let old = old.get("spec").unwrap_or(&Value::Null);
    let fields: [(bool, &[&str]); 4] = [
        (established, &["scope"]),
        (established, &["names", "kind"]),
        (true, &["group"]),
        (true, &["names", "plural"]),
    ];
    let fixed = fields.into_iter().filter(|(fixed, _)| *fixed);
    fixed.filter_map(|(_, field)| immutable(spec.at(field), old.at(field), &path.child(&field.join(".")))).collect()
}

/// The versions of a definition, and which of their parts are the same in all of them.
struct Versions<'a> {
    /// Whether there is a list at all.
    are_told: bool,
    all: &'a [Value],
    common: Vec<&'static str>,
}

/// The parts of a version that may be common to all, each with the name it then has.
const PARTS: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

impl<'a> Versions<'a> {
    fn of(spec: &'a Value) -> Self {
        let all = spec.items_at(&["versions"]);
        let same = |part: &&str| all.windows(2).all(|pair| pair[0].get(part) == pair[1].get(part));
        let are_told = spec.get("versions").is_some_and(|versions| !versions.is_null());
        Self { are_told, all, common: PARTS.iter().map(|(part, _)| *part).filter(|part| same(part)).collect() }
    }

    /// A part of a version, unless it is common to all.
    fn own(&self, version: &'a Value, part: &str) -> Option<&'a Value> {
        if self.common.contains(&part) { None } else { version.get(part).filter(|value| !value.is_null()) }
    }

    /// A part that is common to all versions.
    fn shared(&self, part: &str) -> Option<&'a Value> {
        let first = if self.common.contains(&part) { self.all.first() } else { None };
        first.and_then(|version| version.get(part)).filter(|value| !value.is_null())
    }

    fn check(&self, before: Option<&Value>, path: &Path) -> Errors {
        let versions = path.child("versions");
        let mut errors = Errors::new();
        let lacks = |version: &Value| version.at(&["schema", "openAPIV3Schema"]).is_none_or(Value::is_null);
        if self.shared("schema").is_none_or(|schema| schema.get("openAPIV3Schema").is_none()) {
            let lacking = self.all.iter().enumerate().filter(|(_, version)| lacks(version));
            errors.extend(lacking.map(|(i, _)| {
                Error::required(&versions.index(i).child("schema.openAPIV3Schema"), "schemas are required")
            }));
        }
        for (i, version) in self.all.iter().enumerate() {
            let name = version.str_at(&["name"]).unwrap_or_default();
            errors.extend(names::label(name, "", &versions.index(i).child("name")));
            errors.extend(self.check_version(version, before, &versions.index(i)));
        }
        let name = |version: &Value| version.str_at(&["name"]).unwrap_or_default().to_owned();
        let twice = self.all.iter().enumerate().any(|(i, one)| self.all[..i].iter().any(|o| name(o) == name(one)));
        if twice {
            errors.push(Error::invalid(&versions, self.shown(), "must contain unique version names"));
        }
        if self.all.iter().filter(|version| version.bool_at(&["storage"]) == Some(true)).count() != 1 {
            let detail = "must have exactly one version marked as storage version";
            errors.push(Error::invalid(&versions, self.shown(), detail));
        }
        if let Some(first) = self.all.first().and_then(|version| version.str_at(&["name"])).filter(|n| !n.is_empty()) {
            errors.extend(names::label(first, "", &path.child("version")));
        }
        errors
    }

    fn check_version(&self, version: &'a Value, before: Option<&Value>, path: &Path) -> Errors {
        let deprecated = version.bool_at(&["deprecated"]) == Some(true);
        let mut errors =
            warning(deprecated, version.str_at(&["deprecationWarning"]), &path.child("deprecationWarning"));
        let old = before
            .and_then(|spec| spec.items_at(&["versions"]).iter().find(|one| one.get("name") == version.get("name")));
        if let Some(schema) = self.own(version, "schema") {
            let old = old.and_then(|old| old.get("schema"));
            let with_status = has_status(version.get("subresources"));
            errors.extend(schema::check(schema, old, with_status, &path.child("schema")));
        }
        errors.extend(column::subresources(self.own(version, "subresources"), &path.child("subresources")));
        if let Some(columns) = self.own(version, "additionalPrinterColumns").and_then(Value::as_array) {
            errors.extend(column::columns(columns, &path.child("additionalPrinterColumns")));
        }
        if let Some(fields) = self.own(version, "selectableFields").and_then(Value::as_array) {
            let schema = version.at(&["schema", "openAPIV3Schema"]);
            errors.extend(column::selectable(fields, schema, &path.child("selectableFields")));
        }
        errors
    }

    fn check_common(&self, before: Option<&Value>, path: &Path) -> Errors {
        let mut errors = Errors::new();
        let old = before.map(Versions::of);
        if let Some(schema) = self.shared("schema") {
            let old = old.as_ref().and_then(|old| old.shared("schema"));
            let with_status = self.all.iter().any(|version| has_status(version.get("subresources")));
            errors.extend(schema::check(schema, old, with_status, &path.child("validation")));
        }
        errors.extend(column::subresources(self.shared("subresources"), &path.child("subresources")));
        if let Some(columns) = self.shared("additionalPrinterColumns").and_then(Value::as_array) {
            errors.extend(column::columns(columns, &path.child("additionalPrinterColumns")));
        }
        if let Some(fields) = self.shared("selectableFields").and_then(Value::as_array).filter(|f| !f.is_empty()) {
            let schema = self.shared("schema").and_then(|schema| schema.get("openAPIV3Schema"));
            errors.extend(column::selectable(fields, schema, &path.child("selectableFields")));
        }
        errors
    }

    /// The versions as messages show them.
    fn shown(&self) -> Value {
        if !self.are_told {
            return Value::Null;
        }
        let one = |version: &Value| {
            let mut own = version.clone();
            for part in &self.common {
                own.remove_at(&[*part]);
            }
            crate::go_shape::shown(VERSION, &own)
        };
        Value::Array(self.all.iter().map(one).collect())
    }
}

fn has_status(subresources: Option<&Value>) -> bool {
    subresources.and_then(|all| all.get("status")).is_some_and(|status| !status.is_null())
}

fn warning(deprecated: bool, warning: Option<&str>, path: &Path) -> Errors {
    let Some(warning) = warning else { return Errors::new() };
    let mut problems = Vec::new();
    if !deprecated {
        problems.push("can only be set for deprecated versions".to_owned());
    } else {
        if warning.len() > MAX_WARNING_BYTES {
            problems.push(format!("must be <= {MAX_WARNING_BYTES} characters long"));
        }
        if warning.is_empty() {
            problems.push("must not be an empty string".to_owned());
        }
        if let Some((at, _)) = warning.char_indices().find(|(_, c)| c.is_control() || (c.is_whitespace() && *c != ' '))
        {
            let what = "must only contain printable UTF-8 characters; non-printable character found at index";
            problems.push(format!("{what} {at}"));
        }
    }
    problems.into_iter().map(|problem| Error::invalid(path, warning, problem)).collect()
}
