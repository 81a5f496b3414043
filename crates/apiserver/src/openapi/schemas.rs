//! The shape of messages as OpenAPI writes it.

use std::collections::BTreeMap;

use machinery::schema::{Field, Kind, List, Map, Message, Omit, Relation, Type};
use machinery::{Object, Value, value};

use super::Form;
use super::descriptions::Description;

/// The schemas that are written so far, and what is said about them.
pub struct Schemas<'a> {
    form: Form,
    descriptions: &'a BTreeMap<String, Description>,
    written: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    /// None yet.
    pub fn new(form: Form, descriptions: &'a BTreeMap<String, Description>) -> Self {
        Self { form, descriptions, written: BTreeMap::new() }
    }

    /// Adds a message and all that it uses. `names` are the group, version and kind pairs that it stands for.
    pub fn add(&mut self, message: &Message, names: &[(&str, &str, &str)]) {
        if self.written.contains_key(message.name.as_str()) {
            return;
        }
        // Takes its place first: messages may use themselves.
        self.written.insert(message.name.to_string(), Value::Null);
        let said = self.descriptions.get(message.name.as_str());
        let mut schema = Object::new();
        if let Some(said) = said.filter(|said| !said.text.is_empty()) {
            schema.insert("description", said.text.as_str());
        }
        schema.insert("type", "object");
        let required: Vec<&str> = message.fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
        if !required.is_empty() {
            schema.insert("required", required);
        }
        let mut properties = Object::new();
        for field in &message.fields {
            let text = said.and_then(|said| said.fields.get(field.name.as_str())).map_or("", String::as_str);
            properties.push(field.name.clone(), self.property(field, text));
        }
        if !properties.is_empty() {
            schema.insert("properties", properties);
        }
        if message.atomic {
            schema.insert("x-kubernetes-map-type", "atomic");
        }
        if !names.is_empty() {
            let names = names
                .iter()
                .map(|(group, version, kind)| value!({"group": (*group), "kind": (*kind), "version": (*version)}));
            schema.insert("x-kubernetes-group-version-kind", names.collect::<Vec<Value>>());
        }
        self.written.insert(message.name.to_string(), Value::Object(schema));
    }

    /// Adds a schema that is no message of the table.
    pub fn add_as(&mut self, name: &str, schema: Value) {
        self.written.insert(name.to_owned(), schema);
    }

    /// All schemas, by name.
    pub fn finish(self) -> Value {
        Value::Object(Object::from_iter(self.written))
    }

    fn property(&mut self, field: &Field, text: &str) -> Value {
        let mut schema = self.typed(&field.kind);
        let mut property = Object::new();
        if !text.is_empty() {
            property.insert("description", text);
        }
        if self.form == Form::V3
            && let Some(default) = shown_default(field)
        {
            property.insert("default", default);
        }
        // In v3 a reference stands alone; what is said beside it needs `allOf`.
        if self.form == Form::V3
            && let Some(reference) = schema.remove("$ref")
        {
            if property.is_empty() {
                property.insert("$ref", reference);
            } else {
                property.insert("allOf", vec![value!({"$ref": reference})]);
            }
        }
        for (name, value) in schema {
            property.insert(name, value);
        }
        if !field.enumeration.is_empty() {
            property.insert("enum", field.enumeration.clone());
        }
        extensions(field, &mut property);
        Value::Object(property)
    }

    fn typed(&mut self, kind: &Type) -> Object {
        match &kind.kind {
            Kind::Message(reference) => {
                self.add(reference.message(), &[]);
                Object::from_iter([("$ref", self.form.reference(&reference.message().name))])
            }
            Kind::List(list) => self.list(list),
            Kind::Map(map) => self.map(map),
            other => self.leaf(other),
        }
    }

    fn list(&mut self, list: &List) -> Object {
        let item = self.inner(&list.item);
        Object::from_iter([("type", Value::from("array")), ("items", item)])
    }

    fn map(&mut self, map: &Map) -> Object {
        let value = self.inner(&map.value);
        Object::from_iter([("type", Value::from("object")), ("additionalProperties", value)])
    }

    /// The type of items and values; v3 says which zero value an absent one has.
    fn inner(&mut self, kind: &Type) -> Value {
        let mut schema = self.typed(kind);
        if self.form == Form::V2 {
            return Value::Object(schema);
        }
        let zero = zero(&kind.kind);
        if let (Some(reference), Some(zero)) = (schema.get("$ref").cloned(), &zero) {
            return value!({"default": (zero.clone()), "allOf": [{"$ref": reference}]});
        }
        if let Some(zero) = zero {
            schema.insert("default", zero);
        }
        Value::Object(schema)
    }

    fn leaf(&mut self, kind: &Kind) -> Object {
        const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
        const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";
        let plain = |kind: &str, format: &str| {
            let mut schema = Object::from_iter([("type", Value::from(kind))]);
            if !format.is_empty() {
                schema.insert("format", format);
            }
            schema
        };
        match kind {
            Kind::String | Kind::Message(_) | Kind::List(_) | Kind::Map(_) => plain("string", ""),
            Kind::Bool => plain("boolean", ""),
            Kind::Int32 => plain("integer", "int32"),
            Kind::Int64 => plain("integer", "int64"),
            Kind::Float => plain("number", "double"),
            Kind::Bytes => plain("string", "byte"),
            Kind::Time => self.named(&format!("{META}.Time"), plain("string", "date-time")),
            Kind::MicroTime => self.named(&format!("{META}.MicroTime"), plain("string", "date-time")),
            Kind::Fields => self.named(&format!("{META}.FieldsV1"), plain("object", "")),
            Kind::Quantity => self.text_or_number("io.k8s.apimachinery.pkg.api.resource.Quantity", ""),
            Kind::IntOrString => {
                self.text_or_number("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "int-or-string")
            }
            Kind::Raw => self.named("io.k8s.apimachinery.pkg.runtime.RawExtension", plain("object", "")),
            Kind::Json => self.named(&format!("{EXTENSIONS}.JSON"), Object::new()),
            Kind::SchemaOrBool => self.named(&format!("{EXTENSIONS}.JSONSchemaPropsOrBool"), Object::new()),
            Kind::SchemaOrArray => self.named(&format!("{EXTENSIONS}.JSONSchemaPropsOrArray"), Object::new()),
            Kind::SchemaOrStrings => self.named(&format!("{EXTENSIONS}.JSONSchemaPropsOrStringArray"), Object::new()),
        }
    }

    fn text_or_number(&mut self, name: &str, format: &str) -> Object {
        let mut schema = Object::new();
        match self.form {
            Form::V2 => drop(schema.insert("type", "string")),
            Form::V3 => drop(schema.insert("oneOf", vec![value!({"type": "string"}), value!({"type": "number"})])),
        }
        if !format.is_empty() {
            schema.insert("format", format);
        }
        self.named(name, schema)
    }

    /// A leaf type that has a schema of its own.
    fn named(&mut self, name: &str, mut schema: Object) -> Object {
        if !self.written.contains_key(name) {
            if let Some(said) = self.descriptions.get(name).filter(|said| !said.text.is_empty()) {
                schema.insert("description", said.text.as_str());
            }
            self.written.insert(name.to_owned(), Value::Object(schema));
        }
        Object::from_iter([("$ref", self.form.reference(name))])
    }
}

/// The default that the document shows: the table's, or the zero value of what is always written.
fn shown_default(field: &Field) -> Option<Value> {
    if let Some(default) = &field.default {
        return Some(default.clone());
    }
    let is_message = matches!(field.kind.kind, Kind::Message(_));
    if field.pointer || (field.omit != Omit::Never && !is_message) {
        return None;
    }
    zero(&field.kind.kind)
}

/// Go's zero value, where the document shows one.
fn zero(kind: &Kind) -> Option<Value> {
    match kind {
        Kind::String => Some("".into()),
        Kind::Bool => Some(false.into()),
        Kind::Int32 | Kind::Int64 | Kind::Float => Some(Value::Int(0)),
        Kind::Message(_) => Some(Value::object()),
        _ => None,
    }
}

/// Who owns what in a list or map, and how a strategic patch merges it.
fn extensions(field: &Field, property: &mut Object) {
    match &field.kind.kind {
        Kind::List(list) => match &list.relation {
            Relation::Map(keys) => {
                property.insert("x-kubernetes-list-map-keys", keys.clone());
                property.insert("x-kubernetes-list-type", "map");
            }
            Relation::Set => drop(property.insert("x-kubernetes-list-type", "set")),
            Relation::Atomic => drop(property.insert("x-kubernetes-list-type", "atomic")),
        },
        Kind::Map(map) if map.atomic => drop(property.insert("x-kubernetes-map-type", "atomic")),
        Kind::Message(reference) if reference.is_atomic() && !reference.message().atomic => {
            property.insert("x-kubernetes-map-type", "atomic");
        }
        _ => {}
    }
    if let Some(key) = &field.patch.key {
        property.insert("x-kubernetes-patch-merge-key", key.clone());
    }
    let strategies =
        [(field.patch.merge, "merge"), (field.patch.replace, "replace"), (field.patch.retain_keys, "retainKeys")];
    let strategies: Vec<&str> = strategies.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    if !strategies.is_empty() {
        property.insert("x-kubernetes-patch-strategy", strategies.join(","));
    }
}
