//! Bodies become objects: the encoding, the type, unknown and duplicate fields, defaults.

use kinds::Kind;
use machinery::field::quote;
use machinery::schema::{self, DecodeError, FieldValidation, Message};
use machinery::{Status, Value, json, meta, proto, yaml};

use crate::call::Call;
use crate::negotiate::{self, Sent};

/// An error shows at most so many bytes of a body that is no object.
const SUMMARY_BYTES: usize = 30;

/// What Go's YAML reader says of bytes that are no text.
pub const NOT_UTF8: &str = "yaml: invalid leading UTF-8 octet";

/// The type that a body must have.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The API group.
    pub group: &'a str,
    /// The API version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
}

impl Expected<'_> {
    /// Group and version as objects carry them.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl<'a> From<&'a Kind> for Expected<'a> {
    fn from(kind: &'a Kind) -> Self {
        Self { group: kind.group, version: kind.version, kind: kind.kind }
    }
}

/// Reads a body as an object of `kind` with its defaults; warnings go to the call.
///
/// # Errors
/// 400 for what is no such object, 415 for an unknown encoding.
pub fn object(call: &mut Call, kind: &Kind, body: &[u8], validation: FieldValidation) -> Result<Value, Status> {
    let mut object = typed(call, kind.into(), message_of(kind), body, validation)?;
    default(kind, &mut object);
    Ok(object)
}

/// Reads a body as an object of another type (a Scale, an Eviction) without defaults.
///
/// # Errors
/// As [`object`].
pub fn typed(
    call: &mut Call,
    expected: Expected<'_>,
    message: Option<&Message>,
    body: &[u8],
    validation: FieldValidation,
) -> Result<Value, Status> {
    let sent = negotiate::sent(call.header(http::header::CONTENT_TYPE))?;
    let (mut object, doubled) = parse(sent, expected, body, validation)?;
    if object.is_null() {
        object = Value::object();
    }
    if let Some(why) = untold_type(&object) {
        return Err(unrecognized(expected, &why, body));
    }
    name_type(&mut object, expected);
    check_type(&mut object, expected, validation)?;
    keep_reset(&mut object);
    let decoded = sent_tree(message, &mut object, validation);
    let warnings = with_doubled(decoded, doubled, validation).map_err(|error| cannot_be_handled(&error, expected))?;
    call.warnings.extend(warnings);
    Ok(object)
}

/// Tells of keys that stand twice in a YAML document before what decoding it tells.
fn with_doubled(
    decoded: Result<Vec<String>, DecodeError>,
    doubled: Vec<String>,
    validation: FieldValidation,
) -> Result<Vec<String>, DecodeError> {
    match (validation, decoded) {
        (_, decoded) if doubled.is_empty() => decoded,
        (FieldValidation::Ignore, decoded) => decoded,
        (FieldValidation::Warn, decoded) => decoded.map(|warnings| [doubled, warnings].concat()),
        (FieldValidation::Strict, Ok(_)) => Err(DecodeError::Strict(vec![yaml_errors(&doubled)])),
        (FieldValidation::Strict, Err(DecodeError::Strict(found))) => {
            Err(DecodeError::Strict([vec![yaml_errors(&doubled)], found].concat()))
        }
        (FieldValidation::Strict, Err(error)) => Err(error),
    }
}

/// The words of Go's YAML reader for keys that stand twice.
#[must_use]
pub fn yaml_errors(doubled: &[String]) -> String {
    format!("yaml: unmarshal errors:\n  {}", doubled.join("\n  "))
}

/// Brings a tree into the form of its kind; gives what there is to warn of.
///
/// # Errors
/// What does not fit.
pub fn tree(
    message: Option<&Message>,
    object: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, DecodeError> {
    match message {
        Some(message) => schema::decode(message, object, validation),
        None => Ok(Vec::new()),
    }
}

/// As [`tree`], for what a client has written: it owns what it set to an empty list, so that stays one until
/// [`settle`].
///
/// # Errors
/// As [`tree`].
pub fn sent_tree(
    message: Option<&Message>,
    object: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, DecodeError> {
    message.map_or(Ok(Vec::new()), |message| schema::decode_sent(message, object, validation))
}

/// Fills in what nobody set.
pub fn default(kind: &Kind, object: &mut Value) {
    if let Some(message) = message_of(kind) {
        schema::default(message, object);
    }
    (kind.default)(object);
}

/// Brings an object that hooks have changed into the form in which it is written: order, zero values, nothing empty.
pub fn settle(kind: &Kind, object: &mut Value) {
    if let Err(error) = tree(message_of(kind), object, FieldValidation::Ignore) {
        base::never!(true, "the server made an object that does not fit its kind: {error}");
    }
}

/// The shape of a kind.
#[must_use]
pub fn message_of(kind: &Kind) -> Option<&'static Message> {
    schema::message(kind.schema)
}

/// Reads a tree; gives what it holds twice.
fn parse(
    sent: Sent,
    expected: Expected<'_>,
    body: &[u8],
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    if let Sent::Protobuf = sent {
        return from_protobuf(expected, body).map(|value| (value, Vec::new()));
    }
    read_text(sent, body, validation).map_err(|why| unrecognized(expected, &why, body))
}

/// Reads a tree that is not in protobuf; says what is wrong in the words of Go's reader.
fn read_text(sent: Sent, body: &[u8], validation: FieldValidation) -> Result<(Value, Vec<String>), String> {
    match (sent, std::str::from_utf8(body)) {
        (Sent::Yaml, Ok(text)) => yaml::parse_strict(text).map(in_order).map_err(|error| error.to_string()),
        (Sent::Yaml, Err(_)) => Err(NOT_UTF8.to_owned()),
        _ if validation == FieldValidation::Ignore => json_value(json::parse(body)),
        _ => json_value(json::parse_with_duplicates(body)),
    }
}

/// What was YAML is read by the names' order: upstream makes JSON of it before.
fn in_order((mut tree, doubled): (Value, Vec<String>)) -> (Value, Vec<String>) {
    tree.sort();
    (tree, doubled)
}

fn json_value(parsed: Result<Value, json::Error>) -> Result<(Value, Vec<String>), String> {
    match parsed {
        Ok(value) => Ok((value, Vec::new())),
        Err(error) => Err(format!("couldn't get version/kind; json parse error: {error}")),
    }
}

/// Reads an object of the type that its envelope names. Fields that nobody knows are skipped, whatever the request says.
fn from_protobuf(expected: Expected<'_>, body: &[u8]) -> Result<Value, Status> {
    let mut envelope = proto::open(body).map_err(|error| unrecognized(expected, &error.to_string(), body))?;
    if envelope.kind.is_empty() {
        (envelope.api_version, envelope.kind) = (expected.api_version(), expected.kind.to_owned());
    }
    let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", &envelope.api_version));
    let found = Expected { group, version, kind: &envelope.kind };
    let message = schema::of_kind(group, version, &envelope.kind).ok_or_else(|| not_registered(found, expected))?;
    proto::decode(message, &envelope).map_err(|error| handled(found, expected, &error.to_string()))
}

/// What an object does not say about its type is as expected.
fn name_type(object: &mut Value, expected: Expected<'_>) {
    let or = |found: &str, other: &str| if found.is_empty() { other.to_owned() } else { found.to_owned() };
    let version = or(meta::api_version(object), &expected.api_version());
    let kind = or(meta::kind(object), expected.kind);
    meta::set_type(object, &version, &kind);
}

/// Refuses an object that says it is of another type.
fn check_type(object: &mut Value, expected: Expected<'_>, validation: FieldValidation) -> Result<(), Status> {
    let (api_version, kind) = (meta::api_version(object).to_owned(), meta::kind(object).to_owned());
    if api_version == expected.api_version() && kind == expected.kind {
        return Ok(());
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let found = Expected { group, version, kind: &kind };
    let message = registered(found).ok_or_else(|| not_registered(found, expected))?;
    if let Err(error) = schema::decode(message, object, validation) {
        return Err(handled(found, expected, &error.to_string()));
    }
    if kind == expected.kind && package(group) == package(expected.group) {
        let wanted = expected.api_version();
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({wanted})"
        )));
    }
    Err(handled(found, expected, &unknown_conversion(found, expected)))
}

fn unknown_conversion(found: Expected<'_>, expected: Expected<'_>) -> String {
    let (package, wanted) = (package(expected.group), expected.kind);
    format!("converting ({}.{}) to ({package}.{wanted}): unknown conversion", found.version, found.kind)
}

/// Why a patched object that says it is of another type cannot be taken for one of this type.
#[must_use]
pub fn other_type(patched: &mut Value, expected: Expected<'_>) -> Option<String> {
    let (api_version, kind) = (meta::api_version(patched).to_owned(), meta::kind(patched).to_owned());
    if api_version == expected.api_version() && kind == expected.kind {
        return None;
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let found = Expected { group, version, kind: &kind };
    let other = registered(found).filter(|_| kind != expected.kind);
    Some(match other.map(|message| schema::decode(message, patched, FieldValidation::Ignore)) {
        None => unregistered(found),
        Some(Err(error)) => error.to_string(),
        Some(Ok(_)) => unknown_conversion(found, expected),
    })
}

/// The shape of a kind that objects of the API have; those of the machinery itself are of no version of it.
fn registered(found: Expected<'_>) -> Option<&'static Message> {
    schema::of_kind(found.group, found.version, found.kind).filter(|_| found.group != "meta.k8s.io")
}

fn unregistered(found: Expected<'_>) -> String {
    let (kind, version) = (quote(found.kind), quote(&found.api_version()));
    format!("no kind {kind} is registered for version {version} in scheme \"pkg/api/legacyscheme/scheme.go:30\"")
}

/// The name of upstream's package with the common form of all versions of a group's kinds.
#[must_use]
pub fn package(group: &str) -> &str {
    match group {
        // Both groups have one form of events.
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or_default(),
    }
}

fn not_registered(found: Expected<'_>, expected: Expected<'_>) -> Status {
    handled(found, expected, &unregistered(found))
}

fn handled(found: Expected<'_>, expected: Expected<'_>, why: &str) -> Status {
    let (kind, version) = (found.kind, quote(found.version));
    Status::bad_request(format!("{kind} in version {version} cannot be handled as a {}: {why}", expected.kind))
}

/// Go's words for a JSON value that does not tell its type: it has no members, or those that tell it are no texts.
#[must_use]
pub fn untold_type(value: &Value) -> Option<String> {
    let name = |value: &Value| if value.as_bool().is_some() { "bool" } else { value.type_name() }.to_owned();
    let told = "couldn't get version/kind; json parse error: json: cannot unmarshal";
    let Some(object) = value.as_object() else {
        let target =
            r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
        return Some(format!("{told} {} into Go value of type {target}", name(value)));
    };
    let odd = object.iter().find(|(name, value)| {
        matches!(name.as_str(), "apiVersion" | "kind") && value.as_str().is_none() && !value.is_null()
    });
    odd.map(|(field, value)| format!("{told} {} into Go struct field .{field} of type string", name(value)))
}

/// The answer to a body that does not fit its type.
pub fn cannot_be_handled(error: &DecodeError, expected: Expected<'_>) -> Status {
    handled(expected, expected, &error.to_string())
}

fn unrecognized(expected: Expected<'_>, why: &str, body: &[u8]) -> Status {
    let (kind, summary) = (expected.kind, summary(body));
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({summary})"))
}

/// The beginning of a body: as text if it looks like JSON, else in hexadecimal.
fn summary(body: &[u8]) -> String {
    let (start, cut) = (&body[..body.len().min(SUMMARY_BYTES)], body.len() > SUMMARY_BYTES);
    let shown = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => hex::encode(start),
    };
    if cut { format!("{shown} ...") } else { shown }
}

/// Reads a body without looking at its type.
///
/// # Errors
/// 400 for what cannot be read, 415 for an unknown encoding.
pub fn untyped(call: &Call, body: &[u8], kind: &str) -> Result<Value, Status> {
    let sent = negotiate::sent(call.header(http::header::CONTENT_TYPE))?;
    let expected = Expected { group: "", version: "v1", kind };
    parse(sent, expected, body, FieldValidation::Ignore).map(|(value, _)| value)
}

/// Reads the body of a deletion without looking at its type. What is wrong with it stands by itself in the message.
///
/// # Errors
/// As [`untyped`].
pub fn options(call: &Call, body: &[u8]) -> Result<Value, Status> {
    let sent = negotiate::sent(call.header(http::header::CONTENT_TYPE))?;
    if let Sent::Protobuf = sent {
        return from_protobuf(Expected { group: "", version: "v1", kind: "DeleteOptions" }, body);
    }
    let (value, _) = read_text(sent, body, FieldValidation::Ignore).map_err(Status::bad_request)?;
    match value {
        Value::Null => Ok(Value::object()),
        value => untold_type(&value).map_or(Ok(value), |why| Err(Status::bad_request(why))),
    }
}

/// An empty list of owners is a wish to forget them all; the decoder drops empty lists, so it is written in the other
/// form of the same wish, a list with an empty entry.
pub fn keep_reset(object: &mut Value) {
    let path = ["metadata", "managedFields"];
    if object.at(&path).and_then(Value::as_array).is_some_and(<[Value]>::is_empty) {
        object.set_at(&path, vec![Value::object()]);
    }
}
