//! The options of deletions, from the body or, without one, from the query.

use machinery::field::{Error, Errors, Path};
use machinery::{Status, Value};

use super::{check_dry_run, checked};
use crate::query::Query;

/// What becomes of the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted first.
    Foreground,
    /// They are deleted afterwards.
    Background,
    /// They stay.
    Orphan,
}

/// What must be true of the object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Its uid.
    pub uid: Option<String>,
    /// Its resourceVersion.
    pub resource_version: Option<String>,
}

/// The options of a deletion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// How long the object may take to end.
    pub grace_period_seconds: Option<i64>,
    /// What must be true of the object.
    pub preconditions: Preconditions,
    /// What becomes of what it owns.
    pub propagation: Option<Propagation>,
    /// The older form of the same.
    pub orphan_dependents: Option<bool>,
    /// Whether nothing may change.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads the options from the query.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn from_query(query: &Query) -> Result<Self, Status> {
        let seconds = query.number("gracePeriodSeconds").map_err(Status::bad_request)?;
        let dry_run: Vec<String> = query.all("dryRun").map(str::to_owned).collect();
        let options = Self {
            grace_period_seconds: seconds,
            orphan_dependents: query.truth("orphanDependents"),
            dry_run: !dry_run.is_empty(),
            ..Self::default()
        };
        options.check(query.get("propagationPolicy"), &dry_run)
    }

    /// Reads the options from a decoded body.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn from_body(body: &Value) -> Result<Self, Status> {
        let text = |path: &[&str]| body.str_at(path).map(str::to_owned);
        let dry_run: Vec<String> =
            body.items_at(&["dryRun"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let options = Self {
            grace_period_seconds: body.int_at(&["gracePeriodSeconds"]),
            preconditions: Preconditions {
                uid: text(&["preconditions", "uid"]),
                resource_version: text(&["preconditions", "resourceVersion"]),
            },
            propagation: None,
            orphan_dependents: body.bool_at(&["orphanDependents"]),
            dry_run: !dry_run.is_empty(),
        };
        options.check(body.str_at(&["propagationPolicy"]), &dry_run)
    }

    fn check(mut self, policy: Option<&str>, dry_run: &[String]) -> Result<Self, Status> {
        let (mut errors, field) = (Errors::new(), Path::new("propagationPolicy"));
        if let (Some(policy), Some(_)) = (policy, self.orphan_dependents) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(Error::invalid(&field, policy, detail));
        }
        self.propagation = match policy {
            None => None,
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Background") => Some(Propagation::Background),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(Error::not_supported(&field, other, &supported));
                None
            }
        };
        check_dry_run(dry_run, &mut errors);
        checked("DeleteOptions", &errors).map(|()| self)
    }
}
