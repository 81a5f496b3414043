//! `ImageLocality`: prefers nodes that have the pod's images already, large and widespread ones most.

use super::{BASE, MAX_SCORE, Plugin};
use crate::cycle::Cycle;
use crate::node::NodeInfo;

const MIB: i64 = 1024 * 1024;
/// Less than this on a node is as nothing.
const LEAST_BYTES: i64 = 23 * MIB;
/// More than this for each image is no better.
const MOST_BYTES: i64 = 1000 * MIB;

pub const PLUGIN: Plugin = Plugin {
    name: "ImageLocality",
    // Where no node has any of the images all nodes are equal.
    prepare_score: Some(|cycle, _| cycle.pod.images.iter().any(|image| cycle.snapshot.image_nodes(image) > 0)),
    score: Some(score),
    ..BASE
};

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "sizes of images need no more")]
fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let nodes = cycle.snapshot.len().max(1) as f64;
    let weigh = |image: &String| {
        let size = *node.images.get(image)?;
        Some((size as f64 * (cycle.snapshot.image_nodes(image) as f64 / nodes)) as i64)
    };
    let sum: i64 = cycle.pod.images.iter().filter_map(weigh).sum();
    let most = MOST_BYTES * i64::try_from(cycle.pod.images.len()).unwrap_or(1).max(1);
    MAX_SCORE * (sum.clamp(LEAST_BYTES, most) - LEAST_BYTES) / (most - LEAST_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::Snapshot;
    use crate::testing::{node_with, pod, scores};

    #[test]
    fn images_draw() {
        let mut snapshot = Snapshot::default();
        for (name, image, size) in [("a", "web:latest", 1000 * MIB), ("b", "db:1", 250 * MIB), ("c", "tool:1", MIB)] {
            let status = json!({"allocatable": {"pods": "9"}, "images": [{"names": [image], "sizeBytes": size}]});
            snapshot.set_node(node_with(name, json!({}), status));
        }
        let runs = |image: &str| pod(&format!(r#"{{"containers":[{{"name":"c","image":"{image}"}}]}}"#));
        assert_eq!(scores(&PLUGIN, &snapshot, &runs("web")), "a: 31\nb: 0\nc: 0\n");
        assert_eq!(scores(&PLUGIN, &snapshot, &runs("db:1")), "a: 0\nb: 6\nc: 0\n");
        assert_eq!(scores(&PLUGIN, &snapshot, &runs("tool:1")), "a: 0\nb: 0\nc: 0\n");
        assert_eq!(scores(&PLUGIN, &snapshot, &runs("other")), "skipped");
    }
}
