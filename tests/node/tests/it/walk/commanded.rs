//! The verbs that say what to do: create, get, describe, explain, label, annotate, patch, replace, delete.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::walk::group::{Group, Member};

/// Kinds that are kept from going while they may be in use.
const PROTECTED: &[&str] = &["PersistentVolume", "PersistentVolumeClaim", "VolumeAttributesClass"];

const FIND: &str = "get -o name --ignore-not-found";

/// A label's and an annotation's patch, which every kind takes.
const STRATEGIC: &str = r#"{"metadata":{"labels":{"walk/strategic":"yes"}}}"#;
const MERGE: &str = r#"{"metadata":{"annotations":{"walk/merge":"yes","walk/note":null}}}"#;

/// `explain` names group, kind and version and has fields.
pub fn explain(group: &Group) -> Result<()> {
    for member in &group.members {
        let kind = member.kind;
        let words = format!("explain {} --api-version={}", kind.plural, kind.api_version());
        let ended = group.kubectl(&words).code(0)?;
        group.quiet(&ended)?;
        let heads = [format!("KIND:       {}", kind.kind), format!("VERSION:    {}", kind.version)];
        for line in heads.iter().map(String::as_str).chain(["DESCRIPTION:", "FIELDS:"]) {
            ensure!(ended.stdout.lines().any(|has| has == line), "{words} has no line {line}:\n{}", ended.stdout);
        }
    }
    Ok(())
}

/// `create -f`.
pub fn create(group: &Group) -> Result<()> {
    group.says("create", &group.written(), "created")
}

/// `get` as tables and as YAML, which holds all that was sent.
pub fn get(group: &Group) -> Result<()> {
    for words in ["get", "get -o wide"] {
        let said = group.run(words, &group.written(), 0)?;
        for member in &group.members {
            let named = |line: &str| line.split_whitespace().next().is_some_and(|cell| is_named(cell, member));
            ensure!(said.lines().any(named), "{words} does not show {}:\n{said}", member.shown());
        }
        ensure!(said.lines().any(|line| line.contains("NAME") || line.contains("LAST SEEN")), "no columns:\n{said}");
    }
    group.holds(|example| Ok(example.object.clone()))
}

/// Whether the first cell of a row is about `member`; events show their age first, and no name.
fn is_named(cell: &str, member: &Member) -> bool {
    cell == member.shown() || cell == member.example.object_name() || member.kind.kind == "Event"
}

/// `describe` shows each by its name.
pub fn describe(group: &Group) -> Result<()> {
    let said = group.run("describe", &group.written(), 0)?;
    for member in &group.members {
        let name = member.example.object_name();
        let named = |line: &str| line.strip_prefix("Name:").is_some_and(|rest| rest.trim() == name);
        ensure!(said.lines().any(named), "describe does not show {}:\n{said}", member.shown());
    }
    Ok(())
}

/// `label` and `annotate`, and both again, which is nothing new.
pub fn label(group: &Group) -> Result<()> {
    let files = group.written();
    group.says("label walk/label=yes", &files, "labeled")?;
    group.says("label walk/label=yes", &files, "not labeled")?;
    group.says("annotate walk/note=yes", &files, "annotated")
}

/// `patch` of each of its types.
pub fn patch(group: &Group) -> Result<()> {
    let files = group.written();
    group.says(&format!("patch --type strategic -p {STRATEGIC}"), &files, "patched")?;
    group.says(&format!("patch --type merge -p {MERGE}"), &files, "patched")?;
    for member in &group.members {
        let (at, from, to) = (&member.example.plan.at, member.example.before()?, &member.example.plan.to);
        let patch = json!([{"op": "test", "path": at, "value": from}, {"op": "replace", "path": at, "value": to}]);
        let line = group.kubectl("patch -o json --type json -p").arg(patch.to_string());
        let ended = line.arg("-f").arg(group.file(member)).code(0).with_context(|| member.shown())?;
        group.quiet(&ended)?;
        let object: Value = serde_json::from_str(&ended.stdout).context("reading what was patched")?;
        ensure!(object.pointer(at) == Some(to), "{} has another {at}: {object}", member.shown());
        let labels = &object["metadata"]["labels"];
        ensure!(labels["walk/strategic"] == "yes" && labels["walk/label"] == "yes", "labels are lost: {labels}");
        let notes = &object["metadata"]["annotations"];
        ensure!(notes["walk/merge"] == "yes" && notes["walk/note"].is_null(), "the annotations are {notes}");
    }
    group.holds(|example| example.changed())
}

/// `replace -f` brings the object back as it is written.
pub fn replace(group: &Group) -> Result<()> {
    group.says("replace", &group.written(), "replaced")?;
    group.holds(|example| Ok(example.object.clone()))
}

/// `delete -f`, and then it is not found.
pub fn delete(group: &Group) -> Result<()> {
    let said = group.run("delete --wait=false", &group.written(), 0)?;
    for member in &group.members {
        ensure!(said.lines().any(|line| line == member.deleted()), "delete says, not {:?}:\n{said}", member.deleted());
    }
    for member in &group.members {
        release(group, member)?;
    }
    let left = group.run(FIND, &group.written(), 0)?;
    ensure!(left.is_empty(), "still there:\n{left}");
    Ok(())
}

/// What a controller would do before the object may go.
fn release(group: &Group, member: &Member) -> Result<()> {
    let name = member.example.object_name();
    match member.kind.kind.as_str() {
        "Namespace" => {
            let path = format!("/api/v1/namespaces/{name}/finalize");
            let end = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {}});
            group.kubectl("replace -f - --raw").arg(path).input(end.to_string()).ok().map(drop)
        }
        // Replacing an object by one without finalizers has taken them away.
        kind if PROTECTED.contains(&kind) && !group.run(FIND, &group.file(member), 0)?.is_empty() => {
            let line = group.kubectl("patch --type merge").arg("-p").arg(r#"{"metadata":{"finalizers":null}}"#);
            line.arg("-f").arg(group.file(member)).ok().map(drop)
        }
        _ => Ok(()),
    }
}
