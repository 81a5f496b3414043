//! The API's error object: code, reason, message and details, one constructor per error.

use std::fmt;

use crate::field::{self, Errors};
use crate::{Text, Value, value};

/// One cause of an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// The machine-readable reason, `FieldValueInvalid` for example.
    pub reason: Text,
    /// What is wrong, for people.
    pub message: String,
    /// Which field.
    pub field: String,
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// The object's API group.
    pub group: String,
    /// The object's kind or resource.
    pub kind: String,
    /// The object's UID.
    pub uid: String,
    /// The single causes.
    pub causes: Vec<Cause>,
    /// When to try again; 0 says nothing.
    pub retry_after_seconds: u32,
}

/// The answer to a request that gives no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code; 0 in the answer to a deletion is written as it is: not at all.
    pub code: u16,
    /// The machine-readable reason; empty when there is none.
    pub reason: Text,
    /// What happened, for people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// How a list goes on whose version is forgotten; empty for all other errors.
    pub continuation: String,
}

/// A group and a resource or kind in it, as messages name them: `deployments.apps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct In<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The resource (`deployments`) or kind (`Deployment`).
    pub name: &'a str,
}

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(self.name) } else { write!(f, "{}.{}", self.name, self.group) }
    }
}

impl Status {
    /// An error with nothing but code, reason and message.
    #[must_use]
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), details: None, continuation: String::new() }
    }

    fn about(code: u16, reason: &str, message: String, what: In<'_>, name: &str) -> Self {
        let details =
            Details { name: name.into(), group: what.group.into(), kind: what.name.into(), ..Details::default() };
        Self { details: Some(Box::new(details)), ..Self::new(code, reason, message) }
    }

    /// This with other details.
    #[must_use]
    pub fn with_details(self, details: Details) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    /// This with a wish when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// This with a token with which the list goes on in the present state.
    #[must_use]
    pub fn with_continue(self, continuation: String) -> Self {
        Self { continuation, ..self }
    }

    /// A deletion or other action went well.
    #[must_use]
    pub fn success(details: Option<Details>) -> Self {
        Self { details: details.map(Box::new), ..Self::new(0, "", "") }
    }

    /// The request makes no sense.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// Nobody knows who asks.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// Who asks may not do this; an empty name or resource is left out of the text.
    #[must_use]
    pub fn forbidden(resource: In<'_>, name: &str, why: impl fmt::Display) -> Self {
        let message = match (resource.name, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            _ => format!("{resource} {} is forbidden: {why}", field::quote(name)),
        };
        Self::about(403, "Forbidden", message, resource, name)
    }

    /// There is no such object.
    #[must_use]
    pub fn not_found(resource: In<'_>, name: &str) -> Self {
        Self::about(404, "NotFound", format!("{resource} {} not found", field::quote(name)), resource, name)
    }

    /// There is no such path.
    #[must_use]
    pub fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").with_details(Details::default())
    }

    /// There is such an object already.
    #[must_use]
    pub fn already_exists(resource: In<'_>, name: &str) -> Self {
        Self::about(409, "AlreadyExists", format!("{resource} {} already exists", field::quote(name)), resource, name)
    }

    /// Every name that was generated is taken.
    #[must_use]
    pub fn generate_name_conflict(resource: In<'_>, name: &str, retry_after_seconds: u32) -> Self {
        let quoted = field::quote(name);
        let message = format!(
            "{resource} {quoted} already exists, the server was not able to generate a unique name for the object"
        );
        Self::about(409, "AlreadyExists", message, resource, name).with_retry_after(retry_after_seconds)
    }

    /// The object changed meanwhile, or a precondition does not hold.
    #[must_use]
    pub fn conflict(resource: In<'_>, name: &str, why: impl fmt::Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", field::quote(name));
        Self::about(409, "Conflict", message, resource, name)
    }

    /// The object changed since the resource version that the writer saw.
    #[must_use]
    pub fn modified(resource: In<'_>, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// Fields that are applied belong to other managers.
    #[must_use]
    pub fn apply_conflict(message: impl Into<String>, causes: Vec<Cause>) -> Self {
        Self::new(409, "Conflict", message).with_details(Details { causes, ..Details::default() })
    }

    /// What is asked for is gone for good.
    #[must_use]
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "Gone", message)
    }

    /// The resource version or continue token is too old.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// Fields of the object are wrong.
    #[must_use]
    pub fn invalid(kind: In<'_>, name: &str, errors: &Errors) -> Self {
        let quoted = field::quote(name);
        let message = if errors.is_empty() {
            format!("{kind} {quoted} is invalid")
        } else {
            format!("{kind} {quoted} is invalid: {}", field::aggregate(errors))
        };
        let mut status = Self::about(422, "Invalid", message, kind, name);
        status.details.get_or_insert_default().causes = errors.iter().map(Cause::from).collect();
        status
    }

    /// The resource does not have this verb.
    #[must_use]
    pub fn method_not_supported(resource: In<'_>, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind {}", field::quote(&resource.to_string()));
        Self::about(405, "MethodNotAllowed", message, resource, "")
    }

    /// The path does not have this HTTP method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).with_details(Details::default())
    }

    /// The body is of a type that is not accepted here.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {list}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// No answer of a type that the client accepts can be given.
    #[must_use]
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", offered.join(", "));
        Self::new(406, "NotAcceptable", message)
    }

    /// Too much is asked at once; try again.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message).with_retry_after(retry_after_seconds)
    }

    /// The request took too long; whether it was done is not known.
    #[must_use]
    pub fn timeout(message: impl fmt::Display, retry_after_seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {message}")).with_retry_after(retry_after_seconds)
    }

    /// The server cannot do it now; it was not done.
    #[must_use]
    pub fn server_timeout(resource: In<'_>, operation: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        Self::about(500, "ServerTimeout", message, resource, "").with_retry_after(retry_after_seconds)
    }

    /// The body or the patch is too large.
    #[must_use]
    pub fn request_entity_too_large(message: impl fmt::Display) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
    }

    /// The server failed.
    #[must_use]
    pub fn internal(error: impl fmt::Display) -> Self {
        let cause = Cause { message: error.to_string(), ..Cause::default() };
        Self::new(500, "InternalError", format!("Internal error occurred: {error}"))
            .with_details(Details { causes: vec![cause], ..Details::default() })
    }

    /// The server, or what it needs, is not there.
    #[must_use]
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// The server failed in a way that has no reason of its own.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// Whether this says that something went wrong.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.code >= 400
    }

    /// The object on the wire.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut status = value!({"kind": "Status", "apiVersion": "v1", "metadata": {}});
        if !self.continuation.is_empty() {
            status.set_at(&["metadata", "continue"], self.continuation.as_str());
        }
        let outcome = if self.is_failure() { "Failure" } else { "Success" };
        status.set_at(&["status"], outcome);
        set(&mut status, "message", &self.message);
        set(&mut status, "reason", &self.reason);
        if let Some(details) = &self.details {
            status.set_at(&["details"], details.to_value());
        }
        if self.code != 0 {
            status.set_at(&["code"], i64::from(self.code));
        }
        status
    }

    /// The status in an answer; `None` when the object is something else.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        if value.str_at(&["kind"]) != Some("Status") {
            return None;
        }
        let text = |name: &str| value.str_at(&[name]).unwrap_or_default();
        Some(Self {
            code: value.int_at(&["code"]).and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
            reason: text("reason").into(),
            message: text("message").to_owned(),
            details: value.get("details").map(|details| Box::new(Details::from_value(details))),
            continuation: value.str_at(&["metadata", "continue"]).unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Details {
    fn to_value(&self) -> Value {
        let mut details = Value::object();
        set(&mut details, "name", &self.name);
        set(&mut details, "group", &self.group);
        set(&mut details, "kind", &self.kind);
        set(&mut details, "uid", &self.uid);
        if !self.causes.is_empty() {
            details.set_at(&["causes"], Value::Array(self.causes.iter().map(Cause::to_value).collect()));
        }
        if self.retry_after_seconds > 0 {
            details.set_at(&["retryAfterSeconds"], self.retry_after_seconds);
        }
        details
    }

    fn from_value(value: &Value) -> Self {
        let text = |name: &str| value.str_at(&[name]).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            group: text("group"),
            kind: text("kind"),
            uid: text("uid"),
            causes: value.items_at(&["causes"]).iter().map(Cause::from_value).collect(),
            retry_after_seconds: value
                .int_at(&["retryAfterSeconds"])
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or_default(),
        }
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut cause = Value::object();
        set(&mut cause, "reason", &self.reason);
        set(&mut cause, "message", &self.message);
        set(&mut cause, "field", &self.field);
        cause
    }

    fn from_value(value: &Value) -> Self {
        let text = |name: &str| value.str_at(&[name]).unwrap_or_default();
        Self { reason: text("reason").into(), message: text("message").to_owned(), field: text("field").to_owned() }
    }
}

impl From<&field::Error> for Cause {
    fn from(error: &field::Error) -> Self {
        Self { reason: error.kind.reason().into(), message: error.body(), field: error.field.to_string() }
    }
}

fn set(object: &mut Value, name: &str, text: &str) {
    if !text.is_empty() {
        object.set_at(&[name], text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Error, Path};

    const PODS: In<'_> = In { group: "", name: "pods" };
    const DEPLOYMENTS: In<'_> = In { group: "apps", name: "deployments" };

    #[test]
    fn messages() {
        let statuses = [
            Status::not_found(DEPLOYMENTS, "d"),
            Status::already_exists(PODS, "p"),
            Status::forbidden(PODS, "p", "no"),
            Status::forbidden(DEPLOYMENTS, "", "no"),
            Status::forbidden(In { group: "", name: "" }, "", "no"),
            Status::modified(PODS, "p"),
            Status::internal("x"),
            Status::timeout("x", 1),
            Status::server_timeout(PODS, "list", 2),
            Status::request_entity_too_large("limit is 3145728"),
            Status::method_not_supported(DEPLOYMENTS, "delete"),
            Status::unsupported_media_type(&["application/json"]),
        ];
        let shown: String = statuses.iter().map(|s| format!("{} {}: {}\n", s.code, s.reason, s.message)).collect();
        expect_test::expect![[r#"
            404 NotFound: deployments.apps "d" not found
            409 AlreadyExists: pods "p" already exists
            403 Forbidden: pods "p" is forbidden: no
            403 Forbidden: deployments.apps is forbidden: no
            403 Forbidden: forbidden: no
            409 Conflict: Operation cannot be fulfilled on pods "p": the object has been modified; please apply your changes to the latest version and try again
            500 InternalError: Internal error occurred: x
            504 Timeout: Timeout: x
            500 ServerTimeout: The list operation against pods could not be completed at this time, please try again.
            413 RequestEntityTooLarge: Request entity too large: limit is 3145728
            405 MethodNotAllowed: delete is not supported on resources of kind "deployments.apps"
            415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: application/json
        "#]]
        .assert_eq(&shown);
    }

    #[test]
    fn invalid_on_the_wire() {
        let errors = vec![Error::required(&Path::new("spec.containers"), "")];
        let status = Status::invalid(In { group: "apps", name: "Deployment" }, "d", &errors);
        let value = status.to_value();
        expect_test::expect![[r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Deployment.apps \"d\" is invalid: spec.containers: Required value","reason":"Invalid","details":{"name":"d","group":"apps","kind":"Deployment","causes":[{"reason":"FieldValueRequired","message":"Required value","field":"spec.containers"}]},"code":422}"#]]
        .assert_eq(&serde_json::to_string(&value).unwrap());
        assert_eq!(Status::from_value(&value), Some(status));
    }
}
