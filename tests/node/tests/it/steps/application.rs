//! The example: a web front end, an API in two pods, redis.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::kubectl::{DRILL, text};
use crate::{http, manifests, wait};

/// Applied from its file and rolled out; applying it again changes nothing.
pub fn deployed(cluster: &Cluster) -> Result<()> {
    let file = cluster.machine.checkout.join("examples/regatta/regatta.yaml");
    let said = cluster.kubectl("apply -f").arg(&file).ok()?;
    ensure!(said.lines().count() == 10 && said.lines().all(|l| l.ends_with(" created")), "apply says\n{said}");
    for name in ["redis", "api", "web"] {
        let words = format!("-n regatta rollout status deployment/{name} --timeout=120s");
        let said = cluster.kubectl(&words).ok()?;
        let end = format!("deployment \"{name}\" successfully rolled out\n");
        ensure!(said.ends_with(&end), "rollout status says\n{said}");
    }
    let again = cluster.kubectl("apply -f").arg(&file).ok()?;
    // A secret's `stringData` is never given back, so that kubectl sees a difference every time.
    let expected = |line: &str| line.ends_with(" unchanged") || line == "secret/redis configured";
    ensure!(again.lines().all(expected), "apply again says\n{again}");
    Ok(())
}

/// From outside: the page, and strokes that are counted in redis.
pub fn node_port(cluster: &Cluster) -> Result<()> {
    let address = format!("{}:30080", cluster.node_address()?);
    wait::until("the page answers", || {
        let (code, page) = http::ask(&address, "GET", "/", "")?;
        ensure!(code == 200 && page.contains("Regatta on Coxswain"), "{code} {page}");
        Ok(())
    })?;
    let before = metres(&stroke(&address)?)?;
    let after = metres(&stroke(&address)?)?;
    ensure!(after == before + 10, "a stroke moves from {before} to {after}");
    Ok(())
}

fn stroke(address: &str) -> Result<String> {
    let (code, race) = http::ask(address, "POST", "/api/stroke/scarlet", "")?;
    ensure!(code == 200, "a stroke is answered with {code}: {race}");
    Ok(race)
}

fn metres(race: &str) -> Result<i64> {
    let race: Value = serde_json::from_str(race).with_context(|| format!("reading {race}"))?;
    race.pointer("/crews/0/metres").and_then(Value::as_i64).context("no metres")
}

/// From another pod: the service's address, its short and its full name.
pub fn from_a_pod(cluster: &Cluster) -> Result<()> {
    let service = cluster.json("service -n regatta web")?;
    let address = text(&service, "/spec/clusterIP");
    let script = format!(
        "for host in {address} web.regatta web.regatta.svc.cluster.local; do \
         wget -qO- http://$host/api/race | grep -q metres && echo $host answers >> /dev/termination-log; done; \
         cat /etc/resolv.conf >> /dev/termination-log"
    );
    cluster.apply(&manifests::job_pod("visitor", &script))?;
    let said = wait::until("the visitor is done", || {
        let pod = cluster.json(&format!("pod -n {DRILL} visitor"))?;
        ensure!(text(&pod, "/status/phase") == "Succeeded", "its status: {}", pod["status"]);
        Ok(text(&pod, "/status/containerStatuses/0/state/terminated/message").to_owned())
    })?;
    for host in [address, "web.regatta", "web.regatta.svc.cluster.local"] {
        ensure!(said.contains(&format!("{host} answers\n")), "{host} does not answer; the pod says\n{said}");
    }
    ensure!(said.contains(&format!("search {DRILL}.svc.cluster.local svc.cluster.local cluster.local")), "{said}");
    Ok(())
}
