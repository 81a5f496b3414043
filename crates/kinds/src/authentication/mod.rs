//! The group authentication.k8s.io, v1: questions about who somebody is. Nothing of it is stored.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use crate::kind::{BASE, Kind};

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] = &[&SELF_SUBJECT_REVIEW, &TOKEN_REVIEW];

const ASKED: Kind = Kind { group: "authentication.k8s.io", namespaced: false, verbs: &["create"], ..BASE };

/// Who am I?
pub static SELF_SUBJECT_REVIEW: Kind = Kind {
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    schema: "io.k8s.api.authentication.v1.SelfSubjectReview",
    ..ASKED
};

/// Whose token is this?
pub static TOKEN_REVIEW: Kind =
    Kind { kind: "TokenReview", plural: "tokenreviews", schema: "io.k8s.api.authentication.v1.TokenReview", ..ASKED };

/// The shortest life that a token may ask for, in seconds.
pub const SHORTEST_TOKEN_SECONDS: i64 = 600;
/// The longest, in seconds.
const LONGEST_TOKEN_SECONDS: i64 = 1 << 32;

/// What is wrong with the body of `serviceaccounts/token`.
#[must_use]
pub fn check_token_request(request: &Value) -> Errors {
    let path = Path::new("spec.expirationSeconds");
    let seconds = request.int_at(&["spec", "expirationSeconds"]).unwrap_or_default();
    let mut errors = Errors::new();
    if seconds < SHORTEST_TOKEN_SECONDS {
        errors.push(Error::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > LONGEST_TOKEN_SECONDS {
        errors.push(Error::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    errors
}
