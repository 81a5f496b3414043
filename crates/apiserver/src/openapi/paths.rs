//! The operations of every resource, as OpenAPI writes them.

use kinds::{Kind, Subresource};
use machinery::{Object, Value, value};

use super::Form;

/// What a parameter is: name, type, what it does.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = ("pretty", "string", "Whether the answer is indented for reading.");
const WRITE: &[Parameter] = &[
    ("dryRun", "string", "`All` does everything but keep the result."),
    ("fieldManager", "string", "Who the written fields belong to."),
    ("fieldValidation", "string", "What happens to unknown and doubled fields: `Ignore`, `Warn` or `Strict`."),
];
const FORCE: Parameter = ("force", "boolean", "Whether an apply takes fields from other managers.");
const DELETE: &[Parameter] = &[
    ("dryRun", "string", "`All` does everything but keep the result."),
    ("gracePeriodSeconds", "integer", "How many seconds the object has to end; 0 is at once."),
    ("orphanDependents", "boolean", "Whether what the object owns stays. Use propagationPolicy instead."),
    ("propagationPolicy", "string", "What happens to what the object owns: `Orphan`, `Background` or `Foreground`."),
];
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Whether a watch may tell how far it is without a change."),
    ("continue", "string", "Where the last page ended."),
    ("fieldSelector", "string", "Only objects with these field values."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "At most so many objects a page."),
    ("resourceVersion", "string", "How old the answer may be, or where a watch begins."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: `Exact` or `NotOlderThan`."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with all objects."),
    ("timeoutSeconds", "integer", "How long the request may take."),
    ("watch", "boolean", "Changes as they come instead of the list."),
];

const JSON: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// One operation before it is written.
struct Operation<'a> {
    method: &'static str,
    action: &'static str,
    /// The group, version and kind that it is about.
    subject: (&'a str, &'a str, &'a str),
    /// The schema of the body, if there is one, and its media types.
    body: Option<(String, &'static [&'static str])>,
    /// The schema of the answer.
    answer: String,
    parameters: Vec<Parameter>,
    id: String,
}

/// The paths of a kind and its subresources.
pub fn of_kind(form: Form, kind: &Kind) -> Vec<(String, Value)> {
    let root = if kind.group.is_empty() {
        format!("/api/{}", kind.version)
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    let place = if kind.namespaced { format!("{root}/namespaces/{{namespace}}") } else { root.clone() };
    let collection = format!("{place}/{}", kind.plural);
    let mut paths = vec![
        (collection.clone(), path(form, &collection, &collection_operations(kind))),
        (format!("{collection}/{{name}}"), path(form, "{namespace}{name}", &object_operations(kind))),
    ];
    if kind.namespaced && kind.verbs.contains(&"list") {
        let everywhere = format!("{root}/{}", kind.plural);
        paths.push((everywhere.clone(), path(form, &everywhere, &[list(kind, "ForAllNamespaces")])));
    }
    for sub in kind.subresources {
        let below = format!("{collection}/{{name}}/{}", sub.name);
        paths.push((below.clone(), path(form, &below, &subresource_operations(kind, sub))));
    }
    if !kind.namespaced {
        // The placeholder names which path parameters there are; cluster-wide objects have no namespace.
        paths[1].1 = path(form, "{name}", &object_operations(kind));
    }
    paths.retain(|(_, operations)| operations.as_object().is_some_and(|o| o.keys().any(|k| k != "parameters")));
    paths
}

fn collection_operations(kind: &Kind) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    if kind.verbs.contains(&"list") {
        operations.push(list(kind, ""));
    }
    if kind.verbs.contains(&"create") {
        operations.push(Operation { parameters: WRITE.to_vec(), ..write(kind, "post", "post", "create", JSON) });
    }
    if kind.verbs.contains(&"deletecollection") {
        let parameters = [DELETE, LIST].concat();
        operations.push(Operation { parameters, ..delete(kind, "deletecollection", "deleteCollection") });
    }
    operations
}

fn object_operations(kind: &Kind) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    if kind.verbs.contains(&"get") {
        operations.push(Operation {
            method: "get",
            action: "get",
            subject: subject(kind),
            body: None,
            answer: kind.schema.to_owned(),
            parameters: Vec::new(),
            id: id(kind, "read", ""),
        });
    }
    if kind.verbs.contains(&"update") {
        operations.push(Operation { parameters: WRITE.to_vec(), ..write(kind, "put", "put", "replace", JSON) });
    }
    if kind.verbs.contains(&"delete") {
        operations.push(Operation { parameters: DELETE.to_vec(), ..delete(kind, "delete", "delete") });
    }
    if kind.verbs.contains(&"patch") {
        let parameters = [WRITE, &[FORCE]].concat();
        let patch = write(kind, "patch", "patch", "patch", PATCHES);
        let body = Some((PATCH_SCHEMA.to_owned(), PATCHES));
        operations.push(Operation { parameters, body, ..patch });
    }
    operations
}

/// The schema of any patch.
pub const PATCH_SCHEMA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const STATUS_SCHEMA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_SCHEMA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

fn list<'a>(kind: &'a Kind, suffix: &str) -> Operation<'a> {
    Operation {
        method: "get",
        action: "list",
        subject: subject(kind),
        body: None,
        answer: format!("{}List", kind.schema),
        parameters: LIST.to_vec(),
        id: id(kind, "list", suffix),
    }
}

fn write<'a>(
    kind: &'a Kind,
    method: &'static str,
    action: &'static str,
    verb: &str,
    media_types: &'static [&'static str],
) -> Operation<'a> {
    Operation {
        method,
        action,
        subject: subject(kind),
        body: Some((kind.schema.to_owned(), media_types)),
        answer: kind.schema.to_owned(),
        parameters: Vec::new(),
        id: id(kind, verb, ""),
    }
}

fn delete<'a>(kind: &'a Kind, action: &'static str, verb: &str) -> Operation<'a> {
    Operation {
        method: "delete",
        action,
        subject: subject(kind),
        body: Some((DELETE_SCHEMA.to_owned(), JSON)),
        answer: STATUS_SCHEMA.to_owned(),
        parameters: Vec::new(),
        id: id(kind, verb, ""),
    }
}

fn subresource_operations<'a>(kind: &'a Kind, sub: &'a Subresource) -> Vec<Operation<'a>> {
    let (group, version, name) = if sub.body.2.is_empty() { subject(kind) } else { sub.body };
    let (group, version) = if version.is_empty() { (kind.group, kind.version) } else { (group, version) };
    // A body that is no message (a stream, a proxied answer) is text to the document.
    let schema = machinery::schema::of_kind(group, version, name).map(|message| message.name.to_string());
    let suffix = capitalised(sub.name);
    let streams = matches!(sub.name, "attach" | "exec" | "log" | "portforward" | "proxy");
    sub.verbs
        .iter()
        .filter_map(|verb| {
            let (method, word) = match *verb {
                "get" => ("get", if streams { "connect" } else { "read" }),
                "create" => ("post", if streams { "connect" } else { "create" }),
                "update" => ("put", "replace"),
                "patch" => ("patch", "patch"),
                "delete" => ("delete", "delete"),
                _ => return None,
            };
            let answer = schema.clone().filter(|_| !streams).unwrap_or_default();
            let body = match method {
                "post" | "put" if !streams => Some((answer.clone(), JSON)),
                "patch" if !streams => Some((PATCH_SCHEMA.to_owned(), PATCHES)),
                _ => None,
            };
            let parameters = match method {
                "patch" => [WRITE, &[FORCE]].concat(),
                "post" | "put" => WRITE.to_vec(),
                _ => Vec::new(),
            };
            let action = if streams { "connect" } else { method };
            Some(Operation {
                method,
                action,
                subject: (group, version, name),
                body,
                answer,
                parameters,
                id: id(kind, word, &suffix),
            })
        })
        .collect()
}

fn subject(kind: &Kind) -> (&str, &str, &str) {
    (kind.group, kind.version, kind.kind)
}

/// `readAppsV1NamespacedDeploymentStatus`.
fn id(kind: &Kind, verb: &str, suffix: &str) -> String {
    let group = kind.group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core");
    let scope = if kind.namespaced && suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
    format!("{verb}{}{}{scope}{}{suffix}", capitalised(group), capitalised(kind.version), kind.kind)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// One path with its operations; `names` tells which path parameters it has.
fn path(form: Form, names: &str, operations: &[Operation<'_>]) -> Value {
    let mut path = Object::new();
    for operation in operations {
        path.insert(operation.method, written(form, operation));
    }
    let mut parameters = Vec::new();
    for (name, text) in [("name", "The name of the object."), ("namespace", "The namespace of the object.")] {
        if names.contains(&format!("{{{name}}}")) {
            parameters.push(parameter(form, (name, "string", text), "path"));
        }
    }
    parameters.push(parameter(form, PRETTY, "query"));
    path.insert("parameters", parameters);
    Value::Object(path)
}

fn written(form: Form, operation: &Operation<'_>) -> Value {
    let (group, version, kind) = operation.subject;
    let mut parameters: Vec<Value> =
        operation.parameters.iter().map(|known| parameter(form, *known, "query")).collect();
    let mut object = Object::from_iter([("operationId", Value::from(operation.id.as_str()))]);
    if let Some((schema, media_types)) = &operation.body {
        match form {
            Form::V2 => {
                object.insert("consumes", media_types.to_vec());
                let body = value!({"name": "body", "in": "body", "required": (operation.method != "delete"),
                    "schema": (reference(form, schema))});
                parameters.push(body);
            }
            Form::V3 => drop(object.insert("requestBody", value!({"content": (content(form, schema, media_types))}))),
        }
    }
    object.insert("parameters", parameters);
    object.insert("responses", responses(form, operation));
    object.insert("x-kubernetes-action", operation.action);
    object.insert("x-kubernetes-group-version-kind", value!({"group": group, "kind": kind, "version": version}));
    Value::Object(object)
}

fn responses(form: Form, operation: &Operation<'_>) -> Value {
    let good = |text: &str| match (form, operation.answer.is_empty()) {
        (_, true) => value!({"description": text}),
        (Form::V2, false) => value!({"description": text, "schema": (reference(form, &operation.answer))}),
        (Form::V3, false) => value!({"description": text, "content": (content(form, &operation.answer, JSON))}),
    };
    let mut responses = Object::from_iter([("200", good("OK"))]);
    if matches!(operation.method, "post" | "put" | "patch") {
        responses.insert("201", good("Created"));
    }
    responses.insert("401", value!({"description": "Unauthorized"}));
    Value::Object(responses)
}

fn content(form: Form, schema: &str, media_types: &[&str]) -> Value {
    let one = value!({"schema": (reference(form, schema))});
    Value::Object(media_types.iter().map(|media_type| (*media_type, one.clone())).collect())
}

fn reference(form: Form, schema: &str) -> Value {
    if schema.is_empty() { value!({"type": "string"}) } else { value!({"$ref": (form.reference(schema))}) }
}

fn parameter(form: Form, (name, kind, text): Parameter, place: &str) -> Value {
    let mut object =
        Object::from_iter([("name", Value::from(name)), ("in", place.into()), ("description", text.into())]);
    if place == "path" {
        object.insert("required", true);
    }
    match form {
        Form::V2 => {
            object.insert("type", kind);
            object.insert("uniqueItems", true);
        }
        Form::V3 => drop(object.insert("schema", value!({"type": kind, "uniqueItems": true}))),
    }
    Value::Object(object)
}
