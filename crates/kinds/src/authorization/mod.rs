//! The group authorization.k8s.io, v1: questions about what somebody may do. Nothing of it is stored.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use crate::kind::{BASE, Kind};

/// The group's kinds, in discovery's order.
pub static ALL: &[&Kind] =
    &[&LOCAL_SUBJECT_ACCESS_REVIEW, &SELF_SUBJECT_ACCESS_REVIEW, &SELF_SUBJECT_RULES_REVIEW, &SUBJECT_ACCESS_REVIEW];

const ASKED: Kind = Kind { group: "authorization.k8s.io", namespaced: false, verbs: &["create"], ..BASE };

/// May somebody do this, in this namespace?
pub static LOCAL_SUBJECT_ACCESS_REVIEW: Kind = Kind {
    kind: "LocalSubjectAccessReview",
    plural: "localsubjectaccessreviews",
    namespaced: true,
    schema: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    validate: |review| {
        let mut errors = check_subject(review);
        errors.extend(check_attributes(review));
        if review.at(&["spec", "nonResourceAttributes"]).is_some() {
            let path = Path::new("spec.nonResourceAttributes");
            errors.push(Error::invalid(
                &path,
                review.at(&["spec", "nonResourceAttributes"]).cloned(),
                "disallowed on this kind of request",
            ));
        }
        errors
    },
    ..ASKED
};

/// May I do this?
pub static SELF_SUBJECT_ACCESS_REVIEW: Kind = Kind {
    kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews",
    schema: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    validate: check_attributes,
    ..ASKED
};

/// What may I do in a namespace?
pub static SELF_SUBJECT_RULES_REVIEW: Kind = Kind {
    kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews",
    schema: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    ..ASKED
};

/// May somebody do this?
pub static SUBJECT_ACCESS_REVIEW: Kind = Kind {
    kind: "SubjectAccessReview",
    plural: "subjectaccessreviews",
    schema: "io.k8s.api.authorization.v1.SubjectAccessReview",
    validate: |review| check_attributes(review).into_iter().chain(check_subject(review)).collect(),
    ..ASKED
};

/// Exactly one kind of thing is asked about.
fn check_attributes(review: &Value) -> Errors {
    let has = |field: &str| review.at(&["spec", field]).is_some();
    let path = Path::new("spec.resourceAttributes");
    match (has("resourceAttributes"), has("nonResourceAttributes")) {
        (true, true) => {
            let detail = "cannot be specified in combination with resourceAttributes";
            let value = review.at(&["spec", "nonResourceAttributes"]).cloned();
            vec![Error::invalid(&Path::new("spec.nonResourceAttributes"), value, detail)]
        }
        (false, false) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![Error::invalid(&path, Value::Null, detail)]
        }
        _ => Errors::new(),
    }
}

/// Somebody is named.
fn check_subject(review: &Value) -> Errors {
    let user = review.str_at(&["spec", "user"]).unwrap_or_default();
    if user.is_empty() && review.items_at(&["spec", "groups"]).is_empty() {
        let detail = "at least one of user or group must be specified";
        return vec![Error::invalid(&Path::new("spec.user"), user, detail)];
    }
    Errors::new()
}
