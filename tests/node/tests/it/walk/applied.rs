//! The verbs that say what shall be: apply on the client's side and on the server's, diff, and a conflict of owners.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::api_server::HARBOUR;
use crate::walk::commanded;
use crate::walk::group::Group;

/// `apply` makes, leaves alone, and changes.
pub fn client_side(group: &Group) -> Result<()> {
    group.says("apply", &group.written(), "created")?;
    group.says_each("apply", &group.written(), |example| &example.plan.again)?;
    group.holds(|example| Ok(example.object.clone()))
}

/// What applying on the client's side would change.
pub fn diff(group: &Group) -> Result<()> {
    differs(group, "diff", &group.written(), &group.changed())?;
    group.holds(|example| Ok(example.object.clone()))
}

/// `diff` is silent about what `same` says, and shows each object that `other` would change.
fn differs(group: &Group, words: &str, same: &Path, other: &Path) -> Result<()> {
    let silent = group.run(words, same, 0)?;
    ensure!(silent.is_empty(), "{words} shows where nothing differs:\n{silent}");
    let shown = group.run(words, other, 1)?;
    for member in &group.members {
        let (kind, place) = (member.kind, if member.kind.namespaced { HARBOUR } else { "" });
        let api_version = kind.api_version().replace('/', ".");
        let file = format!("{api_version}.{}.{place}.{}", kind.kind, member.example.object_name());
        let heading = |line: &str| line.starts_with("diff ") && line.ends_with(&file);
        ensure!(shown.lines().any(heading), "{words} does not show {file}:\n{shown}");
    }
    Ok(())
}

/// `apply` of a change, and then the server takes over what the client applied.
pub fn server_side(group: &Group) -> Result<()> {
    group.says("apply", &group.changed(), "configured")?;
    group.holds(|example| example.changed())?;
    group.says("apply --server-side", &group.changed(), "serverside-applied")?;
    group.holds(|example| example.changed())?;
    differs(group, "diff --server-side", &group.changed(), &group.written())
}

/// Another manager that wants the field's old value meets a conflict, and gets its way by force only.
pub fn conflict(group: &Group) -> Result<()> {
    let rival = "apply --server-side --field-manager=rival";
    let ended = group.kubectl(rival).arg("-f").arg(group.written()).code(1)?;
    let met = ended.stderr.matches("Apply failed with 1 conflict: conflict with \"kubectl\": .").count();
    ensure!(met == group.members.len() && ended.stdout.is_empty(), "{met} conflicts: {}{}", ended.stdout, ended.stderr);
    for member in &group.members {
        let first = member.example.plan.at.split('/').nth(1).unwrap_or_default();
        let field = format!("conflict with \"kubectl\": .{first}");
        ensure!(ended.stderr.contains(&field), "no {field} of {}: {}", member.shown(), ended.stderr);
    }
    group.holds(|example| example.changed())?;
    group.says(&format!("{rival} --force-conflicts"), &group.written(), "serverside-applied")?;
    group.holds(|example| Ok(example.object.clone()))
}

/// As [`commanded::delete`].
pub fn delete(group: &Group) -> Result<()> {
    commanded::delete(group)
}
