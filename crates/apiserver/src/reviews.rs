//! Kinds that are asked, not stored: the access reviews, TokenReview, SelfSubjectReview, and Binding by its own path.

use std::sync::Arc;

use http::StatusCode;
use kinds::Kind;
use machinery::{Status, Value, meta};

use crate::authentication::review as identity;
use crate::authorization::review::{self, Review};
use crate::call::{self, Call};
use crate::options::WriteOptions;
use crate::reply::{Body, Reply};
use crate::server::Server;
use crate::{codec, ownership, respond, write};

/// Answers the question in the body.
///
/// # Errors
/// 400 and 422 for questions that make no sense.
pub async fn create(server: &Arc<Server>, call: &mut Call, kind: &'static Kind, body: Body) -> Result<Reply, Status> {
    let accepted = call.accepts_object()?;
    let bytes = call::read(body).await?;
    let options = WriteOptions::create(&call.query)?;
    let mut object = codec::object(call, kind, &bytes, options.field_validation)?;
    write::fit_namespace(call, kind, &mut object)?;
    ownership::update(server, call, kind, &Value::object(), &mut object, &options);
    let access = &server.access;
    match kind.kind {
        "TokenReview" => identity::answer_token(&access.authenticator, &mut object)?,
        "SelfSubjectReview" => {
            // The answer is an object of its own: nothing of the question comes back.
            object.set_at(&["metadata"], Value::object());
            meta::set_creation_timestamp(&mut object, server.clock.now());
            identity::answer_self(&call.user, &mut object);
        }
        _ => {
            let review = which(kind.kind).ok_or_else(Status::method_not_allowed)?;
            // Answers are about now, so they wait until the cache shows every grant that was acknowledged.
            server.cacher.catch_up().await?;
            review::answer(&access.authorizer, review, &call.user, &call.info.namespace, &mut object)?;
        }
    }
    codec::settle(kind, &mut object);
    respond::object(server, call, kind, StatusCode::CREATED, &object, accepted)
}

fn which(kind: &str) -> Option<Review> {
    match kind {
        "SubjectAccessReview" => Some(Review::Subject),
        "LocalSubjectAccessReview" => Some(Review::Local),
        "SelfSubjectAccessReview" => Some(Review::OneSelf),
        "SelfSubjectRulesReview" => Some(Review::Rules),
        _ => None,
    }
}
