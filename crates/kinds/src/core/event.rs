//! Event: a note about what happened to an object; both groups share one store.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Text, Value, meta, names};

use crate::kind::{BASE, Conversion, Kind, NameRule, Selectable, Writes, path_value, settle};
use crate::strategy::{immutable, immutable_part};
use crate::table::{Describe, NAME, since, str, text};

const EVENT: &str = "io.k8s.api.core.v1.Event";
const MAX_FIELD_LENGTH: usize = 128;
const MAX_MESSAGE_LENGTH: usize = 1024;

/// The core group's kind: the stored form.
pub static KIND: Kind = Kind {
    kind: "Event",
    plural: "events",
    short_names: &["ev"],
    storage: "events",
    schema: EVENT,
    columns: &[
        text("Last Seen", Describe::Field(EVENT, "lastTimestamp")),
        text("Type", Describe::Field(EVENT, "type")),
        text("Reason", Describe::Field(EVENT, "reason")),
        text("Object", Describe::Field(EVENT, "involvedObject")),
        text("Subobject", Describe::Field("io.k8s.api.core.v1.ObjectReference", "fieldPath")).wide(),
        text("Source", Describe::Field(EVENT, "source")).wide(),
        text("Message", Describe::Field(EVENT, "message")),
        text("First Seen", Describe::Field(EVENT, "firstTimestamp")).wide(),
        text("Count", Describe::Field(EVENT, "count")).wide(),
        NAME.wide(),
    ],
    row,
    selectable: CORE_FIELDS,
    writes: Writes { create_on_update: true, unconditional: true },
    expires: true,
    name: NameRule::PathSegment,
    validate: |event| legacy(event, "reportingComponent"),
    validate_update: |new, _| legacy(new, "reportingComponent"),
    ..BASE
};

/// The kind of `events.k8s.io`: another form of the same objects. Its checks read the stored form.
pub static EVENTS_KIND: Kind = Kind {
    group: "events.k8s.io",
    kind: "Event",
    plural: "events",
    short_names: &["ev"],
    storage: "events",
    schema: "io.k8s.api.events.v1.Event",
    columns: KIND.columns,
    row: |event, now| row(&stored(event), now),
    selectable: EVENTS_FIELDS,
    writes: KIND.writes,
    expires: true,
    name: KIND.name,
    stored_as: Some(Conversion { kind: &KIND, to_stored, from_stored }),
    validate: |event| validate_new(&stored(event)),
    validate_update: |new, old| validate_new_update(&stored(new), &stored(old)),
    ..BASE
};

/// The names of the fields in the two groups: core, then events.k8s.io.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

macro_rules! fields {
    ($($name:literal => $value:tt),* $(,)?) => {
        &[$(Selectable { name: $name, get: fields!(@get $value) }),*]
    };
    (@get $path:literal) => { |event| path_value(event, $path) };
    (@get $get:ident) => { $get };
}

const CORE_FIELDS: &[Selectable] = fields![
    "involvedObject.kind" => "involvedObject.kind",
    "involvedObject.namespace" => "involvedObject.namespace",
    "involvedObject.name" => "involvedObject.name",
    "involvedObject.uid" => "involvedObject.uid",
    "involvedObject.apiVersion" => "involvedObject.apiVersion",
    "involvedObject.resourceVersion" => "involvedObject.resourceVersion",
    "involvedObject.fieldPath" => "involvedObject.fieldPath",
    "reason" => "reason",
    "reportingComponent" => "reportingComponent",
    "type" => "type",
    "metadata.namespace" => "metadata.namespace",
    "metadata.name" => "metadata.name",
    // What has no source has a reporter.
    "source" => source,
];

const EVENTS_FIELDS: &[Selectable] = fields![
    "regarding.kind" => "involvedObject.kind",
    "regarding.namespace" => "involvedObject.namespace",
    "regarding.name" => "involvedObject.name",
    "regarding.uid" => "involvedObject.uid",
    "regarding.apiVersion" => "involvedObject.apiVersion",
    "regarding.resourceVersion" => "involvedObject.resourceVersion",
    "regarding.fieldPath" => "involvedObject.fieldPath",
    "reason" => "reason",
    "reportingController" => "reportingComponent",
    "type" => "type",
    "metadata.namespace" => "metadata.namespace",
    "metadata.name" => "metadata.name",
];

fn source(event: &Value) -> Text {
    let component = path_value(event, "source.component");
    if component.is_empty() { path_value(event, "reportingComponent") } else { component }
}

fn row(event: &Value, now: Timestamp) -> Vec<Value> {
    let time = |path: &[&str]| event.str_at(path).filter(|text| !text.is_empty());
    let first = time(&["firstTimestamp"]).or_else(|| time(&["eventTime"])).unwrap_or_default();
    let mut last = time(&["lastTimestamp"]).unwrap_or(first);
    let mut count = event.int_at(&["count"]).unwrap_or_default();
    if let Some(series) = event.get("series").filter(|series| !series.is_null()) {
        last = series.str_at(&["lastObservedTime"]).unwrap_or_default();
        count = series.int_at(&["count"]).unwrap_or_default();
    } else if count == 0 {
        count = 1;
    }
    vec![
        since(last, now),
        str(event, &["type"]),
        str(event, &["reason"]),
        target(event).into(),
        str(event, &["involvedObject", "fieldPath"]),
        reporter(event).into(),
        event.str_at(&["message"]).unwrap_or_default().trim().into(),
        since(first, now),
        count.into(),
        meta::name(event).into(),
    ]
}

fn target(event: &Value) -> String {
    let kind = event.str_at(&["involvedObject", "kind"]).unwrap_or_default().to_lowercase();
    match event.str_at(&["involvedObject", "name"]).unwrap_or_default() {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn reporter(event: &Value) -> String {
    let pick = |old: &[&str], new: &str| {
        let old = event.str_at(old).filter(|text| !text.is_empty());
        old.or_else(|| event.str_at(&[new])).unwrap_or_default()
    };
    let parts = [pick(&["source", "component"], "reportingComponent"), pick(&["source", "host"], "reportingInstance")];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

fn to_stored(event: &mut Value) {
    rename(event, |name| RENAMED.iter().find(|(_, new)| *new == name).map(|(core, _)| *core));
    meta::set_type(event, "v1", KIND.kind);
    settle(KIND.schema, event);
}

fn stored(event: &Value) -> Value {
    let mut event = event.clone();
    to_stored(&mut event);
    event
}

fn from_stored(event: &mut Value) {
    rename(event, |name| RENAMED.iter().find(|(core, _)| *core == name).map(|(_, new)| *new));
    meta::set_type(event, "events.k8s.io/v1", EVENTS_KIND.kind);
    settle(EVENTS_KIND.schema, event);
}

fn rename(event: &mut Value, other: impl Fn(&str) -> Option<&'static str>) {
    let Some(fields) = event.as_object_mut() else { return };
    *fields = std::mem::take(fields)
        .into_iter()
        .map(|(name, value)| (other(&name).map_or(name, Text::from), value))
        .collect::<Object>();
}

/// The checks of both groups; an event with an `eventTime` is of the new kind.
fn legacy(event: &Value, controller_field: &str) -> Errors {
    let namespace = meta::namespace(event);
    let about = event.str_at(&["involvedObject", "namespace"]).unwrap_or_default();
    let is_new = event.str_at(&["eventTime"]).is_some_and(|time| !time.is_empty());
    let mut errors = Errors::new();
    let agrees = match (is_new, about) {
        (false, "") => matches!(namespace, "" | "default"),
        (false, about) => namespace == about,
        (true, "") => matches!(namespace, "default" | "kube-system"),
        (true, _) => true,
    };
    if !agrees {
        let detail = "does not match event.namespace";
        errors.push(Error::invalid(&Path::new("involvedObject.namespace"), about, detail));
    }
    if is_new {
        let controller = event.str_at(&["reportingComponent"]).unwrap_or_default();
        let path = Path::new(controller_field);
        errors.extend(crate::validate::required(Some(controller), &path, ""));
        errors.extend(crate::validate::text(names::is_qualified_name, controller, &path));
        for field in ["reportingInstance", "action", "reason"] {
            let value = event.str_at(&[field]);
            errors.extend(crate::validate::required(value, &Path::new(field), ""));
            errors.extend(too_long(value, field, MAX_FIELD_LENGTH));
        }
        errors.extend(too_long(event.str_at(&["message"]), "message", MAX_MESSAGE_LENGTH));
    }
    errors
}

fn too_long(value: Option<&str>, field: &str, limit: usize) -> Option<Error> {
    let long = value.is_some_and(|value| value.len() > limit);
    long.then(|| Error::invalid(&Path::new(field), "", format!("can have at most {limit} characters")))
}

fn validate_new(event: &Value) -> Errors {
    let mut errors = legacy(event, "reportingController");
    errors.extend(series(event));
    if event.str_at(&["eventTime"]).is_none_or(str::is_empty) {
        errors.push(Error::required(&Path::new("eventTime"), ""));
    }
    let kind = event.str_at(&["type"]).unwrap_or_default();
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(Error::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        let set = match event.get(field) {
            None | Some(Value::Null | Value::Int(0)) => false,
            Some(Value::Object(source)) => !source.is_empty(),
            Some(_) => true,
        };
        if set {
            errors.push(Error::invalid(&Path::new(field), "", "needs to be unset"));
        }
    }
    errors
}

fn series(event: &Value) -> Errors {
    let Some(series) = event.get("series").filter(|series| !series.is_null()) else { return Errors::new() };
    let mut errors = Errors::new();
    if series.int_at(&["count"]).unwrap_or_default() < 2 {
        errors.push(Error::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if series.str_at(&["lastObservedTime"]).is_none_or(str::is_empty) {
        errors.push(Error::required(&Path::new("series.lastObservedTime"), ""));
    }
    errors
}

fn validate_new_update(new: &Value, old: &Value) -> Errors {
    let mut errors = legacy(new, "reportingController");
    if new.get("series") != old.get("series") {
        errors.extend(series(new));
    }
    let fixed = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        // Upstream looks at it twice, and says so twice.
        "reason",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ];
    for field in fixed {
        let name = if field == "reportingComponent" { "reportingController" } else { field };
        let (new, old, path) = (new.get(field), old.get(field), Path::new(name));
        errors.extend(match field {
            "involvedObject" | "related" => immutable_part("io.k8s.api.core.v1.ObjectReference", new, old, &path),
            "source" => immutable_part("io.k8s.api.core.v1.EventSource", new, old, &path),
            _ => immutable(new, old, &path),
        });
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn conversion_renames_and_back() {
        let mut core = value!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"kind": "Pod"}, "message": "m"});
        settle(KIND.schema, &mut core);
        let mut event = core.clone();
        from_stored(&mut event);
        assert_eq!(event.str_at(&["note"]), Some("m"));
        assert_eq!(event.str_at(&["regarding", "kind"]), Some("Pod"));
        to_stored(&mut event);
        assert_eq!(event, core);
    }
}
