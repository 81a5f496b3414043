//! The server's own front door, asked by the server itself.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use machinery::{Status, Value, json};
use tower::Service as _;

use crate::{ApiServer, User};

/// One request in process, as the server itself.
///
/// # Errors
/// What the server answered.
pub async fn ask(server: &ApiServer, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Status> {
    let bytes = body.map(json::to_vec).unwrap_or_default();
    let mut request = Request::new(Full::new(Bytes::from(bytes)));
    let encoding = if method == Method::PATCH { "application/apply-patch+yaml" } else { "application/json" };
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|error| Status::internal(format!("{path}: {error}")))?;
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(encoding));
    // The field manager of what the server itself makes.
    request.headers_mut().insert(header::USER_AGENT, header::HeaderValue::from_static(crate::ownership::SERVER));
    request.extensions_mut().insert(User::loopback());
    let Ok(answer) = server.clone().call(request).await;
    let code = answer.status();
    let body = answer.into_body().collect().await.map_err(Status::internal)?.to_bytes();
    let value = json::parse(&body).map_err(Status::internal)?;
    if code.is_success() {
        return Ok(value);
    }
    Err(Status::from_value(&value).unwrap_or_else(|| Status::internal(format!("{path} answered {code}"))))
}
