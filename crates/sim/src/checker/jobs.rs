//! A job never has more pods at work than its parallelism, nor more that succeeded than it wants.
//!
//! Pods' names are drawn by the server, so a creation whose answer is lost cannot be told from one that failed: then one
//! pod too many is what upstream makes, too, and takes away again.

use machinery::meta;

use super::{Change, Checker, under};
use crate::objects::{is_finished, is_going, number, owner, store_key};

/// Complains when a new pod is one too many.
#[derive(Debug)]
pub struct Parallelism {
    /// Whether answers to creations may be lost.
    pub answers_are_lost: bool,
}

impl Checker for Parallelism {
    fn see(&mut self, change: &Change<'_>) -> Option<String> {
        let is_new_pod = change.key.starts_with("/registry/pods/") && change.old.is_none();
        if self.answers_are_lost || !is_new_pod {
            return None;
        }
        let pod = change.new?;
        let (name, namespace) = (owner(pod, "Job")?, meta::namespace(pod));
        let job = change.all.get(&store_key("jobs", namespace, name))?;
        let parallelism = number(job, &["spec", "parallelism"]);
        let prefix = store_key("pods", namespace, "");
        let pods = || under(change.all, &prefix).filter(|(_, pod)| owner(pod, "Job") == Some(name));
        let active = pods().filter(|(_, pod)| !is_finished(pod) && !is_going(pod)).count() as i64;
        if active > parallelism {
            return Some(format!("job {namespace}/{name} has {active} pods at work, its parallelism is {parallelism}"));
        }
        let succeeded = pods().filter(|(_, pod)| pod.str_at(&["status", "phase"]) == Some("Succeeded")).count() as i64;
        let completions = number(job, &["spec", "completions"]);
        (active + succeeded > completions).then(|| {
            format!("job {namespace}/{name} wants {completions} completions, but {succeeded} pods succeeded and {active} are at work")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing::judge;

    #[test]
    fn one_pod_too_many_is_noticed() {
        let pod = r#"{"metadata":{"namespace":"a","ownerReferences":[{"controller":true,"kind":"Job","name":"j"}]},"status":{"phase":"PHASE"}}"#;
        let (pending, done) = (pod.replace("PHASE", "Pending"), pod.replace("PHASE", "Succeeded"));
        let history = format!(
            r#"0 /registry/jobs/a/j {{"spec":{{"parallelism":1,"completions":2}}}}
            1 /registry/pods/a/p1 {pending}
            2 /registry/pods/a/p2 {pending}
            3 /registry/pods/a/p1 {done}
            3 /registry/pods/a/p2 {done}
            4 /registry/pods/a/p3 {pending}"#
        );
        expect_test::expect![[r#"
            job a/j has 2 pods at work, its parallelism is 1
            job a/j wants 2 completions, but 2 pods succeeded and 1 are at work"#]]
        .assert_eq(&judge(Parallelism { answers_are_lost: false }, &history));
    }
}
