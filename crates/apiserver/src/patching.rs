//! The four kinds of patch: read from a body, applied to an object.

use bytes::Bytes;
use machinery::field::{Error, Path};
use machinery::patch::{go_text, json as json_patch, merge, strategic};
use machinery::schema::{DecodeError, FieldValidation, Message};
use machinery::status::{Details, In};
use machinery::{Object, Status, Value, json, meta, schema, yaml};

use crate::call::Call;
use crate::codec::{self, Expected};
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

/// The kind of patch that the Content-Type names; unlike other media types, in just these letters.
///
/// # Errors
/// 415 for any other.
pub fn kind(call: &Call) -> Result<PatchKind, Status> {
    match call.header(http::header::CONTENT_TYPE).split(';').next().unwrap_or_default() {
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
        let bad = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
        let text = std::str::from_utf8(&self.body).map_err(|_| bad(format!("{NO_JSON}{}", codec::NOT_UTF8)))?;
        let (config, doubled) = yaml::parse_strict(text).map_err(|error| bad(format!("{NO_JSON}{error}")))?;
        match no_map(&config) {
            None => Ok((config, doubled)),
            Some(why) => Err(bad(format!("error unmarshaling JSON: while decoding JSON: {why}"))),
        }
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
        let (mut patched, mut warnings) = self.raw(live, message, validation)?;
        let invalid = |why: String| {
            let error = Error::invalid(&Path::new("patch"), self.shown(live, message, validation), why);
            Status::invalid(In { group: "", name: "" }, "", &vec![error])
        };
        let is_strategic = self.kind == PatchKind::Strategic;
        if is_strategic {
            // What is merged in memory is of its type, whatever it says.
            meta::set_type(&mut patched, &expected.api_version(), expected.kind);
            message.map_or(Ok(()), |message| schema::convert(message, &mut patched)).map_err(invalid)?;
        } else {
            warnings.extend(of_type(&mut patched, expected).map_err(invalid)?);
        }
        codec::keep_reset(&mut patched);
        let told = if validation == FieldValidation::Strict { FieldValidation::Warn } else { validation };
        let mut more = codec::sent_tree(message, &mut patched, told).map_err(|error| invalid(error.to_string()))?;
        if is_strategic {
            more.sort();
        }
        warnings.extend(more);
        match validation {
            FieldValidation::Ignore => warnings.clear(),
            FieldValidation::Strict if !warnings.is_empty() => {
                return Err(invalid(DecodeError::Strict(warnings).to_string()));
            }
            _ => {}
        }
        Ok((patched, warnings))
    }

    /// The patched tree, and sentences about the patch itself. Who does not ask for them is told of errors by the
    /// readers that upstream then uses, in their words.
    fn raw(
        &self,
        live: &Value,
        message: Option<&Message>,
        validation: FieldValidation,
    ) -> Result<(Value, Vec<String>), Status> {
        let mut object = live.clone();
        let bad = Status::bad_request;
        let is_ignored = validation == FieldValidation::Ignore;
        match self.kind {
            PatchKind::Json => {
                let (operations, found) =
                    json_patch::parse(&self.body).map_err(|error| json_failure(&error, is_ignored))?;
                let patched = json_patch::apply(&operations, object);
                Ok((patched.map_err(|error| json_failure(&error, is_ignored))?, found))
            }
            PatchKind::Merge if is_ignored => Ok((self.merged_unseen(object)?, Vec::new())),
            PatchKind::Merge => {
                let (patch, found) = self.tree().map_err(|why| bad(format!("error decoding patch: {why}")))?;
                merge::apply(&mut object, patch).map_err(|error| bad(error.to_string()))?;
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

    /// A merge patch that nobody has read before: a list is the new object, anything else no patch.
    fn merged_unseen(&self, mut object: Value) -> Result<Value, Status> {
        match json::parse(&self.body) {
            Ok(list @ Value::Array(_)) => return Ok(list),
            Ok(patch) => merge::apply(&mut object, patch),
            Err(_) => Err(merge::Error),
        }
        .map_err(|error| Status::bad_request(error.to_string()))?;
        Ok(object)
    }

    /// How messages show the patch: itself if it is a strategic one, else what it would make. Made anew: it is for errors.
    fn shown(&self, live: &Value, message: Option<&Message>, validation: FieldValidation) -> String {
        let shown = match self.kind {
            PatchKind::Strategic | PatchKind::Apply => self.tree().ok().map(|(patch, _)| go_text(&patch)),
            PatchKind::Json | PatchKind::Merge => self.raw(live, message, validation).ok().map(|(mut patched, _)| {
                codec::keep_reset(&mut patched);
                quoted(&patched)
            }),
        };
        shown.unwrap_or_default()
    }

    /// The patch as a tree, which must be an object or null.
    fn tree(&self) -> Result<(Value, Vec<String>), String> {
        let (patch, found) = json::parse_strict(&self.body).map_err(|error| error.message)?;
        match no_map(&patch) {
            None => Ok((patch, found)),
            Some(why) => Err(why),
        }
    }
}

/// Go's words for what is no object, where one is read without a type; null is an empty one.
fn no_map(value: &Value) -> Option<String> {
    let other = match value {
        Value::Object(_) | Value::Null => return None,
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    Some(format!("json: cannot unmarshal {other} into Go value of type map[string]interface {{}}"))
}

/// The patched object as upstream quotes it: as a map, sorted by name.
fn quoted(patched: &Value) -> String {
    let mut patched = patched.clone();
    patched.sort();
    json::to_string(&patched)
}

/// Checks that the patched object is still of its type. Without a kind it is; without a version it is read as what the
/// server has in memory, which has no other member in common with it: they are told as unknown.
fn of_type(patched: &mut Value, expected: Expected<'_>) -> Result<Vec<String>, String> {
    if let Some(why) = codec::untold_type(patched) {
        return Err(why);
    }
    if meta::kind(patched).is_empty() {
        patched.set_at(&["kind"], expected.kind);
    }
    if meta::api_version(patched).is_empty() {
        let members = std::mem::take(patched);
        meta::set_type(patched, &expected.api_version(), expected.kind);
        let names = members.as_object().into_iter().flat_map(Object::keys);
        let unknown = names.filter(|name| !matches!(name.as_str(), "kind" | "apiVersion"));
        return Ok(unknown.map(|name| format!("unknown field {}", machinery::field::quote(name))).collect());
    }
    codec::other_type(patched, expected).map_or(Ok(Vec::new()), Err)
}

fn json_failure(error: &json_patch::Error, is_ignored: bool) -> Status {
    match error {
        json_patch::Error::Decode(why) if is_ignored => {
            let why = why.replace("[]handlers.jsonPatchOp", "jsonpatch.Patch");
            Status::bad_request(why.replace("handlers.jsonPatchOp", "jsonpatch.Operation"))
        }
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
            let result =
                Patching::new(kind, Bytes::from_static(body.as_bytes())).raw(&object, message, FieldValidation::Warn);
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
