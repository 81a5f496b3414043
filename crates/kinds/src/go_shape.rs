//! Values as Go prints the server's own structs into messages: names in capitals, nothing left out.
//!
//! Some messages show a whole part of an object in the form that the original server keeps in memory. It differs from
//! the API's: fields have Go's names, absent pointers, lists and maps are `null`, absent texts and numbers are zero.

use machinery::schema::{Field, Kind, Message, Type, message};
use machinery::{Object, Value, value};

/// The value of the message `name` as messages show it.
#[must_use]
pub fn shown(name: &str, value: &Value) -> Value {
    message(name).map_or_else(|| value.clone(), |message| of_message(message, Some(value)))
}

/// A pod template as messages show it: its metadata stands in it without a name of its own.
#[must_use]
pub fn pod_template(template: &Value) -> Value {
    let metadata = template.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut object = Object::new();
    for (name, value) in metadata {
        object.insert(name, value);
    }
    object.insert("Spec", pod_spec(template.get("spec").unwrap_or(&Value::Null)));
    Value::Object(object)
}

/// A pod spec as messages show it: what is shared with the host is part of its security context.
#[must_use]
pub fn pod_spec(spec: &Value) -> Value {
    const HOST: [(&str, &str, bool); 5] = [
        ("hostNetwork", "HostNetwork", false),
        ("hostPID", "HostPID", false),
        ("hostIPC", "HostIPC", false),
        ("shareProcessNamespace", "ShareProcessNamespace", true),
        ("hostUsers", "HostUsers", true),
    ];
    let Value::Object(mut object) = shown("io.k8s.api.core.v1.PodSpec", spec) else { return Value::Null };
    object.remove("DeprecatedServiceAccount");
    let mut context = Object::new();
    for (field, go, pointer) in HOST {
        let unset = if pointer { Value::Null } else { Value::Bool(false) };
        context.insert(go, spec.get(field).cloned().unwrap_or(unset));
        object.remove(go);
    }
    if let Some(Value::Object(rest)) = object.get_mut("SecurityContext") {
        for (name, value) in std::mem::take(rest) {
            context.insert(name, value);
        }
        *rest = context;
    }
    let mut ordered = Object::new();
    for name in POD_SPEC_ORDER {
        if let Some(value) = object.remove(name) {
            ordered.insert(name, value);
        }
    }
    Value::Object(ordered)
}

/// The order of a pod spec's fields in the server's memory.
const POD_SPEC_ORDER: [&str; 36] = [
    "Volumes",
    "InitContainers",
    "Containers",
    "EphemeralContainers",
    "RestartPolicy",
    "TerminationGracePeriodSeconds",
    "ActiveDeadlineSeconds",
    "DNSPolicy",
    "NodeSelector",
    "ServiceAccountName",
    "AutomountServiceAccountToken",
    "NodeName",
    "SecurityContext",
    "ImagePullSecrets",
    "Hostname",
    "Subdomain",
    "SetHostnameAsFQDN",
    "Affinity",
    "SchedulerName",
    "Tolerations",
    "HostAliases",
    "PriorityClassName",
    "Priority",
    "PreemptionPolicy",
    "DNSConfig",
    "ReadinessGates",
    "RuntimeClassName",
    "Overhead",
    "EnableServiceLinks",
    "TopologySpreadConstraints",
    "OS",
    "SchedulingGates",
    "ResourceClaims",
    "Resources",
    "HostnameOverride",
    "SchedulingGroup",
];

fn of_message(message: &Message, value: Option<&Value>) -> Value {
    // What upstream's libraries share keeps its JSON form in memory.
    if message.name.starts_with("io.k8s.apimachinery.") {
        return value.cloned().unwrap_or_else(Value::object);
    }
    let mut object = Object::new();
    let mut push = |name: String, field: &Field| {
        let value = value.and_then(|value| value.get(&field.name)).filter(|value| !value.is_null());
        object.push(name, of_field(field, value));
    };
    if message.name == machinery::schema::JSON_SCHEMA {
        for (go, json) in SCHEMA_FIELDS {
            message.field(json).into_iter().for_each(|field| push(go.to_owned(), field));
        }
    } else {
        message.fields.iter().for_each(|field| push(go_name(message, field), field));
    }
    Value::Object(object)
}

/// The fields of a schema in the order of the server's memory: their names there and in JSON.
const SCHEMA_FIELDS: [(&str, &str); 44] = [
    ("ID", "id"),
    ("Schema", "$schema"),
    ("Ref", "$ref"),
    ("Description", "description"),
    ("Type", "type"),
    ("Nullable", "nullable"),
    ("Format", "format"),
    ("Title", "title"),
    ("Default", "default"),
    ("Maximum", "maximum"),
    ("ExclusiveMaximum", "exclusiveMaximum"),
    ("Minimum", "minimum"),
    ("ExclusiveMinimum", "exclusiveMinimum"),
    ("MaxLength", "maxLength"),
    ("MinLength", "minLength"),
    ("Pattern", "pattern"),
    ("MaxItems", "maxItems"),
    ("MinItems", "minItems"),
    ("UniqueItems", "uniqueItems"),
    ("MultipleOf", "multipleOf"),
    ("Enum", "enum"),
    ("MaxProperties", "maxProperties"),
    ("MinProperties", "minProperties"),
    ("Required", "required"),
    ("Items", "items"),
    ("AllOf", "allOf"),
    ("OneOf", "oneOf"),
    ("AnyOf", "anyOf"),
    ("Not", "not"),
    ("Properties", "properties"),
    ("AdditionalProperties", "additionalProperties"),
    ("PatternProperties", "patternProperties"),
    ("Dependencies", "dependencies"),
    ("AdditionalItems", "additionalItems"),
    ("Definitions", "definitions"),
    ("ExternalDocs", "externalDocs"),
    ("Example", "example"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource"),
    ("XIntOrString", "x-kubernetes-int-or-string"),
    ("XListMapKeys", "x-kubernetes-list-map-keys"),
    ("XListType", "x-kubernetes-list-type"),
    ("XMapType", "x-kubernetes-map-type"),
    ("XValidations", "x-kubernetes-validations"),
];

/// A schema, or something else in its place, which has a field of its own.
fn of_schema_or(kind: &Kind, value: &Value) -> Value {
    let of_schema = |schema: &Value| shown(machinery::schema::JSON_SCHEMA, schema);
    let schema = value.as_object().map_or(Value::Null, |_| of_schema(value));
    match kind {
        Kind::SchemaOrBool => value!({"Allows": (value.as_bool().unwrap_or(true)), "Schema": schema}),
        Kind::SchemaOrArray => {
            let all = value.as_array().map(|all| all.iter().map(of_schema).collect::<Vec<_>>());
            value!({"Schema": schema, "JSONSchemas": (all.map_or(Value::Null, Value::Array))})
        }
        _ => value!({"Schema": schema, "Property": (value.as_array().map_or(Value::Null, |_| value.clone()))}),
    }
}

fn of_field(field: &Field, value: Option<&Value>) -> Value {
    match value {
        None if field.pointer => Value::Null,
        value => of_type(&field.kind, value),
    }
}

fn of_type(kind: &Type, value: Option<&Value>) -> Value {
    match (&kind.kind, value) {
        (Kind::Message(reference), value) => of_message(reference.message(), value),
        (Kind::List(list), Some(Value::Array(items))) => {
            Value::Array(items.iter().map(|item| of_type(&list.item, Some(item))).collect())
        }
        (Kind::Map(map), Some(Value::Object(members))) => {
            let mut all: Vec<_> = members.iter().collect();
            all.sort_by_key(|(name, _)| name.as_str());
            Value::Object(
                all.into_iter().map(|(name, member)| (name.clone(), of_type(&map.value, Some(member)))).collect(),
            )
        }
        (kind @ (Kind::SchemaOrBool | Kind::SchemaOrArray | Kind::SchemaOrStrings), Some(value)) => {
            of_schema_or(kind, value)
        }
        (_, Some(value)) => value.clone(),
        (Kind::String, None) => "".into(),
        (Kind::Bool, None) => false.into(),
        (Kind::Int32 | Kind::Int64 | Kind::Float | Kind::IntOrString, None) => 0.into(),
        (Kind::Quantity, None) => "0".into(),
        (_, None) => Value::Null,
    }
}

/// Words at a name's start that Go writes in its own way.
const GO_WORDS: [(&str, &str); 18] = [
    ("api", "API"),
    ("cel", "CEL"),
    ("dns", "DNS"),
    ("fs", "FS"),
    ("gmsa", "GMSA"),
    ("grpc", "GRPC"),
    ("http", "HTTP"),
    ("ip", "IP"),
    ("ips", "IPs"),
    ("json", "JSON"),
    ("os", "OS"),
    ("qos", "QOS"),
    ("se", "SE"),
    ("tcp", "TCP"),
    ("tls", "TLS"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("url", "URL"),
];

/// Go's name of a field: the JSON name with a capital, words that are short for others all in capitals.
fn go_name(message: &Message, field: &Field) -> String {
    let name = field.name.as_str();
    if message.short_name() == "DeviceAttribute" {
        return format!("{}Value{}", capital(name.trim_end_matches('s')), if name.ends_with('s') { "s" } else { "" });
    }
    for (prefix, go) in GO_WORDS {
        if let Some(rest) = name.strip_prefix(prefix)
            && rest.chars().next().is_none_or(char::is_uppercase)
        {
            return format!("{go}{rest}");
        }
    }
    match name {
        // The field of an old name.
        "serviceAccount" => "DeprecatedServiceAccount".to_owned(),
        name => capital(name),
    }
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::json;

    #[test]
    fn schemas() {
        let schema = value!({"type": "object", "nullable": true, "properties": {"a": {"type": "array", "items": {"type": "string"}}},
            "additionalProperties": false, "x-kubernetes-validations": [{"rule": "true"}]});
        expect_test::expect![[r#"{"ID":"","Schema":"","Ref":null,"Description":"","Type":"object","Nullable":true,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":null,"Items":null,"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":{"a":{"ID":"","Schema":"","Ref":null,"Description":"","Type":"array","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":null,"Items":{"Schema":{"ID":"","Schema":"","Ref":null,"Description":"","Type":"string","Nullable":false,"Format":"","Title":"","Default":null,"Maximum":null,"ExclusiveMaximum":false,"Minimum":null,"ExclusiveMinimum":false,"MaxLength":null,"MinLength":null,"Pattern":"","MaxItems":null,"MinItems":null,"UniqueItems":false,"MultipleOf":null,"Enum":null,"MaxProperties":null,"MinProperties":null,"Required":null,"Items":null,"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":null,"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null},"JSONSchemas":null},"AllOf":null,"OneOf":null,"AnyOf":null,"Not":null,"Properties":null,"AdditionalProperties":null,"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":null}},"AdditionalProperties":{"Allows":false,"Schema":null},"PatternProperties":null,"Dependencies":null,"AdditionalItems":null,"Definitions":null,"ExternalDocs":null,"Example":null,"XPreserveUnknownFields":null,"XEmbeddedResource":false,"XIntOrString":false,"XListMapKeys":null,"XListType":null,"XMapType":null,"XValidations":[{"Rule":"true","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}]}"#]].assert_eq(&json::to_string(&shown(machinery::schema::JSON_SCHEMA, &schema)));
    }

    #[test]
    fn claims() {
        let spec = value!({"devices": {"requests": [{"name": "r", "exactly": {
            "deviceClassName": "x", "allocationMode": "ExactCount", "count": 1, "selectors": [{"cel": {"expression": "true"}}]}}]}});
        expect_test::expect![[r#"{"Devices":{"Requests":[{"Name":"r","Exactly":{"DeviceClassName":"x","Selectors":[{"CEL":{"Expression":"true"}}],"AllocationMode":"ExactCount","Count":1,"AdminAccess":null,"Tolerations":null,"Capacity":null},"FirstAvailable":null}],"Constraints":null,"Config":null}}"#]]
        .assert_eq(&json::to_string(&shown("io.k8s.api.resource.v1.ResourceClaimSpec", &spec)));
    }
}
