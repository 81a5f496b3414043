// What must hold of any bytes that reach the codecs, the patches, apply and the selectors.

use machinery::apply::{self, Set, Write};
use machinery::fields_selector::Selector as FieldSelector;
use machinery::labels::Selector;
use machinery::patch::{json as json_patch, merge, strategic};
use machinery::schema::{self, FieldValidation, Message};
use machinery::{Quantity, Value, json, meta, proto, yaml};

/// A target: its name, which is also that of its corpus, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("json", json),
    ("yaml", yaml),
    ("protobuf", protobuf),
    ("decode", decode),
    ("patch_json", patch_json),
    ("patch_merge", patch_merge),
    ("patch_strategic", patch_strategic),
    ("apply", apply),
    ("managed_fields", managed_fields),
    ("selectors", selectors),
    ("quantities", quantities),
];

/// What is read is written and read the same. (A whole number with a point or an exponent becomes one without, and then
/// a zero loses its sign: as in Go.)
pub fn json(bytes: &[u8]) {
    let strict = json::parse_strict(bytes);
    let Ok(value) = json::parse(bytes) else {
        assert!(strict.is_err(), "strict takes what plain does not");
        return;
    };
    let again = |text: &str| json::parse(text.as_bytes()).map(|value| json::to_string(&value));
    let once = again(&json::to_string(&value)).expect("what is written can be read");
    assert_eq!(again(&once).as_deref(), Ok(&*once));
}

/// What is read can be written, and that is read as what is written the same. (Members are sorted by writing.)
pub fn yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = yaml::parse_strict(text);
    for value in yaml::parse_all(text).unwrap_or_default() {
        let written = yaml::to_string(&value);
        let again = yaml::parse(&written).map(|value| yaml::to_string(&value));
        assert_eq!(again.as_deref(), Ok(&*written));
    }
}

/// An object that is read is written and read the same.
pub fn protobuf(bytes: &[u8]) {
    let Ok(envelope) = proto::open(bytes) else { return };
    let (group, version) = split(&envelope.api_version);
    let message = schema::of_kind(group, version, &envelope.kind).unwrap_or_else(|| of("v1", "Pod"));
    let Ok(value) = proto::decode(message, &envelope) else { return };
    let written = proto::encode(message, &value);
    let envelope = proto::open(&written).expect("what is written has an envelope");
    let again = proto::decode(message, &envelope).expect("what is written can be read");
    assert_eq!(proto::encode(message, &again), written);
}

/// Bringing an object into the form of its kind a second time changes nothing.
pub fn decode(bytes: &[u8]) {
    let Ok(mut value) = json::parse(bytes) else { return };
    let (group, version) = split(meta::api_version(&value));
    let Some(message) = schema::of_kind(group, version, meta::kind(&value)) else { return };
    if schema::decode(message, &mut value, FieldValidation::Ignore).is_ok() {
        let once = value.clone();
        schema::decode(message, &mut value, FieldValidation::Strict).expect("its own form is good");
        assert_eq!(value, once);
        let _ = proto::encode(message, &value);
    }
}

/// Object and patch stand in two lines.
pub fn patch_json(bytes: &[u8]) {
    let (object, patch) = two(bytes);
    let (Ok(object), Ok((operations, _))) = (json::parse(object), json_patch::parse(patch)) else { return };
    let _ = json_patch::apply(&operations, object).map(|patched| json::to_vec(&patched));
}

/// A merge patch applied twice is one applied once.
pub fn patch_merge(bytes: &[u8]) {
    let (object, patch) = two(bytes);
    let (Ok(mut object), Ok(patch)) = (json::parse(object), json::parse(patch)) else { return };
    if merge::apply(&mut object, patch.clone()).is_ok() {
        let once = object.clone();
        let twice = merge::apply(&mut object, patch);
        assert!(twice.is_err() || object == once);
    }
}

/// A strategic patch of an object of its kind, or of a pod.
pub fn patch_strategic(bytes: &[u8]) {
    let (object, patch) = two(bytes);
    let (Ok(mut object), Ok(patch)) = (json::parse(object), json::parse(patch)) else { return };
    let _ = strategic::apply(of_object(&object), &mut object, patch).map(|()| json::to_vec(&object));
}

/// Applying a second time changes nothing, and takes nothing from anybody.
pub fn apply(bytes: &[u8]) {
    let (live, config) = two(bytes);
    let (Ok(mut live), Ok(config)) = (json::parse(live), json::parse(config)) else { return };
    let message = of_object(&config);
    if live.as_object().is_none() || schema::decode(message, &mut live, FieldValidation::Ignore).is_err() {
        return;
    }
    let api_version = if meta::api_version(&config).is_empty() { "v1" } else { meta::api_version(&config) };
    let (manager, time) = ("m", "2026-01-01T00:00:00Z");
    let write = Write { manager, subresource: "", api_version, time, message, reset: None, convert: &|_, _| None };
    let mut updated = config.clone();
    if updated.as_object().is_some() && schema::decode(message, &mut updated, FieldValidation::Ignore).is_ok() {
        apply::update(&live, &mut updated, &write);
        check_owners(&updated);
    }
    let Ok(mut once) = apply::apply(&live, &config, true, &write) else { return };
    check_owners(&once);
    if schema::decode(message, &mut once, FieldValidation::Ignore).is_err() {
        return;
    }
    let other = Write { manager: "other", ..write };
    let _ = apply::apply(&once, &config, false, &other).map(|shared| check_owners(&shared));
    let Ok(mut twice) = apply::apply(&once, &config, false, &write) else { return };
    if schema::decode(message, &mut twice, FieldValidation::Ignore).is_ok() {
        assert_eq!(json::to_string(&twice), json::to_string(&once));
    }
}

/// What is written of owners can be read.
fn check_owners(object: &Value) {
    for owner in object.items_at(&["metadata", "managedFields"]) {
        let Some(fields) = owner.get("fieldsV1") else { continue };
        let set = Set::from_value(fields).expect("a set");
        assert_eq!(Set::from_value(&set.to_value()), Some(set));
    }
}

/// A set of fields that is read is written and read the same.
pub fn managed_fields(bytes: &[u8]) {
    let Ok(value) = json::parse(bytes) else { return };
    let Some(set) = Set::from_value(&value) else { return };
    assert_eq!(Set::from_value(&set.to_value()), Some(set));
}

/// A selector that is read is shown and read the same.
pub fn selectors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(selector) = Selector::parse(text) {
        let shown = selector.to_string();
        let again = Selector::parse(&shown).map(|selector| selector.to_string());
        assert_eq!(again.as_deref(), Ok(&*shown), "{text}");
        let _ = selector.matches(&std::collections::BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let _ = selector.matches(|field| (field == "metadata.name").then_some("a"));
    }
    if let Ok(value) = json::parse(bytes) {
        let _ = Selector::from_label_selector(Some(&value));
    }
}

/// The canonical text of an amount is read as the same amount; amounts beyond 64 bits lose digits, as upstream's do.
pub fn quantities(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(amount) = Quantity::parse(text) else { return };
    let shown = amount.to_string();
    let again = Quantity::parse(&shown).expect("its own text is good");
    if ![i64::MAX, i64::MIN].contains(&amount.value()) {
        assert_eq!(again, amount, "{text} is shown as {shown}");
        assert_eq!(again.to_string(), shown);
    }
    let _ = (amount.value(), amount.milli_value(), amount.to_f64(), amount + amount, amount - again, -amount);
}

fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The shape of the object's kind; what has none counts as a pod.
fn of_object(object: &Value) -> &'static Message {
    let (group, version) = split(meta::api_version(object));
    schema::of_kind(group, version, meta::kind(object)).unwrap_or_else(|| of("v1", "Pod"))
}

fn of(api_version: &str, kind: &str) -> &'static Message {
    let (group, version) = split(api_version);
    schema::of_kind(group, version, kind).expect("a built-in kind")
}
