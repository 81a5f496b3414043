//! MutatingWebhookConfiguration: webhooks that may change what is written.

use machinery::Value;

use super::{REGISTRATION, validating_webhook_configuration, webhook};
use crate::kind::{Generation, Kind, MetadataChecks};
use crate::pod_spec::default::{each, set_absent};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "MutatingWebhookConfiguration",
    plural: "mutatingwebhookconfigurations",
    storage: "mutatingwebhookconfigurations",
    schema: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    columns: validating_webhook_configuration::KIND.columns,
    row: validating_webhook_configuration::KIND.row,
    generation: Generation::Of(&["webhooks"]),
    default,
    metadata: MetadataChecks::NEW,
    validate: webhook::check,
    validate_update: webhook::check_update,
    ..REGISTRATION
};

fn default(configuration: &mut Value) {
    webhook::default(configuration);
    each(configuration, &["webhooks"], |hook| set_absent(hook, &[], "reinvocationPolicy", || "Never".into()));
}
