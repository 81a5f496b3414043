//! Role: what may be done in a namespace.

use super::{RBAC, rule};
use crate::kind::Kind;

/// The kind.
pub static KIND: Kind = Kind {
    kind: "Role",
    plural: "roles",
    storage: "roles",
    schema: "io.k8s.api.rbac.v1.Role",
    validate: |role| rule::check(role, true),
    validate_update: |new, _| rule::check(new, true),
    ..RBAC
};
