//! Conflicts: fields that an applied configuration would change and others own.

use std::collections::BTreeMap;

use super::managers::Identity;
use super::set::Set;
use crate::Status;
use crate::status::Cause;

/// One field that someone else owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner, as messages name it: `"m1"`, `"editor" using v1`.
    pub owner: String,
    /// The field, `.spec.replicas`.
    pub path: String,
}

/// The conflicts in order of owner and field.
pub(super) fn list(conflicts: &BTreeMap<Identity, Set>) -> Vec<Conflict> {
    let of = |(identity, set): (&Identity, &Set)| {
        let owner = identity.to_string();
        set.paths().into_iter().map(move |path| Conflict { owner: owner.clone(), path }).collect::<Vec<_>>()
    };
    conflicts.iter().flat_map(of).collect()
}

/// The message about all of them.
pub(super) fn message(conflicts: &[Conflict]) -> String {
    if let [Conflict { owner, path }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {owner}: {path}");
    }
    let mut lines: Vec<String> = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.owner) {
            lines.push(format!("conflicts with {}:", conflict.owner));
            last = Some(&conflict.owner);
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

/// The API's answer.
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let cause = |conflict: &Conflict| Cause {
        reason: "FieldManagerConflict".into(),
        message: format!("conflict with {}", conflict.owner),
        field: conflict.path.clone(),
    };
    Status::apply_conflict(message(conflicts), conflicts.iter().map(cause).collect())
}
