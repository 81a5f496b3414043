//! Programs that others wrote against Kubernetes: helm, the Python client, the JavaScript client.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::kubectl::DRILL;
use crate::program::{Ended, Line};

/// The chart's objects that stay (its hook's Job goes when it is done).
const KINDS: &str = "serviceaccount,role,rolebinding,configmap,secret,limitrange,deployment,cronjob,service,ingress,\
                     networkpolicy,poddisruptionbudget,horizontalpodautoscaler";

/// install, upgrade, history, rollback and uninstall of a chart with more than a dozen kinds.
pub fn helm(cluster: &Cluster) -> Result<()> {
    let chart = cluster.machine.checkout.join("tests/node/chart");
    let helm = |words: &str| {
        let line = Line::new(cluster.machine.tools.join("helm")).env("KUBECONFIG", cluster.kubeconfig());
        line.env("HOME", cluster.home()).words(words).words(&format!("-n {DRILL}"))
    };
    let colour = || cluster.kubectl(&format!("-n {DRILL} get configmap boathouse -o jsonpath={{.data.colour}}")).ok();
    let boats = || cluster.ready_pods(DRILL, "app.kubernetes.io/instance=club", 2);

    let said = helm("install club --wait --timeout 80s").arg(&chart).ok()?;
    ensure!(said.contains("STATUS: deployed") && said.contains("REVISION: 1"), "install says {said}");
    ensure!(colour()? == "scarlet", "the colour is {}", colour()?);
    let said = helm("upgrade club --wait --timeout 80s --set colour=jade,boats=2").arg(&chart).ok()?;
    ensure!(said.contains("REVISION: 2"), "upgrade says {said}");
    ensure!(colour()? == "jade", "the colour is {}", colour()?);
    boats()?;
    for kind in KINDS.split(',') {
        let name = if kind == "cronjob" { "sweep" } else { "boathouse" };
        cluster.kubectl(&format!("-n {DRILL} get {kind} {name}")).ok()?;
    }
    helm("rollback club 1 --wait --timeout 80s").ok()?;
    ensure!(colour()? == "scarlet", "after the rollback the colour is {}", colour()?);
    let history = helm("history club").ok()?;
    ensure!(history.contains("Rollback to 1") && history.lines().count() == 4, "history says {history}");
    helm("uninstall club --wait --timeout 80s").ok()?;
    let left = cluster.kubectl(&format!("-n {DRILL} get {KINDS} -o name")).ok()?;
    ensure!(!left.contains("boathouse") && !left.contains("sweep"), "left behind:\n{left}");
    Ok(())
}

/// Objects, a watch and a command in a pod.
pub fn python(cluster: &Cluster) -> Result<()> {
    let script = cluster.machine.checkout.join("tests/node/clients/client.py");
    let line = Line::new("python3").env("PYTHONPATH", cluster.machine.tools.join("python"));
    content(line.env("KUBECONFIG", cluster.kubeconfig()).arg(script).arg(DRILL).code(0)?, "python")
}

/// An informer.
pub fn javascript(cluster: &Cluster) -> Result<()> {
    // Node looks for packages beside the script.
    let script = cluster.machine.tools.join("javascript/client.mjs");
    std::fs::copy(cluster.machine.checkout.join("tests/node/clients/client.mjs"), &script)?;
    let line = Line::new("node").env("KUBECONFIG", cluster.kubeconfig()).arg(script).arg(DRILL);
    content(line.code(0)?, "javascript")
}

fn content(ended: Ended, who: &str) -> Result<()> {
    ensure!(ended.stdout == format!("{who} is content\n"), "{who} says {}{}", ended.stdout, ended.stderr);
    Ok(())
}
