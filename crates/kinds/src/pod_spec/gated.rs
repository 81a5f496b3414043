//! Fields that are in the schema and behind feature gates that 1.36 has off: what a client sends in them is dropped.

use machinery::Value;

use super::default::{CONTAINER_LISTS, each};

/// Drops such fields from a pod spec (KEP-4960, KEP-3257, KEP-4317, KEP-4671).
pub(super) fn drop_fields(spec: &mut Value) {
    for list in CONTAINER_LISTS {
        each(spec, &[list], |container| drop(container.remove_at(&["lifecycle", "stopSignal"])));
    }
    each(spec, &["volumes"], |volume| {
        each(volume, &["projected", "sources"], |source| {
            for kind in ["clusterTrustBundle", "podCertificate"] {
                source.remove_at(&[kind]);
            }
        });
    });
    spec.remove_at(&["schedulingGroup"]);
}
