//! RoleBinding: who may do in a namespace what a role says.

use machinery::Value;
use machinery::field::Errors;

use super::{RBAC, binding_columns, binding_row, check_binding, check_same_role, default_binding};
use crate::kind::Kind;

const SCHEMA: &str = "io.k8s.api.rbac.v1.RoleBinding";
const ROLE: &str = "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "RoleBinding",
    plural: "rolebindings",
    storage: "rolebindings",
    schema: SCHEMA,
    columns: &binding_columns(
        ROLE,
        "Users in the roleBinding",
        "Groups in the roleBinding",
        "ServiceAccounts in the roleBinding",
    ),
    row: binding_row,
    default: default_binding,
    validate: check,
    validate_update: |new, old| check(new).into_iter().chain(check_same_role(new, old)).collect(),
    ..RBAC
};

fn check(binding: &Value) -> Errors {
    check_binding(binding, &["Role", "ClusterRole"], true)
}
