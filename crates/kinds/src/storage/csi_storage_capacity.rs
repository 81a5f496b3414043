//! CSIStorageCapacity: how much room a driver has left for volumes of a class in a part of the cluster.

use machinery::field::{Error, Errors, Path};
use machinery::{Value, names};

use crate::kind::{BASE, Kind, MetadataChecks, Writes};
use crate::pod_spec::quantity;
use crate::strategy::immutable;
use crate::validate::selector::label_selector;
use crate::validate::{NEGATIVE, deprecated, text};

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    kind: "CSIStorageCapacity",
    plural: "csistoragecapacities",
    storage: "csistoragecapacities",
    schema: "io.k8s.api.storage.v1.CSIStorageCapacity",
    writes: Writes { create_on_update: false, unconditional: false },
    metadata: MetadataChecks::BOTH,
    validate,
    validate_update: |new, old| {
        let mut errors = validate(new);
        let fields = ["nodeTopology", "storageClassName"];
        errors.extend(fields.iter().filter_map(|field| immutable(new.get(field), old.get(field), &Path::new(*field))));
        errors
    },
    warnings: |capacity, _| {
        let selector = capacity.get("nodeTopology").unwrap_or(&Value::Null);
        deprecated::label_selector(selector, &Path::new("nodeTopology"))
    },
    ..BASE
};

fn validate(capacity: &Value) -> Errors {
    let mut errors = label_selector(capacity.get("nodeTopology"), &Path::new("nodeTopology"));
    let class = capacity.str_at(&["storageClassName"]).unwrap_or_default();
    errors.extend(text(names::is_dns1123_subdomain, class, &Path::new("storageClassName")));
    if let Some(amount) = capacity.get("capacity").and_then(quantity).filter(|amount| amount.sign() < 0) {
        errors.push(Error::invalid(&Path::new("capacity"), amount.to_string(), NEGATIVE));
    }
    errors
}
