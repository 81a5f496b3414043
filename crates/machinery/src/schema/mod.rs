//! The field table: the shape of every message of the API, and the algorithms that need nothing but a shape.
//!
//! The table is text (`table/*.txt`, written by `cargo xtask codegen`), one file a package, read when its first message
//! is asked for.

mod base64;
mod convert;
mod decode;
mod default;
mod names;
mod order;
mod registry;
mod text;
mod time;
mod zero;

use std::sync::{Arc, OnceLock};

pub use base64::{decode as decode_base64, encode as encode_base64};
pub use convert::convert;
pub use decode::{DecodeError, FieldValidation, decode, decode_sent};
pub use default::default;
pub use order::order;
pub use registry::{message, of_kind};
pub use time::{ParseError as TimeError, parse_micro_time, parse_time};

use crate::{Text, Value};

/// The message of a JSON schema, which the types of two forms hold.
pub const JSON_SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// The shape of an object: its fields in the order in which they are written.
#[derive(Debug)]
pub struct Message {
    /// The full name, `io.k8s.api.core.v1.Pod`.
    pub name: Text,
    /// The fields in writing order, those of inlined messages in their place.
    pub fields: Vec<Field>,
    /// The inlined messages, as ranges of [`Self::fields`].
    pub embeds: Vec<Embed>,
    /// Whether its managers own it as a whole (KEP-555, `x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Positions in [`Self::fields`], by JSON name.
    by_name: names::Names,
    /// The fields of which something is written even when they are absent.
    told: Vec<usize>,
    /// The fields that have defaults, or below which there are some.
    defaulted: OnceLock<Vec<usize>>,
    /// For each field, how many names come before its own in the alphabet.
    ranks: Vec<usize>,
    zero: OnceLock<Value>,
}

/// A message whose fields stand in another one's JSON; in protobuf it is a field of its own.
#[derive(Debug)]
pub struct Embed {
    /// The inlined message.
    pub message: &'static Message,
    /// Its protobuf number; 0 when it travels in the envelope (`kind`, `apiVersion`).
    pub number: u32,
    /// Its first field.
    pub first: usize,
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// The JSON name.
    pub name: Text,
    /// The type.
    pub kind: Type,
    /// The protobuf number.
    pub number: u32,
    /// Whether Go has a pointer: absent and zero then differ.
    pub pointer: bool,
    /// When the field is not written.
    pub omit: Omit,
    /// Whether OpenAPI says that it must be there.
    pub required: bool,
    /// What a strategic merge patch does.
    pub patch: Patch,
    /// What an absent field gets.
    pub default: Option<Value>,
    /// The only texts that are valid; empty: any.
    pub enumeration: Vec<&'static str>,
}

/// When a field is left out of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omit {
    /// Never: an absent one is written as its zero value.
    Never,
    /// When it is empty, in Go's sense: a struct never is.
    Empty,
    /// When it is the zero value, a struct's too.
    Zero,
}

/// What a strategic merge patch does with a field.
#[derive(Debug, Default)]
pub struct Patch {
    /// Lists and objects are merged.
    pub merge: bool,
    /// Objects may name the keys to keep.
    pub retain_keys: bool,
    /// Objects are replaced as a whole.
    pub replace: bool,
    /// What makes two items of a list the same; none: the item itself.
    pub key: Option<Text>,
}

/// A type, and how Go calls it.
#[derive(Debug)]
pub struct Type {
    /// The type.
    pub kind: Kind,
    /// Go's name where it is not the kind's own, `v1.Protocol` for a text.
    alias: Option<&'static str>,
}

/// The forms a value has.
#[derive(Debug)]
pub enum Kind {
    /// Text.
    String,
    /// True or false.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A number.
    Float,
    /// Bytes, in JSON as base64.
    Bytes,
    /// An amount, `100m`.
    Quantity,
    /// A whole number of 32 bits, or a text.
    IntOrString,
    /// A time of whole seconds.
    Time,
    /// A time with six digits of fraction.
    MicroTime,
    /// Any object, kept as it is.
    Raw,
    /// A set of fields (managedFields), kept as it is.
    Fields,
    /// Any JSON, kept as it is.
    Json,
    /// A JSON schema or a truth.
    SchemaOrBool,
    /// A JSON schema or a list of them.
    SchemaOrArray,
    /// A JSON schema or a list of texts.
    SchemaOrStrings,
    /// An object with fields.
    Message(Reference),
    /// A list.
    List(Box<List>),
    /// An object with free names.
    Map(Box<Map>),
}

/// The message of a field.
#[derive(Debug)]
pub struct Reference {
    target: Target,
    found: OnceLock<&'static Message>,
    /// What the field says about atomicity, over what the message says.
    atomic: Option<bool>,
}

#[derive(Debug)]
enum Target {
    Package(&'static str, &'static str),
    Own(Arc<Message>),
}

/// A list's items and who owns them.
#[derive(Debug)]
pub struct List {
    /// The type of the items.
    pub item: Type,
    /// What makes two items the same.
    pub relation: Relation,
}

/// How a list's items relate (`x-kubernetes-list-type`).
#[derive(Debug, PartialEq, Eq)]
pub enum Relation {
    /// The list is one value.
    Atomic,
    /// Each item stands once.
    Set,
    /// Each item is known by the values of these fields.
    Map(Vec<Text>),
}

/// A map's values and who owns them.
#[derive(Debug)]
pub struct Map {
    /// The type of the values.
    pub value: Type,
    /// Whether the map is one value.
    pub atomic: bool,
    key: &'static str,
}

impl Message {
    /// The field of this JSON name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|at| &self.fields[at])
    }

    /// Where the field of this JSON name stands.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.position(&self.fields, name)
    }

    /// Go's name without the package, `PodSpec`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// Whether it stands for itself: it has `kind` and `apiVersion`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.embeds.first().is_some_and(|embed| embed.message.short_name() == "TypeMeta")
    }

    fn new(name: Text, fields: Vec<Field>, embeds: Vec<Embed>, atomic: bool) -> Self {
        let by_name = names::Names::of(&fields);
        let told = (0..fields.len()).filter(|at| zero::is_told(&fields[*at])).collect();
        let mut by_alphabet: Vec<usize> = (0..fields.len()).collect();
        by_alphabet.sort_by_key(|at| &fields[*at].name);
        let mut ranks = vec![0; fields.len()];
        by_alphabet.into_iter().enumerate().for_each(|(rank, at)| ranks[at] = rank);
        Self { name, fields, embeds, atomic, by_name, told, defaulted: OnceLock::new(), ranks, zero: OnceLock::new() }
    }

    /// Where the name of the field that stands at `position` would stand if fields were in alphabetical order.
    #[must_use]
    pub fn rank(&self, position: usize) -> usize {
        self.ranks[position]
    }

    /// The object without any member, as it is written: structs are there and empty.
    #[must_use]
    pub fn zero(&self) -> &Value {
        self.zero.get_or_init(|| {
            let mut zero = Value::object();
            decode(self, &mut zero, FieldValidation::Ignore).expect("an object without members has no wrong one");
            zero
        })
    }

    fn defaulted(&self) -> &[usize] {
        self.defaulted.get_or_init(|| default::places(self))
    }
}

impl Reference {
    /// A reference to a message that is not of the table.
    #[must_use]
    pub fn own(message: Arc<Message>) -> Self {
        Self { target: Target::Own(message), found: OnceLock::new(), atomic: None }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        match &self.target {
            Target::Own(message) => message,
            Target::Package(package, name) => self.found.get_or_init(|| registry::in_package(package, name)),
        }
    }

    /// Whether managers own the object as a whole.
    #[must_use]
    pub fn is_atomic(&self) -> bool {
        self.atomic.unwrap_or_else(|| self.message().atomic)
    }
}

impl Type {
    /// A type without a Go name of its own.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, alias: None }
    }

    /// The type as Go prints it, `[]v1.Container`.
    #[must_use]
    pub fn go_name(&self) -> String {
        if let Some(alias) = self.alias {
            return alias.to_owned();
        }
        match &self.kind {
            Kind::String => "string".to_owned(),
            Kind::Quantity => "resource.Quantity".to_owned(),
            Kind::Time => "v1.Time".to_owned(),
            Kind::MicroTime => "v1.MicroTime".to_owned(),
            Kind::Bool => "bool".to_owned(),
            Kind::IntOrString => "intstr.IntOrString".to_owned(),
            Kind::Int32 => "int32".to_owned(),
            Kind::Int64 => "int64".to_owned(),
            Kind::Float => "float64".to_owned(),
            Kind::Bytes => "[]uint8".to_owned(),
            Kind::Raw => "runtime.RawExtension".to_owned(),
            Kind::Fields => "v1.FieldsV1".to_owned(),
            Kind::Json => "interface {}".to_owned(),
            Kind::SchemaOrBool => "v1.JSONSchemaPropsOrBool".to_owned(),
            Kind::SchemaOrArray => "v1.JSONSchemaPropsOrArray".to_owned(),
            Kind::SchemaOrStrings => "v1.JSONSchemaPropsOrStringArray".to_owned(),
            Kind::Message(reference) => last_two(&reference.message().name).to_owned(),
            Kind::List(list) => format!("[]{}", list.item.go_name()),
            Kind::Map(map) if map.key.is_empty() => format!("map[string]{}", map.value.go_name()),
            Kind::Map(map) => format!("map[v1.{}]{}", map.key, map.value.go_name()),
        }
    }
}

/// `v1.Pod` of `io.k8s.api.core.v1.Pod`.
fn last_two(name: &str) -> &str {
    name.rmatch_indices('.').nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_pods() {
        let pod = of_kind("", "v1", "Pod").unwrap();
        assert_eq!(pod.name, "io.k8s.api.core.v1.Pod");
        assert!(pod.is_root());
        let names: Vec<_> = pod.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["kind", "apiVersion", "metadata", "spec", "status"]);
        let Kind::Message(spec) = &pod.field("spec").unwrap().kind.kind else { panic!("spec is a message") };
        let containers = spec.message().field("containers").unwrap();
        assert_eq!(containers.kind.go_name(), "[]v1.Container");
        assert_eq!((containers.number, containers.required, containers.omit), (2, true, Omit::Never));
        let Kind::List(list) = &containers.kind.kind else { panic!("containers is a list") };
        assert_eq!(list.relation, Relation::Map(vec!["name".into()]));
        let Kind::Message(container) = &list.item.kind else { panic!("a container is a message") };
        assert_eq!(container.message().field("image").unwrap().number, 2);
        assert_eq!(spec.message().field("overhead").unwrap().kind.go_name(), "v1.ResourceList");
    }

    #[test]
    fn every_message_can_be_read_and_every_reference_leads_somewhere() {
        let mut messages = 0;
        for package in registry::packages() {
            for message in package.messages().values() {
                messages += 1;
                message.fields.iter().for_each(|field| visit(&field.kind));
            }
        }
        assert!(messages > 600, "{messages}");
    }

    fn visit(kind: &Type) {
        match &kind.kind {
            Kind::Message(reference) => assert!(!reference.message().name.is_empty()),
            Kind::List(list) => visit(&list.item),
            Kind::Map(map) => visit(&map.value),
            _ => {}
        }
    }

    #[test]
    fn kinds_are_found_by_group_and_version() {
        for (group, version, kind, name) in [
            ("apps", "v1", "Deployment", "io.k8s.api.apps.v1.Deployment"),
            ("rbac.authorization.k8s.io", "v1", "Role", "io.k8s.api.rbac.v1.Role"),
            ("", "v1", "Status", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
            ("apps", "v1", "DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"),
            (
                "apiextensions.k8s.io",
                "v1",
                "CustomResourceDefinition",
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            ),
        ] {
            assert_eq!(of_kind(group, version, kind).unwrap().name, name);
        }
        assert!(of_kind("apps", "v1", "DeploymentSpec").is_none());
        assert!(of_kind("apps", "v1beta1", "Deployment").is_none());
        assert!(message("io.k8s.api.core.v1.Nothing").is_none());
    }
}
