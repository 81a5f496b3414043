//! The objects that a fresh API server makes by itself, from recorded facts into the API server's own compact texts.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The label that every recorded RBAC object carries; the text leaves it out.
const BOOTSTRAPPING: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");
/// The annotation that every recorded RBAC object carries; the text leaves it out.
const AUTOUPDATE: (&str, &str) = ("rbac.authorization.kubernetes.io/autoupdate", "true");
const AGGREGATE: &str = "rbac.authorization.k8s.io/";

/// Reads `facts/bootstrap` and writes `rbac.txt`, `flow_schemas.yaml` and `priority_levels.yaml` into `out`.
///
/// # Errors
/// A file cannot be read or written, or a recorded object has something that the compact form cannot say.
pub fn run(facts: &Path, out: &Path) -> Result<()> {
    let folder = facts.join("bootstrap");
    let mut text =
        "# RBAC objects of a fresh cluster. Written by `cargo xtask codegen`; the form is told in rbac.rs.\n"
            .to_owned();
    for file in ["clusterroles", "clusterrolebindings", "roles", "rolebindings"] {
        for object in read(&folder, file)? {
            write_rbac(&object, &mut text).with_context(|| format!("{file}: {}", name(&object)))?;
        }
    }
    save(&out.join("rbac.txt"), &text)?;
    for (file, to) in [("flowschemas", "flow_schemas"), ("prioritylevelconfigurations", "priority_levels")] {
        let mut text = "# Name and spec, one object a line. Written by `cargo xtask codegen`.\n".to_owned();
        for object in read(&folder, file)? {
            writeln!(text, "{}: {}", name(&object), object["spec"])?;
        }
        save(&out.join(to).with_extension("yaml"), &text)?;
    }
    Ok(())
}

fn read(folder: &Path, file: &str) -> Result<Vec<Value>> {
    let path = folder.join(file).with_extension("json");
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn write_rbac(object: &Value, text: &mut String) -> Result<()> {
    ensure!(object["metadata"]["labels"][BOOTSTRAPPING.0] == BOOTSTRAPPING.1, "the bootstrapping label is missing");
    ensure!(object["metadata"]["annotations"][AUTOUPDATE.0] == AUTOUPDATE.1, "the autoupdate annotation is missing");
    let kind = string(&object["kind"])?;
    write!(text, "\n{kind} ")?;
    if let Some(namespace) = object["metadata"]["namespace"].as_str() {
        write!(text, "{namespace}/")?;
    }
    writeln!(text, "{}", name(object))?;
    if kind.ends_with("Binding") { write_binding(object, text) } else { write_role(object, text) }
}

fn write_role(role: &Value, text: &mut String) -> Result<()> {
    for label in role["metadata"]["labels"].as_object().into_iter().flatten().map(|(label, _)| label) {
        if let Some(to) = label.strip_prefix(AGGREGATE) {
            writeln!(text, "  labelled {to}")?;
        }
    }
    for selector in role["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten() {
        let labels = selector["matchLabels"].as_object().context("a selector without matchLabels")?;
        let label = labels.keys().next().and_then(|label| label.strip_prefix(AGGREGATE));
        writeln!(text, "  gathers {}", label.context("a selector of another label")?)?;
    }
    for rule in role["rules"].as_array().into_iter().flatten() {
        write_rule(rule, text)?;
    }
    Ok(())
}

fn write_rule(rule: &Value, text: &mut String) -> Result<()> {
    write!(text, "  {}", words(&rule["verbs"])?)?;
    if rule["nonResourceURLs"].is_array() {
        writeln!(text, " at {}", words(&rule["nonResourceURLs"])?)?;
        return Ok(());
    }
    write!(text, " on {} in {}", words(&rule["resources"])?, words(&rule["apiGroups"])?)?;
    if rule["resourceNames"].is_array() {
        write!(text, " named {}", words(&rule["resourceNames"])?)?;
    }
    writeln!(text)?;
    Ok(())
}

fn write_binding(binding: &Value, text: &mut String) -> Result<()> {
    let role = &binding["roleRef"];
    writeln!(text, "  grants {}/{}", string(&role["kind"])?, string(&role["name"])?)?;
    for subject in binding["subjects"].as_array().into_iter().flatten() {
        let (kind, name) = (string(&subject["kind"])?, string(&subject["name"])?);
        match subject["namespace"].as_str() {
            Some(namespace) => writeln!(text, "  to {kind}/{namespace}/{name}")?,
            None => writeln!(text, "  to {kind}/{name}")?,
        }
    }
    Ok(())
}

/// A list as words; the core group's empty name is the word `core`.
fn words(list: &Value) -> Result<String> {
    let words: Vec<&str> = list.as_array().context("a list is missing")?.iter().filter_map(Value::as_str).collect();
    if words.is_empty() || words.iter().any(|word| word.contains(' ') || ["on", "in", "at", "named"].contains(word)) {
        bail!("the words {words:?} cannot be told apart");
    }
    Ok(words.iter().map(|word| if word.is_empty() { "core" } else { word }).collect::<Vec<_>>().join(" "))
}

fn string(value: &Value) -> Result<&str> {
    value.as_str().context("a text is missing")
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
