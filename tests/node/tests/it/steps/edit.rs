//! Changing what is there.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::{DRILL, text};
use crate::manifests;

/// Code 0 and nothing said without a difference; code 1 and the lines with one.
pub fn diff(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::config_map("stroke", "rate", "\"28\""))?;
    let same = cluster.kubectl("diff -f -").input(manifests::config_map("stroke", "rate", "\"28\"")).code(0)?;
    ensure!(same.stdout.is_empty(), "a difference where there is none:\n{}", same.stdout);
    let other = cluster.kubectl("diff -f -").input(manifests::config_map("stroke", "rate", "\"36\"")).code(1)?;
    for line in ["\n-  rate: \"28\"\n", "\n+  rate: \"36\"\n"] {
        ensure!(other.stdout.contains(line), "no {line:?} in\n{}", other.stdout);
    }
    let kept = cluster.json(&format!("configmap -n {DRILL} stroke"))?;
    ensure!(text(&kept, "/data/rate") == "28", "diff changed the object");
    Ok(())
}

/// The editor's change is saved; leaving without one says so.
pub fn editor(cluster: &Cluster) -> Result<()> {
    cluster.apply(&manifests::config_map("course", "length", "five-hundred"))?;
    let words = format!("-n {DRILL} edit configmap course");
    let said = cluster.kubectl(&words).env("KUBE_EDITOR", "sed -i s/five-hundred/two-thousand/").ok()?;
    ensure!(said == "configmap/course edited\n", "edit says {said}");
    let edited = cluster.json(&format!("configmap -n {DRILL} course"))?;
    ensure!(text(&edited, "/data/length") == "two-thousand", "{edited}");
    let ended = cluster.kubectl(&words).env("KUBE_EDITOR", "true").code(0)?;
    ensure!(ended.stdout + &ended.stderr == "Edit cancelled, no changes made.\n", "edit without a change");
    Ok(())
}
