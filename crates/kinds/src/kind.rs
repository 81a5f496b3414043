//! What a kind says about itself: one static declaration, and pure hooks for what is special about it.

use jiff::Timestamp;
use machinery::field::Errors;
use machinery::{Text, Value, names};

use crate::table::{self, Column};

/// Everything that is special about a kind to the API server.
///
/// Invariant: hooks are pure; they see defaulted objects in their wire form.
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The API version.
    pub version: &'static str,
    /// The kind: `Pod`.
    pub kind: &'static str,
    /// The resource in paths: `pods`.
    pub plural: &'static str,
    /// What kubectl also understands: `po`.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that kubectl knows: `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// The place in the store below `/registry/`: `pods`, `services/specs`; empty when objects are not stored.
    pub storage: &'static str,
    /// The name of the kind's schema: `io.k8s.api.core.v1.Pod`.
    pub schema: &'static str,
    /// What the resource itself can do.
    pub verbs: &'static [&'static str],
    /// What is below an object's path.
    pub subresources: &'static [Subresource],
    /// The columns of the table form.
    pub columns: &'static [Column],
    /// An object's cells, one a column.
    pub row: fn(&Value, Timestamp) -> Vec<Value>,
    /// The conditions of an object's row.
    pub row_conditions: fn(&Value) -> Vec<Value>,
    /// Annotations that upstream keeps as fields in memory: the metadata that goes with a row does not have them.
    pub field_annotations: &'static [&'static str],
    /// Which fields a field selector may name; empty: the object's name and namespace.
    pub selectable: &'static [Selectable],
    /// How a PUT may create and how it may overwrite.
    pub writes: Writes,
    /// What the kind's own check of an update looks at in the metadata, after the check that all kinds share.
    pub metadata: MetadataChecks,
    /// Whether a new object may bring a status.
    pub creates_status: bool,
    /// When `metadata.generation` counts.
    pub generation: Generation,
    /// Whether a deletion without a wish orphans what the object owns.
    pub orphans_dependents: bool,
    /// How many seconds a deletion gives the object, for kinds that end gracefully.
    pub grace: Option<fn(&Value, Option<i64>) -> i64>,
    /// Whether stored objects go by themselves after the server's event time-to-live.
    pub expires: bool,
    /// The kind in whose form objects are stored, when that is another one.
    pub stored_as: Option<Conversion>,
    /// What a name may look like.
    pub name: NameRule,
    /// What an absent field means, where a table cannot say it.
    pub default: fn(&mut Value),
    /// What a creation may not bring or gets added.
    pub prepare_create: fn(&mut Value, &Context<'_>),
    /// What an update may not change: the new object, then the old one.
    pub prepare_update: fn(&mut Value, &Value, &Context<'_>),
    /// What is wrong with a new object, its metadata aside.
    pub validate: fn(&Value) -> Errors,
    /// What is wrong with a changed object: the new one, then the old one.
    pub validate_update: fn(&Value, &Value) -> Errors,
    /// What deserves a warning: the new object, then the old one if there is one.
    pub warnings: fn(&Value, Option<&Value>) -> Vec<String>,
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The user's UID.
    pub uid: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// What else is known about the user, sorted by key.
    pub extra: &'a [(String, Vec<String>)],
    /// The time of the request.
    pub now: Timestamp,
}

/// Something below an object's path.
pub struct Subresource {
    /// The last segment of the path: `status`.
    pub name: &'static str,
    /// The group, version and kind of the body; the owner's own when the kind is empty.
    pub body: (&'static str, &'static str, &'static str),
    /// What it can do.
    pub verbs: &'static [&'static str],
    /// What a write through it may not change: the new object, then the old one.
    pub prepare: fn(&mut Value, &Value, &Context<'_>),
    /// What is wrong with a write through it: the new object, then the old one.
    pub validate: fn(&Value, &Value) -> Errors,
}

/// A field that a field selector may name.
pub struct Selectable {
    /// The name in selectors: `spec.nodeName`.
    pub name: &'static str,
    /// The object's value; empty when it has none.
    pub get: fn(&Value) -> Text,
}

/// How a PUT may create and how it may overwrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// Whether a PUT of an object that is not there creates it.
    pub create_on_update: bool,
    /// Whether a PUT without resource version overwrites.
    pub unconditional: bool,
}

/// What a kind's own check of an update looks at in the metadata: each look repeats its causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataChecks {
    /// As in a new object.
    pub as_new: bool,
    /// As in a changed object.
    pub as_changed: bool,
}

impl MetadataChecks {
    /// Nothing beyond what all kinds share.
    pub const SHARED: Self = Self { as_new: false, as_changed: false };
    /// Only what a change may not do.
    pub const CHANGE: Self = Self { as_new: false, as_changed: true };
    /// What is checked of a new object.
    pub const NEW: Self = Self { as_new: true, as_changed: false };
    /// What a change may not do, and everything that is checked of a new object.
    pub const BOTH: Self = Self { as_new: true, as_changed: true };
}

/// When `metadata.generation` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Never: objects have none.
    None,
    /// A new object has 1; that stays.
    One,
    /// A new object has 1; it counts each change of these top-level fields.
    Of(&'static [&'static str]),
    /// It counts each change of these top-level fields; a new object has none.
    FromZero(&'static [&'static str]),
}

/// How an object of one version becomes one of another. Both ways give the other version's written form.
#[derive(Clone, Copy)]
pub struct Conversion {
    /// The kind in the store.
    pub kind: &'static Kind,
    /// From the served form to the stored one.
    pub to_stored: fn(&mut Value),
    /// From the stored form to the served one.
    pub from_stored: fn(&mut Value),
}

/// What a name may look like.
#[derive(Clone, Copy)]
pub enum NameRule {
    /// By a check of text; a `generateName` may end in a dash.
    Text(fn(&str) -> Vec<String>),
    /// By a check of a path segment (RBAC): names and prefixes differ only in `.` and `..`.
    PathSegment,
}

/// The verbs of most resources.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The verbs of a subresource that is a view of its object.
pub const VIEW_VERBS: &[&str] = &["get", "patch", "update"];

/// A kind with nothing special; a kind's file starts from it.
pub const BASE: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    storage: "",
    schema: "",
    verbs: ALL_VERBS,
    subresources: &[],
    columns: table::NAME_AND_CREATION,
    row: table::name_and_creation,
    row_conditions: |_| Vec::new(),
    field_annotations: &[],
    selectable: &[],
    writes: Writes { create_on_update: false, unconditional: true },
    metadata: MetadataChecks::CHANGE,
    creates_status: false,
    generation: Generation::None,
    orphans_dependents: false,
    grace: None,
    expires: false,
    stored_as: None,
    name: NameRule::Text(names::is_dns1123_subdomain),
    default: |_| (),
    prepare_create: |_, _| (),
    prepare_update: |_, _, _| (),
    validate: |_| Vec::new(),
    validate_update: |_, _| Vec::new(),
    warnings: |_, _| Vec::new(),
};

/// A subresource with nothing special.
pub const SUBRESOURCE: Subresource =
    Subresource { name: "", body: ("", "", ""), verbs: VIEW_VERBS, prepare: |_, _, _| (), validate: |_, _| Vec::new() };

/// The `status` of a kind: a write changes nothing else.
pub const STATUS: Subresource = Subresource { name: "status", prepare: keep_all_but_status, ..SUBRESOURCE };

/// The `scale` of a kind with replicas.
pub const SCALE: Subresource = Subresource { name: "scale", body: ("autoscaling", "v1", "Scale"), ..SUBRESOURCE };

impl Kind {
    /// The kind of a list of these objects.
    #[must_use]
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// The resource's name for one object.
    #[must_use]
    pub fn singular(&self) -> String {
        self.kind.to_lowercase()
    }

    /// Group and version as objects carry them.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The kind as error messages name it: in its stored form.
    #[must_use]
    pub fn group_kind(&self) -> machinery::status::In<'static> {
        let stored = self.stored_as.map_or(self.group, |conversion| conversion.kind.group);
        machinery::status::In { group: stored, name: self.kind }
    }

    /// The resource as error messages name it.
    #[must_use]
    pub fn group_resource(&self) -> machinery::status::In<'static> {
        machinery::status::In { group: self.group, name: self.plural }
    }

    /// The subresource `name`.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// Whether objects have a status that only the `status` subresource writes.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Why the field `name` cannot be selected by, in the API's words.
    ///
    /// # Errors
    /// The message of the answer, code 400.
    pub fn check_selectable(&self, name: &str) -> Result<(), String> {
        if self.selectable.is_empty() {
            if matches!(name, "metadata.name" | "metadata.namespace") {
                return Ok(());
            }
            let quoted = machinery::field::quote(name);
            return Err(format!(
                "{quoted} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ));
        }
        if self.selectable.iter().any(|field| field.name == name) {
            return Ok(());
        }
        Err(format!("field label not supported: {name}"))
    }

    /// The object's value of the field `name` for a field selector.
    #[must_use]
    pub fn selectable_value(&self, object: &Value, name: &str) -> Text {
        match self.selectable.iter().find(|field| field.name == name) {
            Some(field) => (field.get)(object),
            None => path_value(object, name),
        }
    }
}

/// The text below a dotted path; empty when there is none.
#[must_use]
pub fn path_value(object: &Value, name: &str) -> Text {
    let path: Vec<&str> = name.split('.').collect();
    match object.at(&path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(truth)) => truth.to_string().into(),
        Some(Value::Int(number)) => number.to_string().into(),
        _ => Text::default(),
    }
}

/// A field that is selected by its own path.
macro_rules! selectable {
    ($($name:literal),* $(,)?) => {
        &[$($crate::kind::Selectable { name: $name, get: |object| $crate::kind::path_value(object, $name) }),*]
    };
}
pub(crate) use selectable;

/// Brings an object into the form in which the schema `name` is written: order, zero values, nothing empty.
pub(crate) fn settle(name: &str, object: &mut Value) {
    let Some(message) = machinery::schema::message(name) else { return };
    // What does not fit stays as it is: it was read from the store, and a reader can still see it.
    drop(machinery::schema::decode(message, object, machinery::schema::FieldValidation::Ignore));
}

fn keep_all_but_status(new: &mut Value, old: &Value, _: &Context<'_>) {
    keep_spec(new, old);
    keep(new, old, &["metadata", "labels"]);
}

/// Puts back every top-level field of `old` but metadata and status.
pub(crate) fn keep_spec(new: &mut Value, old: &Value) {
    let own = |name: &str| !matches!(name, "apiVersion" | "kind" | "metadata" | "status");
    let (Some(fields), Some(before)) = (new.as_object_mut(), old.as_object()) else { return };
    fields.retain(|name, _| !own(name) || before.contains_key(name));
    for (name, value) in before.iter().filter(|(name, _)| own(name)) {
        fields.insert(name.clone(), value.clone());
    }
}

/// Puts back the field at `path` as `old` has it.
pub(crate) fn keep(new: &mut Value, old: &Value, path: &[&str]) {
    match old.at(path) {
        Some(value) => new.set_at(path, value.clone()),
        None => drop(new.remove_at(path)),
    }
}
