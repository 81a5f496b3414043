//! ClusterRoleBinding: who may do everywhere what a cluster role says.

use machinery::Value;
use machinery::field::Errors;

use super::{RBAC, binding_columns, binding_row, check_binding, check_same_role, default_binding};
use crate::kind::Kind;

const SCHEMA: &str = "io.k8s.api.rbac.v1.ClusterRoleBinding";
const ROLE: &str = "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.";

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ClusterRoleBinding",
    plural: "clusterrolebindings",
    namespaced: false,
    storage: "clusterrolebindings",
    schema: SCHEMA,
    columns: &binding_columns(
        ROLE,
        "Users in the clusterRoleBinding",
        "Groups in the clusterRoleBinding",
        "ServiceAccounts in the clusterRoleBinding",
    ),
    row: binding_row,
    default: default_binding,
    validate: check,
    validate_update: |new, old| check(new).into_iter().chain(check_same_role(new, old)).collect(),
    ..RBAC
};

fn check(binding: &Value) -> Errors {
    check_binding(binding, &["ClusterRole"], false)
}
