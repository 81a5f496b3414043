//! A tree brought into the form that a Go server would write after reading it: types checked, unknown fields dropped or
//! told, empty ones left out, zero ones filled in, fields in the order of their struct.
//!
//! Invariant: `decode` of its own result changes nothing.
//!
//! An empty list where Go always writes a field is null once it has been stored. What a client sent is another matter:
//! it owns the field that it set to an empty list, so [`decode_sent`] keeps that.

mod leaf;

use std::collections::HashSet;

pub(super) use leaf::described;

use super::{Field, Kind, Message, Omit, Type, zero};
use crate::field::quote;
use crate::{Object, Text, Value};

/// What to do about names that the message does not have, or that stand twice (KEP-2885).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and say so.
    Warn,
    /// Refuse them.
    Strict,
}

/// Why a tree is no object of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A value has the wrong type or form; Go's words.
    #[error("{0}")]
    Type(String),
    /// Names that are unknown or stand twice, one sentence each.
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
}

/// Brings `value` into the form of `message`; gives the warnings.
///
/// # Errors
/// The first value that has a wrong type or form; with [`FieldValidation::Strict`] also unknown and duplicate names.
/// `value` then is in no useful state.
pub fn decode(message: &Message, value: &mut Value, validation: FieldValidation) -> Result<Vec<String>, DecodeError> {
    decode_with(message, value, validation, false)
}

/// As [`decode`], but an empty list or map that a client sent stays one.
///
/// # Errors
/// As [`decode`].
pub fn decode_sent(
    message: &Message,
    value: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, DecodeError> {
    decode_with(message, value, validation, true)
}

fn decode_with(
    message: &Message,
    value: &mut Value,
    validation: FieldValidation,
    keeps_empty: bool,
) -> Result<Vec<String>, DecodeError> {
    let told = validation != FieldValidation::Ignore;
    let mut decoder = Decoder {
        keeps_empty,
        tells: told,
        has_doubles: told,
        found: Vec::new(),
        seen: HashSet::new(),
        steps: Vec::new(),
        owner: None,
        saved: None,
        fatal: None,
    };
    match value {
        Value::Object(object) => decoder.message(message, object),
        Value::Null => *value = Value::object(),
        other => {
            let what = leaf::described(other);
            let name = super::last_two(&message.name);
            return Err(DecodeError::Type(format!("json: cannot unmarshal {what} into Go value of type {name}")));
        }
    }
    if let Some(error) = decoder.fatal.or(decoder.saved) {
        return Err(DecodeError::Type(error));
    }
    match validation {
        FieldValidation::Strict if !decoder.found.is_empty() => Err(DecodeError::Strict(decoder.found)),
        _ => Ok(decoder.found),
    }
}

/// How many unknown and duplicate names are told; more are not listed.
const MAX_FOUND: usize = 100;

struct Decoder<'m> {
    /// Whether empty lists and maps stay what they are.
    keeps_empty: bool,
    /// Whether unknown and duplicate names are collected.
    tells: bool,
    /// Whether the reader has left names that stand twice.
    has_doubles: bool,
    found: Vec<String>,
    seen: HashSet<String>,
    /// What leads here.
    steps: Vec<Step<'m>>,
    /// The struct that holds the field at hand.
    owner: Option<&'m Message>,
    /// The first type error; reading goes on, as Go does.
    saved: Option<String>,
    /// The first error of a type that reads itself; Go stops there, so it wins.
    fatal: Option<String>,
}

/// One step of the way to a value.
enum Step<'m> {
    Field(&'m str),
    Entry(Text),
    Item(usize),
}

/// How the members of an object stand to those that are written.
enum Form {
    /// They are the same.
    Written,
    /// Their order is another.
    OutOfOrder,
    /// Some are not written, or are missing.
    Other,
}

impl<'m> Decoder<'m> {
    fn message(&mut self, message: &'m Message, object: &mut Object) {
        let owner = self.owner.replace(message);
        match self.members(message, object.members_mut()) {
            Form::Written => {}
            Form::OutOfOrder => object.reorder(|name| message.position(name)),
            Form::Other => *object = settled(message, std::mem::take(object), self.keeps_empty),
        }
        self.owner = owner;
    }

    /// Decodes the values of an object's members; says how far the members are as they are written.
    fn members(&mut self, message: &'m Message, members: &mut [(Text, Value)]) -> Form {
        let (mut is_settled, mut is_in_order, mut told, mut next) = (true, true, 0, 0);
        for index in 0..members.len() {
            let (before, rest) = members.split_at_mut(index);
            let (name, value) = &mut rest[0];
            let Some(at) = message.position(name) else {
                self.tell("unknown", name);
                is_settled = false;
                continue;
            };
            let field = &message.fields[at];
            if at < next {
                is_in_order = false;
                // From the end: who repeats a name many times is not to make us search long.
                if before.iter().rev().any(|(earlier, _)| earlier == name) {
                    self.tell("duplicate", name);
                    is_settled = false;
                }
            }
            next = next.max(at + 1);
            if !value.is_null() {
                self.steps.push(Step::Field(&field.name));
                self.value(&field.kind, value);
                self.steps.pop();
            }
            is_settled &= is_written(field, value, self.keeps_empty);
            told += usize::from(zero::is_told(field));
            if name.is_heap_allocated() {
                *name = field.name.clone();
            }
        }
        match is_settled && told == message.told.len() {
            true if is_in_order => Form::Written,
            true => Form::OutOfOrder,
            false => Form::Other,
        }
    }

    fn list(&mut self, item: &'m Type, items: &mut [Value]) {
        for (index, value) in items.iter_mut().enumerate() {
            self.steps.push(Step::Item(index));
            self.element(item, value);
            self.steps.pop();
        }
    }

    fn map(&mut self, kind: &'m Type, object: &mut Object) {
        let members = object.members_mut();
        let mut seen: Option<HashSet<Text>> = None;
        for at in 0..members.len() {
            let (before, rest) = members.split_at_mut(at);
            let (name, value) = &mut rest[0];
            // Names in order stand once; most are.
            if seen.is_none() && before.last().is_some_and(|(last, _)| last >= name) {
                seen = Some(before.iter().map(|(name, _)| name.clone()).collect());
            }
            if seen.as_mut().is_some_and(|seen| !seen.insert(name.clone())) {
                self.tell("duplicate", name);
            }
            // Only what holds fields tells its way.
            let is_told = self.tells && matches!(value, Value::Object(_) | Value::Array(_));
            if is_told {
                self.steps.push(Step::Entry(name.clone()));
            }
            self.element(kind, value);
            if is_told {
                self.steps.pop();
            }
        }
        if seen.is_some() {
            object.keep_last();
            object.sort();
        }
    }

    /// An item of a list or a map; null is the zero value.
    fn element(&mut self, kind: &'m Type, value: &mut Value) {
        if value.is_null() {
            *value = zero::of_type(kind);
        } else {
            self.value(kind, value);
        }
    }

    fn value(&mut self, kind: &'m Type, value: &mut Value) {
        match (&kind.kind, &mut *value) {
            (Kind::Message(reference), Value::Object(object)) => self.message(reference.message(), object),
            (Kind::List(list), Value::Array(items)) => self.list(&list.item, items),
            (Kind::Map(map), Value::Object(object)) => self.map(&map.value, object),
            (Kind::Message(_) | Kind::List(_) | Kind::Map(_), other) => {
                self.mismatch(leaf::described(other), kind);
                *value = zero::of_type(kind);
            }
            _ => self.leaf(kind, value),
        }
    }

    fn tell(&mut self, what: &str, name: &str) {
        if !self.tells || self.found.len() >= MAX_FOUND {
            return;
        }
        let sentence = format!("{what} field {}", quote(&self.path_of(name)));
        if self.seen.insert(sentence.clone()) {
            self.found.push(sentence);
        }
    }

    /// As unknown names are told: `spec.containers[0].name`.
    fn path_of(&self, name: &str) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Item(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) => add_name(&mut path, name),
                Step::Entry(name) => add_name(&mut path, name),
            }
        }
        add_name(&mut path, name);
        path
    }

    fn mismatch(&mut self, what: impl std::fmt::Display, kind: &Type) {
        if self.saved.is_none() {
            self.saved = Some(self.type_error(what, &kind.go_name()));
        }
    }

    fn type_error(&self, what: impl std::fmt::Display, go: &str) -> String {
        let owner = self.owner.map_or("", Message::short_name);
        let names = self.steps.iter().filter_map(|step| if let Step::Field(name) = step { Some(*name) } else { None });
        let field = names.collect::<Vec<_>>().join(".");
        format!("json: cannot unmarshal {what} into Go struct field {owner}.{field} of type {go}")
    }

    fn fail(&mut self, error: String) {
        self.fatal.get_or_insert(error);
    }
}

fn add_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// The members in the order of their places, with what is written of absent fields; of members with one name the last.
fn settled(message: &Message, members: Object, keeps_empty: bool) -> Object {
    let places = members.into_iter().filter_map(|(name, value)| Some((message.position(&name)?, value)));
    let mut found: Vec<(usize, Value)> = places.collect();
    // The last one first, as the other ones go.
    found.reverse();
    found.sort_by_key(|(place, _)| *place);
    found.dedup_by_key(|(place, _)| *place);
    let mut object = Object::with_capacity(found.len() + message.told.len());
    let mut told = message.told.iter().copied().peekable();
    let mut push = |at: usize, value: Value| {
        let field = &message.fields[at];
        written(field, value, keeps_empty).into_iter().for_each(|value| object.push(field.name.clone(), value));
    };
    for (place, value) in found {
        while let Some(absent) = told.next_if(|absent| *absent < place) {
            push(absent, Value::Null);
        }
        told.next_if_eq(&place);
        push(place, value);
    }
    told.for_each(|absent| push(absent, Value::Null));
    object
}

/// What is written of a field that has this value; null is none.
fn written(field: &Field, value: Value, keeps_empty: bool) -> Option<Value> {
    match value {
        Value::Null => zero::of_field(field),
        value if zero::is_omitted(field, &value) => None,
        value if keeps_empty => Some(value),
        // What is stored keeps no difference between an empty list and none.
        Value::Array(items) if items.is_empty() && is_list(field) => Some(Value::Null),
        Value::Object(object) if object.is_empty() && is_map(field) => Some(Value::Null),
        value => Some(value),
    }
}

/// Whether a field with this value is written just so.
fn is_written(field: &Field, value: &Value, keeps_empty: bool) -> bool {
    match value {
        Value::Null => zero::of_field(field) == Some(Value::Null),
        Value::Array(items) if items.is_empty() => (keeps_empty || !is_list(field)) && !zero::is_omitted(field, value),
        Value::Object(object) if object.is_empty() => {
            (keeps_empty || !is_map(field)) && !zero::is_omitted(field, value)
        }
        value => !zero::is_omitted(field, value),
    }
}

/// A list that is written even when it is absent; `items` of a list kind is never stored, so it may be empty.
fn is_list(field: &Field) -> bool {
    field.omit == Omit::Never && matches!(field.kind.kind, Kind::List(_)) && field.name != "items"
}

fn is_map(field: &Field) -> bool {
    field.omit == Omit::Never && matches!(field.kind.kind, Kind::Map(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json, schema};

    fn decoded(kind: &str, text: &str, validation: FieldValidation) -> String {
        let (group, version, kind) = match kind.split('/').collect::<Vec<_>>()[..] {
            [group, version, kind] => (group, version, kind),
            _ => ("", "v1", kind),
        };
        let message = schema::of_kind(group, version, kind).unwrap();
        let mut value = json::parse_with_duplicates(text.as_bytes()).unwrap();
        match decode(message, &mut value, validation) {
            Ok(warnings) if warnings.is_empty() => json::to_string(&value),
            Ok(warnings) => format!("{}\n{}", json::to_string(&value), warnings.join("\n")),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn wrong_types_are_told_as_go_tells_them() {
        for (kind, text, error) in [
            (
                "ConfigMap",
                r#"{"data":{"k":1}}"#,
                "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
            ),
            (
                "ConfigMap",
                r#"{"immutable":"yes"}"#,
                "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool",
            ),
            (
                "ConfigMap",
                r#"{"metadata":{"name":true}}"#,
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.name of type string",
            ),
            ("ConfigMap", r#"{"binaryData":{"b":"!!"}}"#, "illegal base64 data at input byte 0"),
            ("Secret", r#"{"data":{"a":"%%%"}}"#, "illegal base64 data at input byte 0"),
            (
                "Pod",
                r#"{"spec":{"terminationGracePeriodSeconds":"ten"}}"#,
                "json: cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
            ),
            (
                "Pod",
                r#"{"spec":{"containers":{"name":"c"}}}"#,
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                "Pod",
                r#"{"spec":{"containers":[{"image":5}]}}"#,
                "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
            ),
            (
                "Pod",
                r#"{"spec":{"hostNetwork":"yes"}}"#,
                "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
            ),
            (
                "Pod",
                r#"{"spec":{"restartPolicy":1}}"#,
                "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
            ),
            (
                "Pod",
                r#"{"spec":{"priority":3000000000}}"#,
                "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32",
            ),
            (
                "Pod",
                r#"{"spec":{"priority":1.5}}"#,
                "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32",
            ),
            (
                "Pod",
                r#"{"spec":"x"}"#,
                "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
            ),
            ("Pod", "[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
            (
                "Pod",
                r#"{"metadata":{"name":1},"spec":{"containers":[{"resources":{"requests":{"cpu":"abc"}}}]}}"#,
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
            (
                "Pod",
                r#"{"metadata":{"creationTimestamp":"bad"}}"#,
                r#"parsing time "bad" as "2006-01-02T15:04:05Z07:00": cannot parse "bad" as "2006""#,
            ),
            (
                "Pod",
                r#"{"metadata":{"creationTimestamp":1}}"#,
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
            ),
            (
                "Service",
                r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
                "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
            ),
        ] {
            assert_eq!(decoded(kind, text, FieldValidation::Ignore), error, "{text}");
        }
    }

    #[test]
    fn unknown_and_duplicate_names_in_the_order_of_the_text() {
        let text = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","odd":1},"data":{"a":"1","a":"2"},"whoops":true,"data2":{}}"#;
        expect_test::expect![[r#"strict decoding error: unknown field "metadata.odd", duplicate field "data.a", unknown field "whoops", unknown field "data2""#]]
        .assert_eq(&decoded("ConfigMap", text, FieldValidation::Strict));
        let text = r#"{"spec":{"containers":[{"name":"c","oddField":{"a":1},"ports":[{"containerPort":80,"Protocol":"TCP"}]}],"whoops":1}}"#;
        expect_test::expect![[r#"
            {"metadata":{},"spec":{"containers":[{"name":"c","ports":[{"containerPort":80}],"resources":{}}]},"status":{}}
            unknown field "spec.containers[0].oddField"
            unknown field "spec.containers[0].ports[0].Protocol"
            unknown field "spec.whoops""#]]
        .assert_eq(&decoded("Pod", text, FieldValidation::Warn));
    }

    #[test]
    fn an_empty_list_that_was_sent_stays_until_it_is_stored() {
        let message = schema::of_kind("rbac.authorization.k8s.io", "v1", "Role").unwrap();
        let mut role = json::parse(br#"{"rules":[]}"#).unwrap();
        decode_sent(message, &mut role, FieldValidation::Ignore).unwrap();
        assert_eq!(json::to_string(&role), r#"{"metadata":{},"rules":[]}"#);
        decode(message, &mut role, FieldValidation::Ignore).unwrap();
        assert_eq!(json::to_string(&role), r#"{"metadata":{},"rules":null}"#);
    }

    #[test]
    fn the_form_is_that_of_go() {
        for (kind, text, expected) in [
            (
                "ConfigMap",
                r#"{"data":{"b":null,"a":"1"},"binaryData":{},"metadata":null,"immutable":false}"#,
                r#"{"metadata":{},"immutable":false,"data":{"a":"1","b":""}}"#,
            ),
            (
                "apps/v1/Deployment",
                r#"{"spec":{"replicas":0,"paused":false,"selector":null}}"#,
                r#"{"metadata":{},"spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}"#,
            ),
            (
                "autoscaling/v2/HorizontalPodAutoscaler",
                "{}",
                r#"{"metadata":{},"spec":{"scaleTargetRef":{"kind":"","name":""},"maxReplicas":0},"status":{"desiredReplicas":0,"currentMetrics":null}}"#,
            ),
            ("rbac.authorization.k8s.io/v1/Role", r#"{"rules":[]}"#, r#"{"metadata":{},"rules":null}"#),
            (
                "Service",
                r#"{"spec":{"ports":[{"port":80}]}}"#,
                r#"{"metadata":{},"spec":{"ports":[{"port":80,"targetPort":0}]},"status":{"loadBalancer":{}}}"#,
            ),
            (
                "Pod",
                r#"{"spec":{"overhead":{"memory":"1024Mi","cpu":0.5}},"status":{"conditions":[{"type":"Ready","lastProbeTime":"2020-01-02T03:04:05.9+01:00"}]}}"#,
                r#"{"metadata":{},"spec":{"containers":null,"overhead":{"cpu":"500m","memory":"1Gi"}},"status":{"conditions":[{"type":"Ready","status":"","lastProbeTime":"2020-01-02T02:04:05Z","lastTransitionTime":null}]}}"#,
            ),
        ] {
            let once = decoded(kind, text, FieldValidation::Strict);
            assert_eq!(once, expected, "{text}");
            assert_eq!(decoded(kind, &once, FieldValidation::Strict), once);
        }
    }
}
