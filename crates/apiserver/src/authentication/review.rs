//! TokenReview and SelfSubjectReview: whom a token, or the request itself, speaks for.

use machinery::{Object, Status, Value, value};

use super::Authenticator;
use crate::User;

/// Fills in the status of a TokenReview.
///
/// # Errors
/// When the review has no token.
pub fn answer_token(authenticator: &Authenticator, review: &mut Value) -> Result<(), Status> {
    let token = review.str_at(&["spec", "token"]).unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let wanted = review.items_at(&["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned);
    let wanted: Vec<String> = wanted.collect();
    let status = match authenticator.token(token, &wanted) {
        Ok(accepted) => {
            value!({"authenticated": true, "user": (show(&accepted.user)), "audiences": (accepted.audiences)})
        }
        Err(why) => value!({"user": {}, "error": why}),
    };
    review.set_at(&["status"], status);
    Ok(())
}

/// Fills in the status of a SelfSubjectReview.
pub fn answer_self(caller: &User, review: &mut Value) {
    review.set_at(&["status", "userInfo"], show(caller));
}

fn show(user: &User) -> Value {
    let mut shown = value!({"username": (user.name.as_str())});
    if !user.uid.is_empty() {
        shown.set_at(&["uid"], user.uid.as_str());
    }
    if !user.groups.is_empty() {
        shown.set_at(&["groups"], user.groups.clone());
    }
    if !user.extra.is_empty() {
        let extra: Object =
            user.extra.iter().map(|(key, values)| (key.as_str(), Value::from(values.clone()))).collect();
        shown.set_at(&["extra"], extra);
    }
    shown
}
