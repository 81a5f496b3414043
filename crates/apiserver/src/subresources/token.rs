//! `serviceaccounts/token`: a fresh token on request.

use std::sync::Arc;

use http::StatusCode;
use kinds::Kind;
use machinery::Status;

use crate::access::{self, Write};
use crate::admission::Operation;
use crate::authentication::token_request;
use crate::call::{self, Call};
use crate::codec::{self, Expected};
use crate::options::WriteOptions;
use crate::reply::{self, Body, Reply};
use crate::server::Server;
use crate::{ownership, write};

const SCHEMA: &str = "io.k8s.api.authentication.v1.TokenRequest";
const EXPECTED: Expected<'static> = Expected { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };

/// Issues a token for the service account of the path.
///
/// # Errors
/// 404 when there is no such account, 422 for a lifetime that is too short, 409 when what it is to be bound to is another one.
pub async fn create(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let accepted = call.accepts_plain()?;
    let bytes = call::read(body).await?;
    let options = WriteOptions::create(&call.query)?;
    let message = machinery::schema::message(SCHEMA);
    let mut request = codec::typed(call, EXPECTED, message, &bytes, options.field_validation)?;
    write::fit_namespace(call, kind, &mut request)?;
    if request.int_at(&["spec", "expirationSeconds"]).is_none() {
        request.set_at(&["spec", "expirationSeconds"], token_request::DEFAULT_SECONDS);
    }
    if let Some(message) = message {
        ownership::of_body(server, call, &EXPECTED.api_version(), message, &mut request, &options);
    }
    let (operation, dry_run) = (Operation::Create, options.dry_run);
    let write = Write { operation, kind, body_kind: EXPECTED.kind, old: None, dry_run };
    server.cacher.catch_up().await?;
    access::admit(server, call, &write, &mut request).await?;
    access::validate(server, call, &write, &mut request).await?;
    let authenticator = &server.access.authenticator;
    let answer = token_request::answer(
        &authenticator.tokens,
        &*authenticator.objects,
        (&server.clock, &server.random),
        (&call.info.namespace, &call.info.name),
        request,
        |_| Ok(()),
    )?;
    Ok(reply::object(StatusCode::CREATED, &answer, accepted))
}
