//! An EndpointSlice in the older form, whose endpoints tell node and zone among their topology.

use machinery::Value;

use super::definition::take;

/// From the older form to that of v1.
pub fn serve(slice: &mut Value) {
    for endpoint in slice.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(mut topology) = take(endpoint, "topology") else { continue };
        if let Some(zone) = take(&mut topology, "topology.kubernetes.io/zone") {
            endpoint.set_at(&["zone"], zone);
        }
        let host = topology.get("kubernetes.io/hostname").cloned().unwrap_or_default();
        let node = endpoint.get("nodeName").cloned().unwrap_or_default();
        // A host that is not the node stays where it is.
        if !host.is_null() && (node.is_null() || node == host) {
            topology.remove_at(&["kubernetes.io/hostname"]);
            endpoint.set_at(&["nodeName"], host);
        }
        if topology.as_object().is_some_and(|left| left.iter().next().is_some()) {
            endpoint.set_at(&["deprecatedTopology"], topology);
        }
    }
}

#[cfg(test)]
mod tests {
    use machinery::{json, value};

    use super::*;

    #[test]
    fn node_and_zone_leave_the_topology() {
        let mut slice = value!({"endpoints": [
            {"topology": {"kubernetes.io/hostname": "a", "topology.kubernetes.io/zone": "z"}},
            {"topology": {"kubernetes.io/hostname": "b", "rack": "7"}, "nodeName": "b"},
            {"topology": {"kubernetes.io/hostname": "c"}, "nodeName": "d"},
            {"addresses": ["10.0.0.1"]}
        ]});
        serve(&mut slice);
        expect_test::expect![[r#"{"endpoints":[{"zone":"z","nodeName":"a"},{"nodeName":"b","deprecatedTopology":{"rack":"7"}},{"nodeName":"d","deprecatedTopology":{"kubernetes.io/hostname":"c"}},{"addresses":["10.0.0.1"]}]}"#]].assert_eq(&json::to_string(&slice));
    }
}
