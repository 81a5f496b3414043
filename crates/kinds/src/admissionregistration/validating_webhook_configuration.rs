//! ValidatingWebhookConfiguration: webhooks that may refuse a write.

use super::{REGISTRATION, webhook};
use crate::kind::{Generation, Kind, MetadataChecks};
use crate::table::{AGE, Describe, NAME, age, integer};

/// The kind.
pub static KIND: Kind = Kind {
    kind: "ValidatingWebhookConfiguration",
    plural: "validatingwebhookconfigurations",
    storage: "validatingwebhookconfigurations",
    schema: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    columns: &[
        NAME,
        integer(
            "Webhooks",
            Describe::Text("Webhooks indicates the number of webhooks registered in this configuration"),
        ),
        AGE,
    ],
    row: |object, now| {
        let webhooks = i64::try_from(object.items_at(&["webhooks"]).len()).unwrap_or(i64::MAX);
        vec![machinery::meta::name(object).into(), webhooks.into(), age(object, now)]
    },
    generation: Generation::Of(&["webhooks"]),
    default: webhook::default,
    metadata: MetadataChecks::NEW,
    validate: webhook::check,
    validate_update: webhook::check_update,
    ..REGISTRATION
};
