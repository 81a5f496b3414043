// What must hold of any bytes that are an object of one of the built-in kinds.

use jiff::Timestamp;
use kinds::{Context, Kind};
use machinery::schema::{self, FieldValidation, Message};
use machinery::{Value, json, meta, proto};

/// A target: its name, which is also that of its corpus, and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[("kinds_protobuf", kinds_protobuf), ("objects", objects)];

/// The first two bytes choose a kind, the others are its message: what is read is written and read the same.
pub fn kinds_protobuf(bytes: &[u8]) {
    let Some((number, bare)) = bytes.split_at_checked(2) else { return };
    let all = kinds::all();
    let kind = all[usize::from(u16::from_be_bytes([number[0], number[1]])) % all.len()];
    let message = message(kind);
    let Some(once) = read(kind, message, bare) else { return };
    let written = proto::encode_bare(message, &once);
    let again = read(kind, message, &written).expect("what is written can be read");
    assert_eq!(proto::encode_bare(message, &again), written, "{}", kind.kind);
    let mut decoded = once;
    if schema::decode(message, &mut decoded, FieldValidation::Ignore).is_ok() {
        let settled = decoded.clone();
        schema::decode(message, &mut decoded, FieldValidation::Strict).expect("its own form is good");
        assert_eq!(decoded, settled, "{}", kind.kind);
        hooks(kind, message, &settled, &settled);
    }
}

/// Two objects of a kind in two lines, the one that is stored and the one that is sent: they are created, changed,
/// shown, and written through each subresource.
pub fn objects(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (old, new) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let Ok(new) = json::parse(if new.is_empty() { old } else { new }) else { return };
    let (group, version) = meta::api_version(&new).split_once('/').unwrap_or(("", meta::api_version(&new)));
    let Some(kind) = kinds::by_kind(group, version, meta::kind(&new)) else { return };
    let message = message(kind);
    let Some(new) = form(kind, message, new) else { return };
    let old = json::parse(old).ok().and_then(|mut old| {
        meta::set_type(&mut old, &kind.api_version(), kind.kind);
        form(kind, message, old)
    });
    hooks(kind, message, old.as_ref().unwrap_or(&new), &new);
}

fn read(kind: &Kind, message: &Message, bare: &[u8]) -> Option<Value> {
    let wrapped = proto::wrap(&kind.api_version(), kind.kind, bare);
    let envelope = proto::open(&wrapped).expect("what is wrapped can be opened");
    proto::decode(message, &envelope).ok()
}

/// What decoding makes of an object.
fn form(kind: &Kind, message: &Message, mut object: Value) -> Option<Value> {
    object.as_object()?;
    schema::decode(message, &mut object, FieldValidation::Ignore).ok()?;
    schema::default(message, &mut object);
    (kind.default)(&mut object);
    Some(object)
}

/// The way of an object through all that is special about its kind.
fn hooks(kind: &'static Kind, message: &'static Message, old: &Value, new: &Value) {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let groups = ["system:authenticated".to_owned()];
    let context = Context { user: "u", uid: "1", groups: &groups, extra: &[], now };
    let mut created = new.clone();
    meta::set_uid(&mut created, "1");
    meta::set_creation_timestamp(&mut created, now);
    kind.prepare_for_create(&mut created, &context);
    settle(kind, message, &mut created);
    let _ = (kind.check_create(&created), (kind.warnings)(&created, None));
    shown(kind, &created, now);

    let mut changed = new.clone();
    kind.prepare_for_update(&mut changed, old, &context);
    settle(kind, message, &mut changed);
    let _ = (kind.check_update(&changed, old), (kind.warnings)(&changed, Some(old)));

    for subresource in kind.subresources.iter().filter(|subresource| subresource.body.2.is_empty()) {
        let mut changed = new.clone();
        subresource.prepare_for_update(&mut changed, old, &context);
        settle(kind, message, &mut changed);
        let _ = subresource.check_update(&changed, old);
    }
}

fn shown(kind: &Kind, object: &Value, now: Timestamp) {
    let cells = (kind.row)(object, now);
    assert_eq!(cells.len(), kind.columns.len(), "{}", kind.kind);
    let _ = (kind.row_conditions)(object);
    for field in kind.selectable {
        let _ = (field.get)(object);
    }
    let _ = kinds::quota::usage(kind.group, kind.plural, object, now);
}

/// Hooks leave what fits the kind.
fn settle(kind: &Kind, message: &Message, object: &mut Value) {
    let settled = schema::decode(message, object, FieldValidation::Ignore);
    assert!(settled.is_ok(), "{}: {settled:?}", kind.kind);
    let _ = proto::encode(message, object);
}

fn message(kind: &Kind) -> &'static Message {
    schema::message(kind.schema).expect("each kind has a schema")
}
