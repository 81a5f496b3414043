//! Secret: confidential data as keys and values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Object, Value, meta, names};

use super::config_map::{MAX_SIZE_BYTES, decoded_length, immutable_data};
use crate::kind::{BASE, Kind, MetadataChecks, selectable};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, str, text};
use crate::validate::metadata::sorted;

const SECRET: &str = "io.k8s.api.core.v1.Secret";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Secret",
    plural: "secrets",
    storage: "secrets",
    schema: SECRET,
    columns: &[NAME, text("Type", Describe::Field(SECRET, "type")), text("Data", Describe::Field(SECRET, "data")), AGE],
    row,
    selectable: selectable!["metadata.name", "metadata.namespace", "type"],
    default,
    prepare_update,
    validate,
    validate_update,
    warnings,
    metadata: MetadataChecks::BOTH,
    ..BASE
};

fn row(secret: &Value, now: Timestamp) -> Vec<Value> {
    let count = secret.get("data").and_then(Value::as_object).map_or(0, Object::len);
    vec![
        meta::name(secret).into(),
        str(secret, &["type"]),
        Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
        age(secret, now),
    ]
}

fn default(secret: &mut Value) {
    encode_string_data(secret);
    if secret.str_at(&["type"]).is_none_or(str::is_empty) {
        secret.set_at(&["type"], "Opaque");
    }
}

/// Plain texts become data; they are never kept as they came.
fn encode_string_data(secret: &mut Value) {
    let Some(Value::Object(plain)) = secret.as_object_mut().and_then(|fields| fields.remove("stringData")) else {
        return;
    };
    for (key, value) in plain {
        secret.set_at(&["data", &key], STANDARD.encode(value.as_str().unwrap_or_default()));
    }
}

/// An update without a type keeps the type.
fn prepare_update(new: &mut Value, old: &Value, _: &crate::Context<'_>) {
    if new.str_at(&["type"]).is_none_or(str::is_empty) {
        crate::kind::keep(new, old, &["type"]);
    }
}

fn validate(secret: &Value) -> Errors {
    let mut errors = Errors::new();
    let data = Path::new("data");
    let mut size = 0;
    for (key, value) in sorted(secret.get("data").and_then(Value::as_object)) {
        errors.extend(names::is_config_map_key(key).into_iter().map(|m| Error::invalid(&data.key(key), key, m)));
        size += decoded_length(value.as_str().unwrap_or_default());
    }
    if size > MAX_SIZE_BYTES {
        errors.push(Error::too_long(&data, MAX_SIZE_BYTES));
    }
    errors.extend(typed(secret, &data));
    errors
}

/// What a type asks of the data.
fn typed(secret: &Value, data: &Path) -> Errors {
    let has = |key: &str| secret.at(&["data", key]).is_some();
    let missing = |keys: &[&str]| -> Errors {
        keys.iter().filter(|key| !has(key)).map(|key| Error::required(&data.key(key), "")).collect()
    };
    match secret.str_at(&["type"]).unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            let name = "kubernetes.io/service-account.name";
            let absent = meta::annotation(secret, name).is_none_or(str::is_empty);
            let path = Path::new("metadata.annotations").key(name);
            absent.then(|| Error::required(&path, "")).into_iter().collect()
        }
        "kubernetes.io/dockercfg" => docker_json(secret, ".dockercfg", data),
        "kubernetes.io/dockerconfigjson" => docker_json(secret, ".dockerconfigjson", data),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => missing(&["username", "password"]),
        "kubernetes.io/ssh-auth" => {
            let empty = secret.str_at(&["data", "ssh-privatekey"]).is_none_or(str::is_empty);
            empty.then(|| Error::required(&data.key("ssh-privatekey"), "")).into_iter().collect()
        }
        "kubernetes.io/tls" => missing(&["tls.crt", "tls.key"]),
        _ => Errors::new(),
    }
}

fn docker_json(secret: &Value, key: &str, data: &Path) -> Errors {
    let path = data.key(key);
    let Some(text) = secret.str_at(&["data", key]) else { return vec![Error::required(&path, "")] };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let Some(problem) = go_json_problem(&bytes) else { return Errors::new() };
    vec![Error::invalid(&path, "<secret contents redacted>", problem)]
}

/// Why bytes are no JSON object, as Go's parser says. Nothing at all is none, `null` is an empty one.
fn go_json_problem(bytes: &[u8]) -> Option<String> {
    let kind = match machinery::json::parse(bytes) {
        Err(error) => return Some(error.to_string()),
        Ok(Value::Object(_) | Value::Null) => return None,
        Ok(Value::Array(_)) => "array",
        Ok(Value::String(_)) => "string",
        Ok(Value::Bool(_)) => "bool",
        Ok(Value::Int(_) | Value::Float(_)) => "number",
    };
    Some(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors: Errors = immutable(new.get("type"), old.get("type"), &Path::new("type")).into_iter().collect();
    errors.extend(immutable_data(new, old, &["data"]));
    errors.extend(validate(new));
    errors
}

fn warnings(new: &Value, _: Option<&Value>) -> Vec<String> {
    if new.str_at(&["type"]) != Some("kubernetes.io/tls") {
        return Vec::new();
    }
    let bytes = |key: &str| STANDARD.decode(new.str_at(&["data", key]).unwrap_or_default()).unwrap_or_default();
    let marker = |key: &str, marker: &[u8]| bytes(key).windows(marker.len()).any(|window| window == marker);
    if marker("tls.crt", b"-----BEGIN CERTIFICATE-----") && marker("tls.key", b"PRIVATE KEY-----") {
        return Vec::new();
    }
    if !marker("tls.crt", b"-----BEGIN ") {
        return vec!["tls: failed to find any PEM data in certificate input".to_owned()];
    }
    if !marker("tls.key", b"-----BEGIN ") {
        return vec!["tls: failed to find any PEM data in key input".to_owned()];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_text_is_no_json_object() {
        let texts = ["{}", "null", "", "hi", r#"{"a":"#, r#"{"a":tru}"#, "{} x", r#"{"a":1,}"#, "[1]", "1"];
        let shown: Vec<String> = texts
            .iter()
            .map(|text| format!("{text}: {}", go_json_problem(text.as_bytes()).unwrap_or_default()))
            .collect();
        expect_test::expect![[r#"
            {}: 
            null: 
            : unexpected end of JSON input
            hi: invalid character 'h' looking for beginning of value
            {"a":: unexpected end of JSON input
            {"a":tru}: invalid character '}' in literal true (expecting 'e')
            {} x: invalid character 'x' after top-level value
            {"a":1,}: invalid character '}' looking for beginning of object key string
            [1]: json: cannot unmarshal array into Go value of type map[string]interface {}
            1: json: cannot unmarshal number into Go value of type map[string]interface {}"#]]
        .assert_eq(&shown.join("\n"));
    }
}
