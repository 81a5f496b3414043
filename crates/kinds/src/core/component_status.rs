//! ComponentStatus: the health of the control plane's parts, made up when asked (deprecated since 1.19).

use jiff::Timestamp;
use machinery::{Value, meta};

use crate::kind::{BASE, Kind};
use crate::table::{Describe, NAME, text};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ComponentStatus",
    plural: "componentstatuses",
    short_names: &["cs"],
    namespaced: false,
    schema: "io.k8s.api.core.v1.ComponentStatus",
    verbs: &["get", "list"],
    columns: &[
        NAME,
        text("Status", Describe::Text("Status of the component conditions")),
        text("Message", Describe::Text("Message of the component conditions")),
        text("Error", Describe::Text("Error of the component conditions")),
    ],
    row,
    ..BASE
};

fn row(component: &Value, _: Timestamp) -> Vec<Value> {
    let condition = component.items_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == Some("Healthy"));
    let status = match condition.and_then(|c| c.str_at(&["status"])) {
        Some("True") => "Healthy",
        Some("False") => "Unhealthy",
        _ => "Unknown",
    };
    let text = |field: &str| condition.and_then(|c| c.str_at(&[field])).unwrap_or_default();
    vec![meta::name(component).into(), status.into(), text("message").into(), text("error").into()]
}
