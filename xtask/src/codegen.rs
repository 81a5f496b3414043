//! `cargo xtask codegen`: writes the field table (`crates/machinery/src/schema/table/*.txt`) from data about the API's
//! structs (`fields-1.36.json`) and the OpenAPI v3 documents beside it.
//!
//! One file a package, one paragraph a message, one line a field; `machinery::schema::text` tells the notation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// What `cargo xtask codegen` takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder with `fields-1.36.json` and `openapi-v3/`.
    #[arg(long)]
    facts: PathBuf,
}

/// Package of the structs, API group (`-` where none is served).
const PACKAGES: &[(&str, &str)] = &[
    ("k8s.io/api/admission/v1", "admission.k8s.io"),
    ("k8s.io/api/admissionregistration/v1", "admissionregistration.k8s.io"),
    ("k8s.io/api/apidiscovery/v2", "apidiscovery.k8s.io"),
    ("k8s.io/api/apps/v1", "apps"),
    ("k8s.io/api/authentication/v1", "authentication.k8s.io"),
    ("k8s.io/api/authorization/v1", "authorization.k8s.io"),
    ("k8s.io/api/autoscaling/v1", "autoscaling"),
    ("k8s.io/api/autoscaling/v2", "autoscaling"),
    ("k8s.io/api/batch/v1", "batch"),
    ("k8s.io/api/certificates/v1", "certificates.k8s.io"),
    ("k8s.io/api/coordination/v1", "coordination.k8s.io"),
    ("k8s.io/api/core/v1", ""),
    ("k8s.io/api/discovery/v1", "discovery.k8s.io"),
    ("k8s.io/api/events/v1", "events.k8s.io"),
    ("k8s.io/api/flowcontrol/v1", "flowcontrol.apiserver.k8s.io"),
    ("k8s.io/api/networking/v1", "networking.k8s.io"),
    ("k8s.io/api/node/v1", "node.k8s.io"),
    ("k8s.io/api/policy/v1", "policy"),
    ("k8s.io/api/rbac/v1", "rbac.authorization.k8s.io"),
    ("k8s.io/api/resource/v1", "resource.k8s.io"),
    ("k8s.io/api/scheduling/v1", "scheduling.k8s.io"),
    ("k8s.io/api/storage/v1", "storage.k8s.io"),
    ("k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1", "apiextensions.k8s.io"),
    ("k8s.io/apimachinery/pkg/apis/meta/v1", "meta.k8s.io"),
    ("k8s.io/kube-aggregator/pkg/apis/apiregistration/v1", "apiregistration.k8s.io"),
];

const CORE: &str = "k8s.io/api/core/v1";
const META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1";

/// Types with a form of their own, by the last part of their name; `machinery::schema::Kind` knows each.
const SPECIAL: &[(&str, &str)] = &[
    ("Quantity", "quantity"),
    ("IntOrString", "int-or-string"),
    ("Time", "time"),
    ("MicroTime", "micro-time"),
    ("RawExtension", "raw"),
    ("FieldsV1", "fields"),
    ("JSON", "json"),
    ("interface", "json"),
    ("JSONSchemaPropsOrBool", "schema-or-bool"),
    ("JSONSchemaPropsOrArray", "schema-or-array"),
    ("JSONSchemaPropsOrStringArray", "schema-or-strings"),
];

/// Structs of the meta package that never travel, or are Go's own business.
const LEFT_OUT: &[&str] = &["Duration", "Patch", "RootPaths", "Timestamp", "Verbs"];

#[derive(Deserialize)]
struct Struct {
    #[serde(default)]
    fields: Option<Vec<Field>>,
    #[serde(default)]
    alias: Option<String>,
    #[serde(default)]
    marks: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    #[serde(default)]
    json: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    omit: String,
    #[serde(default)]
    ptr: bool,
    #[serde(default)]
    inline: bool,
    #[serde(default)]
    proto: u32,
    #[serde(default)]
    patch: String,
    #[serde(default)]
    merge_key: String,
    #[serde(default)]
    marks: BTreeMap<String, String>,
}

type Packages = BTreeMap<String, BTreeMap<String, Struct>>;

struct Facts {
    packages: Packages,
    /// OpenAPI schemas by their full name.
    schemas: BTreeMap<String, Value>,
}

/// Writes the table.
pub fn run(arguments: &Arguments) -> Result<()> {
    let facts = read(&arguments.facts)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/machinery/src/schema/table");
    fs::create_dir_all(&folder)?;
    let mut total = 0;
    for (package, group) in PACKAGES {
        let (text, messages) = facts.package(package, group)?;
        let file = folder.join(format!("{}.txt", short(package)));
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        total += messages;
    }
    println!("{total} messages in {} files of {}", PACKAGES.len(), folder.display());
    let bootstrap = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/apiserver/src/bootstrap");
    crate::codegen_metrics::run(&arguments.facts)?;
    crate::codegen_samples::run(&arguments.facts)?;
    crate::codegen_bootstrap::run(&arguments.facts, &bootstrap)
}

fn read(folder: &Path) -> Result<Facts> {
    let json = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let packages =
        serde_json::from_slice(&json(&folder.join("fields-1.36.json"))?).context("parse fields-1.36.json")?;
    let mut schemas = BTreeMap::new();
    for entry in fs::read_dir(folder.join("openapi-v3")).context("read openapi-v3")? {
        let mut document: Value = serde_json::from_slice(&json(&entry?.path())?)?;
        if let Some(Value::Object(all)) = document.pointer_mut("/components/schemas").map(Value::take) {
            schemas.extend(all);
        }
    }
    Ok(Facts { packages, schemas })
}

/// `core.v1` of `k8s.io/api/core/v1`.
fn short(package: &str) -> String {
    let mut parts = package.rsplit('/');
    let version = parts.next().unwrap_or_default();
    format!("{}.{version}", parts.next().unwrap_or_default())
}

/// `io.k8s.api.core.v1` of `k8s.io/api/core/v1`.
fn full(package: &str) -> String {
    format!("io.k8s.{}", package.trim_start_matches("k8s.io/").replace('/', "."))
}

impl Facts {
    fn package(&self, package: &str, group: &str) -> Result<(String, usize)> {
        let mut text = format!("# Written by `cargo xtask codegen`.\npackage {}\n", full(package));
        writeln!(text, "group {}", if group.is_empty() { "-" } else { group })?;
        let structs = &self.packages[package];
        let wanted = self.reachable(package);
        let mut messages = 0;
        for (name, definition) in structs {
            let fields = definition.fields.as_deref().unwrap_or_default();
            if !wanted.contains(name.as_str()) {
                continue;
            }
            messages += 1;
            let atomic = definition.marks.get("structType").is_some_and(|kind| kind == "atomic");
            writeln!(text, "\n{name}{}", if atomic { " atomic" } else { "" })?;
            for field in fields {
                self.field(package, name, field, &mut text)
                    .with_context(|| format!("{package} {name} {}", field.json))?;
            }
        }
        Ok((text, messages))
    }

    /// The structs of a package that travel: those with JSON names, special forms left out.
    fn reachable(&self, package: &str) -> BTreeSet<&str> {
        let travels = |definition: &Struct| {
            let fields = definition.fields.as_deref().unwrap_or_default();
            fields.is_empty()
                || fields.iter().any(|field| field.inline || (!field.json.is_empty() && field.json != "-"))
        };
        self.packages[package]
            .iter()
            .filter(|(name, definition)| {
                definition.alias.is_none()
                    && travels(definition)
                    && !SPECIAL.iter().any(|(special, _)| special == name)
                    && !LEFT_OUT.contains(&name.as_str())
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }

    fn field(&self, package: &str, message: &str, field: &Field, text: &mut String) -> Result<()> {
        if field.json == "-" {
            return Ok(());
        }
        if field.inline {
            writeln!(text, "  + {} {}", self.kind(package, &field.kind)?, field.proto)?;
            return Ok(());
        }
        if field.json.is_empty() {
            bail!("a field without a JSON name");
        }
        write!(text, "  {} {} {}", field.json, self.kind(package, &field.kind)?, field.proto)?;
        let mut flags: Vec<String> = Vec::new();
        if field.ptr {
            flags.push("pointer".to_owned());
        }
        match field.omit.as_str() {
            "" => {}
            "empty" => flags.push("omitempty".to_owned()),
            "empty,zero" => flags.push("omitzero".to_owned()),
            other => bail!("omit {other} is not known"),
        }
        let schema = self.schemas.get(&format!("{}.{message}", full(package)));
        if schema
            .and_then(|schema| schema["required"].as_array())
            .is_some_and(|names| names.contains(&field.json.as_str().into()))
        {
            flags.push("required".to_owned());
        }
        flags.extend(list_flag(field));
        if field.marks.get("mapType").is_some_and(|kind| kind == "atomic") {
            flags.push("map=atomic".to_owned());
        }
        if let Some(kind) = field.marks.get("structType") {
            flags.push(format!("struct={kind}"));
        }
        if !field.patch.is_empty() {
            let key = if field.merge_key.is_empty() { String::new() } else { format!(":{}", field.merge_key) };
            flags.push(format!("patch={}{key}", field.patch));
        }
        let property = schema.map(|schema| &schema["properties"][&field.json]);
        flags.extend(default_flag(field, property)?);
        flags.extend(property.and_then(enum_flag));
        for flag in flags {
            write!(text, " {flag}")?;
        }
        text.push('\n');
        Ok(())
    }

    /// The notation of a Go type.
    fn kind(&self, package: &str, go: &str) -> Result<String> {
        if go == "[]byte" {
            return Ok("bytes".to_owned());
        }
        if let Some(item) = go.strip_prefix("[]") {
            return Ok(format!("[]{}", self.kind(package, item)?));
        }
        if let Some((key, value)) = go.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
            let key = if key == "string" { String::new() } else { key.rsplit('.').next().unwrap_or(key).to_owned() };
            return Ok(format!("{{{key}}}{}", self.kind(package, value)?));
        }
        if ["string", "bool", "int32", "int64", "float64"].contains(&go) {
            return Ok(go.to_owned());
        }
        let last = go.rsplit('.').next().unwrap_or(go);
        if go.starts_with("types.") {
            return Ok(format!("{go}=string"));
        }
        if let Some((_, special)) = SPECIAL.iter().find(|(name, _)| *name == last) {
            return Ok((*special).to_owned());
        }
        let (home, definition) = self.resolve(package, go).with_context(|| format!("type {go} is nowhere"))?;
        if let Some(alias) = &definition.alias {
            let inner = self.kind(home, alias)?;
            // An alias of an alias keeps the outer name.
            let inner = inner.split_once('=').map_or(inner.as_str(), |(_, inner)| inner);
            return Ok(format!("{}.{last}={inner}", home.rsplit('/').next().unwrap_or_default()));
        }
        Ok(if home == package { last.to_owned() } else { format!("{}.{last}", full(home)) })
    }

    fn resolve<'a>(&'a self, package: &'a str, go: &str) -> Option<(&'a str, &'a Struct)> {
        let find = |package: &'a str, name: &str| self.packages.get(package)?.get(name).map(|found| (package, found));
        let Some((import, name)) = go.split_once('.') else { return find(package, go) };
        match import {
            "metav1" => find(META, name),
            "corev1" | "apiv1" => find(CORE, name),
            "authenticationv1" => find("k8s.io/api/authentication/v1", name),
            "v1" => find(CORE, name).or_else(|| find(META, name)),
            _ => None,
        }
    }
}

fn list_flag(field: &Field) -> Option<String> {
    match field.marks.get("listType")?.as_str() {
        // Lists are atomic unless they say otherwise.
        "map" => Some(format!("list=map:{}", field.marks.get("listMapKey").map_or("", String::as_str))),
        "set" => Some("list=set".to_owned()),
        _ => None,
    }
}

/// The default of a `+default` mark; a reference to a constant is looked up in OpenAPI.
fn default_flag(field: &Field, property: Option<&Value>) -> Result<Option<String>> {
    let Some(mark) = field.marks.get("default") else { return Ok(None) };
    let value = if mark.starts_with("ref(") {
        property.and_then(|property| property.get("default")).context("a default by reference without OpenAPI")?.clone()
    } else {
        serde_json::from_str(mark).context("parse the default")?
    };
    Ok(Some(format!("default={value}")))
}

fn enum_flag(property: &Value) -> Option<String> {
    let values = property.get("enum").or_else(|| property.get("items")?.get("enum"))?.as_array()?;
    let texts: Vec<_> = values.iter().filter_map(Value::as_str).collect();
    Some(format!("enum={}", texts.join("|")))
}
