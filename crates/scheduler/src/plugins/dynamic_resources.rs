//! `DynamicResources`: pods that claim devices. This scheduler allocates no devices yet, so it places no such pod and
//! says so, rather than placing it where it cannot start.

use super::{BASE, Plugin, Prepared, Rejection};
use crate::change::Change;
use crate::cycle::Cycle;

pub const PLUGIN: Plugin = Plugin {
    name: "DynamicResources",
    prepare: Some(prepare),
    helps: |_, change| matches!(change, Change::PodUpdated),
    ..BASE
};

fn prepare(cycle: &mut Cycle<'_>) -> Prepared {
    if cycle.pod.spec().resource_claims.as_ref().is_none_or(Vec::is_empty) {
        return Prepared::Skip;
    }
    Prepared::Reject(Rejection::unfit("pod has resource claims, and this scheduler does not allocate devices"))
}

#[cfg(test)]
mod tests {
    use crate::snapshot::Snapshot;
    use crate::testing::{node, place, pod};

    #[test]
    fn claims_are_refused() {
        let mut snapshot = Snapshot::default();
        snapshot.set_node(node("n", "1", "1Gi"));
        let text = place(&snapshot, &pod(r#"{"containers":[],"resourceClaims":[{"name":"gpu"}]}"#));
        assert!(text.starts_with("0/1 nodes are available: pod has resource claims"), "{text}");
    }
}
