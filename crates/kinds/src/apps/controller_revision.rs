//! ControllerRevision: a snapshot of what a controller made pods from.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::kind::{BASE, Kind, MetadataChecks};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, int, text};
use crate::validate::non_negative_at;

const REVISION: &str = "io.k8s.api.apps.v1.ControllerRevision";

/// The kind.
pub static KIND: Kind = Kind {
    group: "apps",
    kind: "ControllerRevision",
    plural: "controllerrevisions",
    storage: "controllerrevisions",
    schema: REVISION,
    columns: &[
        NAME,
        text("Controller", Describe::Text("Controller of the object")),
        text("Revision", Describe::Field(REVISION, "revision")),
        AGE,
    ],
    row,
    validate: |revision| {
        let mut errors = number(revision);
        errors.extend(data(revision.get("data")));
        errors
    },
    validate_update: |new, old| {
        let mut errors = number(new);
        errors.extend(immutable(new.get("data"), old.get("data"), &Path::new("data")));
        errors
    },
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(revision: &Value, now: Timestamp) -> Vec<Value> {
    let owner = meta::controller(revision).map(|owner| {
        let part = |field: &str| owner.str_at(&[field]).unwrap_or_default();
        let (group, _) = part("apiVersion").rsplit_once('/').unwrap_or_default();
        let kind = part("kind").to_lowercase();
        let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
        format!("{kind}/{}", part("name"))
    });
    vec![
        meta::name(revision).into(),
        owner.unwrap_or_else(|| "<none>".to_owned()).into(),
        int(revision, &["revision"]),
        age(revision, now),
    ]
}

fn number(revision: &Value) -> Errors {
    non_negative_at(revision, "revision", &Path::default()).into_iter().collect()
}

fn data(data: Option<&Value>) -> Option<Error> {
    let detail = match data {
        None | Some(Value::Null) => "data is mandatory",
        Some(Value::Object(_)) => return None,
        Some(_) => "data must be a valid JSON object",
    };
    Some(Error::required(&Path::new("data"), detail))
}
