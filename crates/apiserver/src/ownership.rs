//! Who owns which field of an object (KEP-555): told at every write, asked at every apply.

use kinds::Kind;
use machinery::apply::{self, Set, Write};
use machinery::{Status, Value, meta};

use crate::call::Call;
use crate::codec;
use crate::options::WriteOptions;
use crate::server::Server;

/// The field manager of what the server makes by itself.
pub const SERVER: &str = "kube-apiserver";

/// Gives the fields that `new` changes in `live` (an empty object for a creation) to the caller's field manager.
pub fn update(
    server: &Server,
    call: &Call,
    kind: &'static Kind,
    live: &Value,
    new: &mut Value,
    options: &WriteOptions,
) {
    through(server, call, kind, &call.info.subresource, live, new, options);
}

/// The same through a subresource that is not the request's own.
pub fn through(
    server: &Server,
    call: &Call,
    kind: &'static Kind,
    subresource: &str,
    live: &Value,
    new: &mut Value,
    options: &WriteOptions,
) {
    let manager = options.manager(call.header(http::header::USER_AGENT));
    with_write(server, &manager, kind, subresource, |write| apply::update(live, new, write));
}

/// Gives the fields that `new` changes in `live` to the server itself.
pub fn of_server(server: &Server, kind: &'static Kind, live: &Value, new: &mut Value) {
    with_write(server, SERVER, kind, "", |write| apply::update(live, new, write));
}

/// Gives the fields of a body that is not stored (a token request) to the caller's field manager.
pub fn of_body(
    server: &Server,
    call: &Call,
    api_version: &str,
    message: &'static machinery::schema::Message,
    body: &mut Value,
    options: &WriteOptions,
) {
    let write = Write {
        manager: &options.manager(call.header(http::header::USER_AGENT)),
        subresource: &call.info.subresource,
        api_version,
        time: &meta::seconds(server.clock.now()),
        message,
        reset: None,
        convert: &|_, _| None,
    };
    apply::update(&Value::object(), body, &write);
}

/// Lays the configuration of the caller's field manager over `live` (an empty object when there is none).
///
/// # Errors
/// 409 when others own fields that it changes, unless it is forced; 415 for kinds without a schema.
pub fn apply(
    server: &Server,
    call: &Call,
    kind: &'static Kind,
    live: &Value,
    config: &Value,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let manager = options.manager(call.header(http::header::USER_AGENT));
    let applied = with_write(server, &manager, kind, &call.info.subresource, |write| {
        apply::apply(live, config, options.force, write)
    });
    applied.ok_or_else(|| Status::unsupported_media_type(&[]))?.map_err(|error| error.status())
}

fn with_write<T>(
    server: &Server,
    manager: &str,
    kind: &'static Kind,
    subresource: &str,
    work: impl FnOnce(&Write<'_>) -> T,
) -> Option<T> {
    let reset = reset(kind, subresource);
    let convert = |object: &Value, version: &str| in_version(kind, object, version);
    Some(work(&Write {
        manager,
        subresource,
        api_version: &kind.api_version(),
        time: &meta::seconds(server.clock.now()),
        message: codec::message_of(kind)?,
        reset: Some(&reset),
        convert: &convert,
    }))
}

/// The fields that a write through the object or a subresource cannot change: nobody owns them through it.
fn reset(kind: &Kind, subresource: &str) -> Set {
    let mut set = Set::default();
    match subresource {
        // What a signing request asks for is the asker's own word, and the approval's is the approver's.
        "" | "approval" if kind.kind == "CertificateSigningRequest" => {
            set.insert(&["spec"]);
            set.insert(&["status"]);
        }
        "" if kind.has_status() => set.insert(&["status"]),
        "status" => set.insert(&["spec"]),
        _ => {}
    }
    set
}

/// The object in another version of its group, by way of the stored form.
fn in_version(
    kind: &'static Kind,
    object: &Value,
    version: &str,
) -> Option<(Value, &'static machinery::schema::Message)> {
    let of_version = |api_version: &str| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        kinds::by_kind(group, version, kind.kind)
    };
    let (from, other) = (of_version(meta::api_version(object)).unwrap_or(kind), of_version(version)?);
    let mut object = object.clone();
    if !std::ptr::eq(from, other) {
        if let Some(conversion) = &from.stored_as {
            (conversion.to_stored)(&mut object);
        }
        if let Some(conversion) = &other.stored_as {
            (conversion.from_stored)(&mut object);
        }
        meta::set_type(&mut object, &other.api_version(), other.kind);
    }
    Some((object, codec::message_of(other)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let kind = kinds::by_kind("autoscaling", "v1", "HorizontalPodAutoscaler").unwrap();
        let mut scaler = machinery::value!({"spec": {"targetCPUUtilizationPercentage": 55}});
        meta::set_type(&mut scaler, "autoscaling/v1", kind.kind);
        let (there, _) = in_version(kind, &scaler, "autoscaling/v2").unwrap();
        assert_eq!(there.items_at(&["spec", "metrics"]).len(), 1);
        let (back, _) = in_version(kind, &there, "autoscaling/v1").unwrap();
        assert_eq!(back.int_at(&["spec", "targetCPUUtilizationPercentage"]), Some(55));
        assert_eq!(meta::api_version(&back), "autoscaling/v1");
        assert!(in_version(kind, &scaler, "autoscaling/v9").is_none());
    }

    #[test]
    fn nobody_owns_what_a_path_cannot_change() {
        let shown: Vec<String> =
            [("Deployment", "apps"), ("ConfigMap", ""), ("CertificateSigningRequest", "certificates.k8s.io")]
                .into_iter()
                .map(|(name, group)| {
                    let kind = kinds::by_kind(group, "v1", name).unwrap();
                    let of = |subresource| reset(kind, subresource).paths().join(" ");
                    format!("{name}: {} | status: {} | approval: {}", of(""), of("status"), of("approval"))
                })
                .collect();
        expect_test::expect![[r#"
            Deployment: .status | status: .spec | approval: 
            ConfigMap:  | status: .spec | approval: 
            CertificateSigningRequest: .spec .status | status: .spec | approval: .spec .status"#]]
        .assert_eq(&shown.join("\n"));
    }
}
