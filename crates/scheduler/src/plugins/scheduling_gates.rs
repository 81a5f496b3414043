//! `SchedulingGates`: a pod with gates is not tried before they are gone (KEP-3521).

use super::{BASE, Plugin};
use crate::change::Change;
use crate::pod::PodInfo;

pub const PLUGIN: Plugin = Plugin {
    name: "SchedulingGates",
    gates: Some(gates),
    helps: |_, change| matches!(change, Change::PodUpdated),
    ..BASE
};

fn gates(pod: &PodInfo) -> bool {
    pod.spec().scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn gated() {
        assert!(gates(&pod(r#"{"containers":[],"schedulingGates":[{"name":"wait"}]}"#)));
        assert!(!gates(&pod(r#"{"containers":[],"schedulingGates":[]}"#)));
    }
}
