//! A pod is bound once, to a node that there is.

use machinery::{Value, meta};

use super::{Change, Checker};

/// Complains when a pod changes its node, or gets one that does not exist.
#[derive(Debug, Default)]
pub struct BoundOnce;

impl Checker for BoundOnce {
    fn see(&mut self, change: &Change<'_>) -> Option<String> {
        if !change.key.starts_with("/registry/pods/") {
            return None;
        }
        let new = change.new?;
        let before = change.old.filter(|old| meta::uid(old) == meta::uid(new)).map_or("", node);
        let after = node(new);
        if before == after {
            return None;
        }
        if !before.is_empty() {
            return Some(format!("{} was on node {before} and is on {after:?} now", change.key));
        }
        let known = change.all.contains_key(&format!("/registry/minions/{after}"));
        (!known).then(|| format!("{} was bound to {after}, which is no node", change.key))
    }
}

fn node(pod: &Value) -> &str {
    pod.str_at(&["spec", "nodeName"]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::judge;

    #[test]
    fn a_second_binding_is_noticed() {
        let history = r#"
            0 /registry/minions/n1 {"metadata":{"name":"n1"}}
            0 /registry/pods/a/p {"metadata":{"uid":"1"}}
            1 /registry/pods/a/p {"metadata":{"uid":"1"},"spec":{"nodeName":"n1"}}
            2 /registry/pods/a/p {"metadata":{"uid":"1"},"spec":{"nodeName":"n2"}}
            3 /registry/pods/a/p
            4 /registry/pods/a/p {"metadata":{"uid":"2"}}
            5 /registry/pods/a/p {"metadata":{"uid":"2"},"spec":{"nodeName":"n1"}}
            6 /registry/pods/a/q {"metadata":{"uid":"3"},"spec":{"nodeName":"n3"}}
        "#;
        expect_test::expect![[r#"
            /registry/pods/a/p was on node n1 and is on "n2" now
            /registry/pods/a/q was bound to n3, which is no node"#]]
        .assert_eq(&judge(BoundOnce, history));
    }
}
