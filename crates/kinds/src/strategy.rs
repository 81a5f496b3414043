//! How any kind is created and updated: what all kinds share, around a kind's own hooks.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, value};

use crate::kind::{Context, Generation, Kind, MetadataChecks, NameRule, Subresource};
use crate::validate::metadata;

impl Kind {
    /// Makes a new object ready to be checked: fields the server owns are reset, the kind's own hook runs.
    ///
    /// Invariant: name, UID and creation time are set by now, as upstream does before a strategy runs.
    pub fn prepare_for_create(&self, object: &mut Value, context: &Context<'_>) {
        meta::set_deletion_timestamp(object, None);
        meta::set_deletion_grace_period_seconds(object, None);
        if self.has_status() && !self.creates_status {
            reset_status(object);
        }
        (self.prepare_create)(object, context);
        match self.generation {
            Generation::None | Generation::FromZero(_) => meta::set_generation(object, 0),
            Generation::One | Generation::Of(_) => meta::set_generation(object, 1),
        }
    }

    /// What is wrong with a new object.
    #[must_use]
    pub fn check_create(&self, object: &Value) -> Errors {
        let path = Path::new("metadata");
        let mut errors = metadata::object_meta(object, self.namespaced, self.name, &path);
        errors.extend(metadata::standard_finalizers(object, &path));
        errors.extend((self.validate)(object));
        if errors.is_empty() {
            errors = metadata::path_segment(object);
        }
        errors
    }

    /// Makes a changed object ready to be checked: fields that an update may not touch are as before.
    pub fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context<'_>) {
        keep_system_fields(new, old);
        if self.has_status() {
            crate::kind::keep(new, old, &["status"]);
        }
        (self.prepare_update)(new, old, context);
        if let Generation::Of(fields) | Generation::FromZero(fields) = self.generation
            && fields.iter().any(|field| new.get(field) != old.get(field))
        {
            meta::set_generation(new, meta::generation(old) + 1);
        }
    }

    /// What is wrong with a changed object.
    #[must_use]
    pub fn check_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = changed_metadata(new, old, self.metadata, |object| {
            metadata::object_meta(object, self.namespaced, self.name, &Path::new("metadata"))
        });
        errors.extend((self.validate_update)(new, old));
        errors
    }
}

impl Subresource {
    /// Makes a write through the subresource ready to be checked.
    pub fn prepare_for_update(&self, new: &mut Value, old: &Value, context: &Context<'_>) {
        keep_system_fields(new, old);
        (self.prepare)(new, old, context);
    }

    /// What is wrong with a write through the subresource.
    #[must_use]
    pub fn check_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = changed_metadata(new, old, MetadataChecks::CHANGE, |_| Errors::new());
        errors.extend((self.validate)(new, old));
        errors
    }
}

impl NameRule {
    /// What is wrong with a name.
    #[must_use]
    pub fn name(self, name: &str) -> Vec<String> {
        match self {
            Self::Text(check) => check(name),
            Self::PathSegment => machinery::names::is_path_segment_name(name),
        }
    }

    /// What is wrong with the start of a name.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Vec<String> {
        match self {
            Self::Text(check) => check(&machinery::names::mask_trailing_dash(prefix)),
            Self::PathSegment => machinery::names::is_path_segment_prefix(prefix),
        }
    }
}

/// What is wrong with the metadata of a changed object. What all kinds share checks it as in a new object and as in a
/// changed one; then the kind looks again: upstream's causes stand as often as they were found.
fn changed_metadata(new: &Value, old: &Value, own: MetadataChecks, as_new: impl FnOnce(&Value) -> Errors) -> Errors {
    let path = Path::new("metadata");
    let namespaced = !meta::namespace(old).is_empty();
    let mut errors = metadata::object_meta(new, namespaced, NameRule::PathSegment, &path);
    let changed = metadata::object_meta_update(new, old, &path);
    errors.extend(changed.iter().cloned());
    if own.as_changed {
        errors.extend(changed);
        errors.extend(metadata::standard_finalizers(new, &path));
    }
    if own.as_new {
        errors.extend(as_new(new));
        errors.extend(metadata::standard_finalizers(new, &path));
    }
    errors
}

/// An immutable field that changed.
#[must_use]
pub fn immutable(new: Option<&Value>, old: Option<&Value>, path: &Path) -> Option<Error> {
    let absent = Value::Null;
    let (new, old) = (new.unwrap_or(&absent), old.unwrap_or(&absent));
    (new != old).then(|| Error::invalid(path, new.clone(), "field is immutable"))
}

/// An immutable part that changed, shown as Go prints the server's own struct of the message `name`.
#[must_use]
pub fn immutable_part(name: &str, new: Option<&Value>, old: Option<&Value>, path: &Path) -> Option<Error> {
    let shown =
        |part: Option<&Value>| part.filter(|part| !part.is_null()).map(|part| crate::go_shape::shown(name, part));
    immutable(shown(new).as_ref(), shown(old).as_ref(), path)
}

fn reset_status(object: &mut Value) {
    if object.get("status").is_some() {
        object.set_at(&["status"], value!({}));
    }
}

fn keep_system_fields(new: &mut Value, old: &Value) {
    meta::set_generation(new, meta::generation(old));
    crate::kind::keep(new, old, &["metadata", "selfLink"]);
    // An update need not repeat these; a wrong one is an error further on, an absent one is as before.
    for field in ["uid", "creationTimestamp", "deletionTimestamp"] {
        if new.at(&["metadata", field]).is_none_or(Value::is_null) || field == "creationTimestamp" {
            crate::kind::keep(new, old, &["metadata", field]);
        }
    }
    if new.at(&["metadata", "deletionGracePeriodSeconds"]).is_none() {
        crate::kind::keep(new, old, &["metadata", "deletionGracePeriodSeconds"]);
    }
}
