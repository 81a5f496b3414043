//! The table form of objects: the kind's columns, a row an object (KEP-1027's `as=Table`).

use jiff::Timestamp;
use kinds::{Column, Kind};
use machinery::field::{Error, Path};
use machinery::{Status, Value, meta, value};

use crate::query::Query;

/// How much of each object goes with its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Include {
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    Nothing,
}

impl Include {
    /// Reads the option `includeObject`.
    ///
    /// # Errors
    /// 400 for an unknown value.
    pub fn parse(query: &Query) -> Result<Self, Status> {
        match query.text("includeObject") {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::Nothing),
            other => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let error = Error::invalid(&Path::new("includeObject"), other, why);
                Err(Status::bad_request(format!("Unable to convert to Table as requested: {error}")))
            }
        }
    }
}

/// A table of `objects`; `metadata` is the list's (or the one object's version).
#[must_use]
pub fn of(kind: &Kind, objects: &[Value], metadata: Value, include: Include, now: Timestamp) -> Value {
    let columns: Vec<Value> = kind.columns.iter().map(column).collect();
    let mut table = value!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": (metadata)});
    table.set_at(&["columnDefinitions"], columns);
    table.set_at(&["rows"], rows(kind, objects, include, now));
    table
}

/// The rows alone.
#[must_use]
pub fn rows(kind: &Kind, objects: &[Value], include: Include, now: Timestamp) -> Vec<Value> {
    let mut objects: Vec<&Value> = objects.iter().collect();
    if (kind.group, kind.kind) == ("flowcontrol.apiserver.k8s.io", "FlowSchema") {
        // In the order in which requests are matched.
        objects.sort_by_key(|schema| (schema.int_at(&["spec", "matchingPrecedence"]), meta::name(schema).to_owned()));
    }
    objects.into_iter().map(|object| row(kind, object, include, now)).collect()
}

fn row(kind: &Kind, object: &Value, include: Include, now: Timestamp) -> Value {
    let mut row = value!({"cells": ((kind.row)(object, now))});
    let conditions = (kind.row_conditions)(object);
    if !conditions.is_empty() {
        row.set_at(&["conditions"], conditions);
    }
    match include {
        Include::Metadata => row.set_at(&["object"], metadata_of_row(kind, object)),
        Include::Object => row.set_at(&["object"], object.clone()),
        Include::Nothing => row.set_at(&["object"], Value::Null),
    }
    row
}

fn metadata_of_row(kind: &Kind, object: &Value) -> Value {
    let mut partial = partial(object);
    for annotation in kind.field_annotations {
        partial.remove_at(&["metadata", "annotations", annotation]);
    }
    if meta::annotations(&partial).is_some_and(machinery::Object::is_empty) {
        partial.remove_at(&["metadata", "annotations"]);
    }
    partial
}

/// The object's metadata as an object of its own.
#[must_use]
pub fn partial(object: &Value) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_else(Value::object);
    let mut partial = value!({"metadata": (metadata)});
    meta::set_type(&mut partial, "meta.k8s.io/v1", "PartialObjectMetadata");
    partial
}

/// Turns a table or metadata of `meta.k8s.io/v1` into that of `v1beta1`, with what is in it.
pub fn to_beta(shaped: &mut Value) {
    for list in ["rows", "items"] {
        let Some(Value::Array(entries)) = shaped.get_mut(list) else { continue };
        for entry in entries {
            let entry = if list == "rows" { entry.get_mut("object") } else { Some(entry) };
            entry.into_iter().for_each(rename);
        }
    }
    rename(shaped);
}

fn rename(object: &mut Value) {
    if object.str_at(&["apiVersion"]) == Some("meta.k8s.io/v1") {
        object.set_at(&["apiVersion"], "meta.k8s.io/v1beta1");
    }
}

fn column(column: &Column) -> Value {
    value!({
        "name": (column.name),
        "type": (column.kind),
        "format": (column.format),
        "description": (crate::descriptions::of(&column.describe)),
        "priority": (column.priority),
    })
}
