//! The examples: a file a kind in `tests/node/examples`, an object as a user writes it and, in a second document, what
//! the walk needs to know about it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::kubectl::text;
use crate::walk::discovery::Served;

/// An example.
pub struct Example {
    /// Its file without the ending: `apps/deployments`.
    pub name: String,
    /// The object as it is written.
    pub text: String,
    /// The object as it is meant.
    pub object: Value,
    /// What the walk does with it.
    pub plan: Plan,
}

/// The second document of an example.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// A field that has a value and may be changed, as a JSON pointer.
    #[serde(default)]
    pub at: String,
    /// Its other value.
    #[serde(default)]
    pub to: Value,
    /// A status that may be written.
    pub status: Option<Value>,
    /// What the status of the answer must hold, if nothing is stored.
    pub answer: Option<Value>,
    /// Whether the answer says nothing of what was asked.
    #[serde(default)]
    pub alone: bool,
    /// The warning that comes with each answer.
    pub warning: Option<String>,
    /// What kubectl says when it applies what is there already. A field that it replaces as a whole it sends even then.
    #[serde(default = "unchanged")]
    pub again: String,
}

fn unchanged() -> String {
    "unchanged".to_owned()
}

impl Example {
    /// Whether this is an object of `kind`.
    pub fn is_of(&self, kind: &Served) -> bool {
        text(&self.object, "/kind") == kind.kind && text(&self.object, "/apiVersion") == kind.api_version()
    }

    /// The object's name.
    pub fn object_name(&self) -> &str {
        text(&self.object, "/metadata/name")
    }

    /// The value that the plan changes.
    ///
    /// # Errors
    /// When the plan names no field of the object.
    pub fn before(&self) -> Result<&Value> {
        self.object.pointer(&self.plan.at).filter(|_| !self.plan.at.is_empty()).with_context(|| {
            format!("{} must say in a second document which field (at) gets which value (to)", self.name)
        })
    }

    /// The object with the plan's change.
    ///
    /// # Errors
    /// As [`Example::before`].
    pub fn changed(&self) -> Result<Value> {
        ensure!(*self.before()? != self.plan.to, "{} changes nothing", self.name);
        let mut object = self.object.clone();
        *object.pointer_mut(&self.plan.at).context("no such field")? = self.plan.to.clone();
        Ok(object)
    }
}

/// All examples below `folder`.
///
/// # Errors
/// When one cannot be read.
pub fn all(folder: &Path) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    for group in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let group = group?;
        for file in std::fs::read_dir(group.path()).context("listing a group's examples")? {
            let path = file?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}/{stem}", group.file_name().to_string_lossy());
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
            examples.push(read(name, &text)?);
        }
    }
    Ok(examples)
}

fn read(name: String, text: &str) -> Result<Example> {
    let (text, plan) = text.split_once("\n---\n").unwrap_or((text, "{}"));
    let object = yaml(text).with_context(|| format!("reading the object of {name}"))?;
    let plan = serde_json::from_value(yaml(plan)?).with_context(|| format!("reading the plan of {name}"))?;
    Ok(Example { name, text: format!("{text}\n"), object, plan })
}

/// A YAML document.
///
/// # Errors
/// When it is none.
pub fn yaml(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).context("reading YAML")
}

/// The first field of `sent` that `got` does not have, or has with another value.
pub fn missing(sent: &Value, got: &Value) -> Option<String> {
    match (sent, got) {
        (Value::Object(fields), Value::Object(others)) => fields.iter().find_map(|(name, value)| {
            let Some(other) = others.get(name) else { return Some(format!(".{name} is not there")) };
            missing(value, other).map(|rest| format!(".{name}{rest}"))
        }),
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.find_map(|(at, (item, other))| missing(item, other).map(|rest| format!("[{at}]{rest}")))
        }
        _ => (sent != got).then(|| format!(" is {got}, not {sent}")),
    }
}
