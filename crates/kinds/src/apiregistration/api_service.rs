//! APIService: a group and version, and the server that serves it; without one it is this server.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names, value};

use crate::kind::{BASE, Context, Kind, MetadataChecks, NameRule, STATUS, Subresource, Writes, keep};
use crate::pod_spec::default::set_in;
use crate::table::{AGE, Describe, NAME, age, text};
use crate::validate::one_of;

const MAX_GROUP_PRIORITY: i64 = 20_000;
const MAX_VERSION_PRIORITY: i64 = 1000;
const DEFAULT_PORT: i64 = 443;

/// The kind.
pub static KIND: Kind = Kind {
    group: "apiregistration.k8s.io",
    kind: "APIService",
    plural: "apiservices",
    categories: &["api-extensions"],
    namespaced: false,
    storage: "apiregistration.k8s.io/apiservices",
    schema: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    subresources: &[Subresource { prepare: prepare_status, validate: check_status, ..STATUS }],
    columns: &[
        NAME,
        text("Service", Describe::Text("The reference to the service that hosts this API endpoint.")),
        text("Available", Describe::Text("Whether this service is available.")),
        AGE,
    ],
    row,
    writes: Writes { create_on_update: false, unconditional: false },
    name: NameRule::PathSegment,
    default: |service| set_in(service, &["spec", "service"], "port", || DEFAULT_PORT.into()),
    prepare_create,
    metadata: MetadataChecks::BOTH,
    validate: check,
    validate_update: |new, _| check(new),
    ..BASE
};

fn row(service: &Value, now: Timestamp) -> Vec<Value> {
    let part = |field: &str| service.str_at(&["spec", "service", field]).unwrap_or_default();
    let server = match backend(service) {
        None => "Local".to_owned(),
        Some(_) => format!("{}/{}", part("namespace"), part("name")),
    };
    let mut conditions = service.items_at(&["status", "conditions"]).iter();
    let available = conditions.find(|condition| condition.str_at(&["type"]) == Some("Available"));
    let available = available.map_or_else(|| "Unknown".to_owned(), shown_condition);
    vec![meta::name(service).into(), server.into(), available.into(), age(service, now)]
}

fn shown_condition(condition: &Value) -> String {
    let part = |field: &str| condition.str_at(&[field]).unwrap_or_default();
    match (part("status"), part("reason")) {
        ("True", _) => "True".to_owned(),
        (status, "") => status.to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    }
}

fn backend(service: &Value) -> Option<&Value> {
    service.at(&["spec", "service"]).filter(|value| !value.is_null())
}

/// What this server serves itself is there at once.
fn prepare_create(service: &mut Value, context: &Context<'_>) {
    if backend(service).is_some() {
        return;
    }
    let local = value!([{
        "type": "Available",
        "status": "True",
        "lastTransitionTime": (meta::seconds(context.now)),
        "reason": "Local",
        "message": "Local APIServices are always available"
    }]);
    service.set_at(&["status", "conditions"], local);
}

fn prepare_status(new: &mut Value, old: &Value, _: &Context<'_>) {
    crate::kind::keep_spec(new, old);
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        keep(new, old, &["metadata", field]);
    }
}

fn check(service: &Value) -> Errors {
    let path = Path::new("spec");
    let part = |field: &str| service.str_at(&["spec", field]).unwrap_or_default();
    let (group, version) = (part("group"), part("version"));
    let mut errors: Errors = check_name(service, &format!("{version}.{group}")).into_iter().collect();
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.push(Error::required(&path.child("group"), detail));
    }
    if !group.is_empty() {
        errors.extend(crate::validate::text(names::is_dns1123_subdomain, group, &path.child("group")));
    }
    errors.extend(crate::validate::text(names::is_dns1035_label, version, &path.child("version")));
    for (field, most) in [("groupPriorityMinimum", MAX_GROUP_PRIORITY), ("versionPriority", MAX_VERSION_PRIORITY)] {
        let number = service.int_at(&["spec", field]).unwrap_or_default();
        if !(1..=most).contains(&number) {
            let detail = format!("must be positive and less than {most}");
            errors.push(Error::invalid(&path.child(field), number, detail));
        }
    }
    match backend(service) {
        None => errors.extend(check_local(service, &path)),
        Some(backend) => errors.extend(check_remote(service, backend, &path)),
    }
    errors
}

fn check_name(service: &Value, wanted: &str) -> Option<Error> {
    let name = meta::name(service);
    let wrong = !name.is_empty() && names::is_path_segment_name(name).is_empty() && name != wanted;
    let detail = format!("must be `spec.version+\".\"+spec.group`: {}", machinery::field::quote(wanted));
    wrong.then(|| Error::invalid(&Path::new("metadata.name"), name, detail))
}

fn bundle_bytes(service: &Value) -> usize {
    let text = service.str_at(&["spec", "caBundle"]).unwrap_or_default();
    machinery::schema::decode_base64(text).map_or(0, |bytes| bytes.len())
}

fn is_insecure(service: &Value) -> bool {
    service.bool_at(&["spec", "insecureSkipTLSVerify"]) == Some(true)
}

fn check_local(service: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let bytes = bundle_bytes(service);
    if bytes > 0 {
        let detail = "local APIServices may not have a caBundle";
        errors.push(Error::invalid(&path.child("caBundle"), format!("{bytes} bytes"), detail));
    }
    if is_insecure(service) {
        let detail = "local APIServices may not have insecureSkipTLSVerify";
        errors.push(Error::invalid(&path.child("insecureSkipTLSVerify"), true, detail));
    }
    errors
}

fn check_remote(service: &Value, backend: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let field = path.child("service");
    for name in ["namespace", "name"] {
        errors.extend(crate::validate::required(backend.str_at(&[name]), &field.child(name), ""));
    }
    let port = backend.int_at(&["port"]).unwrap_or_default();
    let problems = names::is_port(port);
    if !problems.is_empty() {
        let detail = format!("port is not valid: {}", problems.join(","));
        errors.push(Error::invalid(&field.child("port"), port, detail));
    }
    if is_insecure(service) && bundle_bytes(service) > 0 {
        let detail = "may not be true if caBundle is present";
        errors.push(Error::invalid(&path.child("insecureSkipTLSVerify"), true, detail));
    }
    errors
}

fn check_status(new: &Value, _: &Value) -> Errors {
    let mut errors = Errors::new();
    for (i, condition) in new.items_at(&["status", "conditions"]).iter().enumerate() {
        let path = Path::new("status.conditions").index(i).child("status");
        let status = condition.str_at(&["status"]).unwrap_or_default();
        errors.extend(one_of(status, &["True", "False", "Unknown"], &path));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::field;

    #[test]
    fn services() {
        let table = [
            value!({"metadata": {"name": "v1."}, "spec": {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}}),
            value!({"metadata": {"name": "a"}, "spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 20001,
                "caBundle": "YWJj", "insecureSkipTLSVerify": true}}),
            value!({"metadata": {"name": "v2.a.b"}, "spec": {"group": "a.b", "version": "v2", "groupPriorityMinimum": 1,
                "versionPriority": 1, "service": {"port": 0}}}),
        ];
        let shown = table.map(|service| field::aggregate(&check(&service))).join("\n");
        expect_test::expect![[r#"
            []
            [metadata.name: Invalid value: "a": must be `spec.version+"."+spec.group`: "v1.a.b", spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000, spec.versionPriority: Invalid value: 0: must be positive and less than 1000, spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle, spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify]
            [spec.service.namespace: Required value, spec.service.name: Required value, spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive]"#]]
        .assert_eq(&shown);
    }
}
