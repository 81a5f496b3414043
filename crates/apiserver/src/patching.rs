//! The four kinds of patch: read from a body, applied to an object.

use bytes::Bytes;
use machinery::field::{Error, Path};
use machinery::patch::{go_text, json as json_patch, merge, strategic};
use machinery::schema::{DecodeError, FieldValidation, Message};
use machinery::status::{Details, In};
use machinery::{Status, Value, json, meta, yaml};

use crate::call::Call;
use crate::codec::{self, Expected};
use crate::negotiate;
use crate::options::PatchKind;

/// The media types of patches.
const ACCEPTED: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What a patch that does not fit its object is told: upstream keeps the reason to itself.
const REJECTED: &str = "the server rejected our request due to an error in our request";

/// A patch, read but not applied.
#[derive(Debug, Clone)]
pub struct Patching {
    kind: PatchKind,
    body: Bytes,
}

/// The kind of patch that the Content-Type names.
///
/// # Errors
/// 415 for any other.
pub fn kind(call: &Call) -> Result<PatchKind, Status> {
    match negotiate::media_type(call.header(http::header::CONTENT_TYPE)).as_str() {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ => Err(Status::unsupported_media_type(&ACCEPTED)),
    }
}

/// How upstream's YAML reader begins its errors.
const NO_JSON: &str = "error converting YAML to JSON: ";

impl Patching {
    /// A patch of this kind.
    #[must_use]
    pub fn new(kind: PatchKind, body: Bytes) -> Self {
        Self { kind, body }
    }

    /// Whether it is a configuration to apply rather than a change.
    #[must_use]
    pub fn is_apply(&self) -> bool {
        self.kind == PatchKind::Apply
    }

    /// The configuration to apply, and a sentence for every key that stands twice in it.
    ///
    /// # Errors
    /// 400 for what is no YAML.
    pub fn config(&self) -> Result<(Value, Vec<String>), Status> {
        let bad = |why: String| Status::bad_request(format!("error decoding patch: {NO_JSON}{why}"));
        let text = std::str::from_utf8(&self.body).map_err(|error| bad(error.to_string()))?;
        yaml::parse_strict(text).map_err(|error| bad(error.to_string()))
    }

    /// What to warn of when keys stand twice in a configuration; upstream looks for them after it was applied.
    ///
    /// # Errors
    /// 400 where that is refused.
    pub fn doubled(doubled: Vec<String>, validation: FieldValidation) -> Result<Vec<String>, Status> {
        match validation {
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Strict if !doubled.is_empty() => {
                let why = codec::yaml_errors(&doubled);
                Err(Status::bad_request(format!("error strict decoding patch: {NO_JSON}{why}")))
            }
            FieldValidation::Strict | FieldValidation::Warn => Ok(doubled),
        }
    }

    /// The object as the patch makes it of `live`, in the form of its type, and what there is to warn of.
    ///
    /// # Errors
    /// 400 for what is no patch, 422 for what does not fit.
    pub fn apply(
        &self,
        live: &Value,
        expected: Expected<'_>,
        message: Option<&Message>,
        validation: FieldValidation,
    ) -> Result<(Value, Vec<String>), Status> {
        let (mut patched, mut warnings) = self.raw(live, message)?;
        let invalid = |why: String| {
            let error = Error::invalid(&Path::new("patch"), self.shown(live, message), why);
            Status::invalid(In { group: "", name: "" }, "", &vec![error])
        };
        if let Some(why) = other_type(&patched, expected) {
            return Err(invalid(why));
        }
        codec::keep_reset(&mut patched);
        let told = if validation == FieldValidation::Strict { FieldValidation::Warn } else { validation };
        match codec::sent_tree(message, &mut patched, told) {
            Ok(more) => warnings.extend(more),
            Err(error) => return Err(invalid(error.to_string())),
        }
        match validation {
            FieldValidation::Ignore => warnings.clear(),
            FieldValidation::Strict if !warnings.is_empty() => {
                return Err(invalid(DecodeError::Strict(warnings).to_string()));
            }
            _ => {}
        }
        Ok((patched, warnings))
    }

    /// The patched tree, and sentences about the patch itself.
    fn raw(&self, live: &Value, message: Option<&Message>) -> Result<(Value, Vec<String>), Status> {
        let mut object = live.clone();
        let bad = Status::bad_request;
        match self.kind {
            PatchKind::Json => {
                let (operations, found) = json_patch::parse(&self.body).map_err(json_failure)?;
                Ok((json_patch::apply(&operations, object).map_err(json_failure)?, found))
            }
            PatchKind::Merge => {
                let (patch, found) = self.tree().map_err(|why| bad(format!("error decoding patch: {why}")))?;
                merge::apply(&mut object, patch).map_err(|error| Status::bad_request(error.to_string()))?;
                Ok((object, found))
            }
            PatchKind::Strategic | PatchKind::Apply => {
                let (patch, found) = self.tree().map_err(bad)?;
                let message = message.ok_or_else(|| Status::unsupported_media_type(&ACCEPTED[..2]))?;
                let patch = if patch.is_null() { Value::object() } else { patch };
                strategic::apply(message, &mut object, patch).map_err(|error| strategic_failure(&error))?;
                Ok((object, found))
            }
        }
    }

    /// How messages show the patch: itself if it is a strategic one, else what it would make. Made anew: it is for errors.
    fn shown(&self, live: &Value, message: Option<&Message>) -> String {
        let shown = match self.kind {
            PatchKind::Strategic | PatchKind::Apply => self.tree().ok().map(|(patch, _)| go_text(&patch)),
            PatchKind::Json | PatchKind::Merge => self.raw(live, message).ok().map(|(mut patched, _)| {
                codec::keep_reset(&mut patched);
                quoted(&patched)
            }),
        };
        shown.unwrap_or_default()
    }

    /// The patch as a tree, which must be an object or null.
    fn tree(&self) -> Result<(Value, Vec<String>), String> {
        let (patch, found) = json::parse_strict(&self.body).map_err(|error| error.message)?;
        let other = match patch {
            Value::Object(_) | Value::Null => return Ok((patch, found)),
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            _ => "number",
        };
        Err(format!("json: cannot unmarshal {other} into Go value of type map[string]interface {{}}"))
    }
}

/// The patched object as upstream quotes it: as a map, sorted by name.
fn quoted(patched: &Value) -> String {
    let mut patched = patched.clone();
    sort(&mut patched);
    json::to_string(&patched)
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.sort();
            object.iter_mut().for_each(|(_, member)| sort(member));
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

/// Why the patched object is not of the type that it was.
fn other_type(patched: &Value, expected: Expected<'_>) -> Option<String> {
    let (version, kind) = (meta::api_version(patched), meta::kind(patched));
    if version == expected.api_version() && kind == expected.kind {
        return None;
    }
    let quote = machinery::field::quote;
    Some(format!(
        "no kind {} is registered for version {} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        quote(kind),
        quote(version)
    ))
}

fn json_failure(error: json_patch::Error) -> Status {
    match error {
        json_patch::Error::Decode(_) => Status::bad_request(error.to_string()),
        json_patch::Error::TooMany(_) => Status::request_entity_too_large(error),
        json_patch::Error::Apply(_) => rejected(),
    }
}

fn strategic_failure(error: &strategic::Error) -> Status {
    match error.code() {
        400 => Status::bad_request(error.to_string()),
        422 => rejected(),
        _ => Status::unknown(error.to_string()),
    }
}

fn rejected() -> Status {
    Status::new(422, "Invalid", REJECTED).with_details(Details::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_told_as_each_kind_of_patch_tells_it() {
        let message = machinery::schema::of_kind("", "v1", "ConfigMap");
        let told = |kind, body: &'static str| {
            let object = machinery::value!({"kind": "ConfigMap", "apiVersion": "v1"});
            let result = Patching::new(kind, Bytes::from_static(body.as_bytes())).raw(&object, message);
            result.map_or_else(
                |status| format!("{} {}", status.code, status.message),
                |(object, _)| json::to_string(&object),
            )
        };
        let lines = ["[]", "\"x\"", "5", "true", "null", "{", ""].map(|body| {
            format!("{body:5}  {}\n       {}", told(PatchKind::Merge, body), told(PatchKind::Strategic, body))
        });
        expect_test::expect![[r#"
            []     400 error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}
                   400 json: cannot unmarshal array into Go value of type map[string]interface {}
            "x"    400 error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}
                   400 json: cannot unmarshal string into Go value of type map[string]interface {}
            5      400 error decoding patch: json: cannot unmarshal number into Go value of type map[string]interface {}
                   400 json: cannot unmarshal number into Go value of type map[string]interface {}
            true   400 error decoding patch: json: cannot unmarshal bool into Go value of type map[string]interface {}
                   400 json: cannot unmarshal bool into Go value of type map[string]interface {}
            null   400 Invalid JSON Patch
                   {"kind":"ConfigMap","apiVersion":"v1"}
            {      400 error decoding patch: unexpected end of JSON input
                   400 unexpected end of JSON input
                   400 error decoding patch: unexpected end of JSON input
                   400 unexpected end of JSON input"#]]
        .assert_eq(&lines.join("\n"));
    }
}
