//! The parts of objects that have a path of their own, as far as no node is needed for them.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::api_server::HARBOUR;
use crate::walk::example;
use crate::walk::group::{Group, Member};

/// These lead to a node; the cluster's own steps go there.
const ON_A_NODE: &[&str] = &["attach", "exec", "log", "portforward", "proxy"];

/// Every subresource of every member; one that nobody knows is an error.
pub fn walk(group: &Group) -> Result<()> {
    let mut failures = Vec::new();
    for member in &group.members {
        for part in member.kind.subresources.iter().filter(|part| !ON_A_NODE.contains(&part.as_str())) {
            let walked = one(group, member, part).with_context(|| format!("{} of {}", part, member.shown()));
            failures.extend(walked.err().map(|error| format!("{error:#}")));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

fn one(group: &Group, member: &Member, part: &str) -> Result<()> {
    match part {
        "status" => status(group, member),
        "scale" => scale(group, member),
        "approval" => approval(group, member),
        "token" => token(group, member),
        "binding" => binding(group),
        "ephemeralcontainers" => ephemeral_containers(group),
        "resize" => resize(group),
        "eviction" => eviction(group),
        // What takes a namespace away walks it.
        "finalize" => Ok(()),
        _ => bail!("nobody knows what to do with it"),
    }
}

/// `patch --subresource=status` writes the status and nothing else; `get --subresource=status` shows it.
fn status(group: &Group, member: &Member) -> Result<()> {
    let Some(status) = &member.example.plan.status else {
        bail!("{} says no status that may be written", member.example.name)
    };
    let patch = json!({"status": status}).to_string();
    let object = patched(group, member, "patch --subresource=status --type merge", &patch)?;
    let lost = example::missing(status, &object["status"]);
    ensure!(lost.is_none(), "the answer's status{}", lost.unwrap_or_default());
    let shown = read(group, member, "get --subresource=status -o json")?;
    let shown: Value = serde_json::from_str(&shown).context("reading the object")?;
    let lost = example::missing(status, &shown["status"]);
    ensure!(lost.is_none(), "the status that is read{}", lost.unwrap_or_default());
    Ok(())
}

/// `scale`, and the scale as it is read.
fn scale(group: &Group, member: &Member) -> Result<()> {
    let said = group.run("scale --replicas=7", &group.file(member), 0)?;
    ensure!(said == format!("{} scaled\n", member.shown()), "scale says {said}");
    let words = "get --subresource=scale -o jsonpath={.kind}/{.spec.replicas}";
    let shown = read(group, member, words)?;
    ensure!(shown == "Scale/7", "the scale is {shown}");
    Ok(())
}

/// `certificate approve`.
fn approval(group: &Group, member: &Member) -> Result<()> {
    let said = group.kubectl("certificate approve").arg(member.example.object_name()).ok()?;
    ensure!(said == format!("{} approved\n", member.shown()), "approve says {said}");
    let types = group.run("get -o jsonpath={.status.conditions[*].type}", &group.file(member), 0)?;
    ensure!(types == "Approved", "the conditions are {types}");
    Ok(())
}

/// `create token` gives a token that the server knows again.
fn token(group: &Group, member: &Member) -> Result<()> {
    let name = member.example.object_name();
    let token = group.kubectl("create token").arg(name).ok()?;
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token.trim()},
    });
    let words = "create -f - -o jsonpath={.status.user.username}";
    let user = group.kubectl(words).input(review.to_string()).ok()?;
    ensure!(user == format!("system:serviceaccount:{HARBOUR}:{name}"), "it is the token of {user:?}");
    Ok(())
}

/// A pod for one part, because what is done to it cannot be taken back.
fn pod(group: &Group, name: &str) -> Result<()> {
    let container = json!({
        "name": "main",
        "image": "registry.example.com/main:1",
        "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
    });
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}});
    group.kubectl("create -f -").input(pod.to_string()).ok().map(drop)
}

/// A field of the pod; then the pod goes.
fn farewell(group: &Group, name: &str, path: &str) -> Result<String> {
    let found = group.kubectl(&format!("get pod {name} -o jsonpath={path}")).ok()?;
    group.kubectl(&format!("delete pod {name} --force --grace-period=0")).ok()?;
    Ok(found)
}

/// A binding by the path of the pod.
fn binding(group: &Group) -> Result<()> {
    pod(group, "bound")?;
    let target = json!({"kind": "Node", "name": "launch"});
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bound"}, "target": target});
    let path = format!("/api/v1/namespaces/{HARBOUR}/pods/bound/binding");
    group.kubectl("create -f - --raw").arg(path).input(binding.to_string()).ok()?;
    let node = farewell(group, "bound", "{.spec.nodeName}")?;
    ensure!(node == "launch", "the pod is bound to {node:?}");
    Ok(())
}

/// An eviction takes a pod away.
fn eviction(group: &Group) -> Result<()> {
    pod(group, "evicted")?;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}});
    let path = format!("/api/v1/namespaces/{HARBOUR}/pods/evicted/eviction");
    group.kubectl("create -f - --raw").arg(path).input(eviction.to_string()).ok()?;
    let left = group.kubectl("get pod evicted -o name --ignore-not-found").ok()?;
    ensure!(left.is_empty(), "the pod is still there");
    Ok(())
}

/// `debug` puts a container into a pod that is there.
fn ephemeral_containers(group: &Group) -> Result<()> {
    pod(group, "debugged")?;
    let words = "debug debugged --image=registry.example.com/lens:1 --container=lens --attach=false";
    group.kubectl(words).ok()?;
    let containers = farewell(group, "debugged", "{.spec.ephemeralContainers[*].name}")?;
    ensure!(containers == "lens", "the containers are {containers}");
    Ok(())
}

/// `patch --subresource=resize` changes what a container asks for.
fn resize(group: &Group) -> Result<()> {
    pod(group, "resized")?;
    let patch = json!({"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "200m"}}}]}});
    group.kubectl("patch pod resized --subresource=resize -p").arg(patch.to_string()).ok()?;
    let cpu = farewell(group, "resized", "{.spec.containers[0].resources.requests.cpu}")?;
    ensure!(cpu == "200m", "it asks for {cpu}");
    Ok(())
}

/// A subresource as it is read; only by name does kubectl ask for one.
fn read(group: &Group, member: &Member, words: &str) -> Result<String> {
    let ended = group.kubectl(words).arg(member.kind.resource()).arg(member.example.object_name()).code(0)?;
    group.quiet(&ended)?;
    Ok(ended.stdout)
}

fn patched(group: &Group, member: &Member, words: &str, patch: &str) -> Result<Value> {
    let line = group.kubectl(words).arg("-o").arg("json").arg("-p").arg(patch).arg("-f").arg(group.file(member));
    let ended = line.code(0)?;
    group.quiet(&ended)?;
    serde_json::from_str(&ended.stdout).context("reading what was patched")
}
