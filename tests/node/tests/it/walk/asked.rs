//! The kinds that are not stored: reviews, which answer at once, bindings, and the statuses of components.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::walk::discovery::Served;
use crate::walk::example::{self, Example};

/// The warning of the statuses of components.
const OLD: &str = "Warning: v1 ComponentStatus is deprecated in v1.19+\n";

/// Walks them; gives a text for each that fails.
pub fn walk(server: &ApiServer, served: &[Served], examples: &[Example]) -> Vec<String> {
    let asked = served.iter().filter(|kind| !kind.can("patch"));
    let failures = asked.filter_map(|kind| {
        let example = examples.iter().find(|example| example.is_of(kind));
        let result = explain(server, kind).and_then(|()| match (kind.kind.as_str(), example) {
            ("Binding", Some(example)) => binding(server, example),
            ("ComponentStatus", None) => component_statuses(server),
            (_, Some(example)) => review(server, example),
            (_, None) => Err(anyhow::anyhow!("nobody knows what to do with it: {:?}", kind.verbs)),
        });
        result.err().map(|error| format!("- {}: {error:#}", kind.resource()))
    });
    failures.collect()
}

fn explain(server: &ApiServer, kind: &Served) -> Result<()> {
    let said = server.kubectl(&format!("explain {} --api-version={}", kind.plural, kind.api_version())).ok()?;
    let head = format!("KIND:       {}", kind.kind);
    ensure!(said.lines().any(|line| line == head), "explain has no line {head}:\n{said}");
    Ok(())
}

/// What is asked comes back with the answer, mostly.
fn review(server: &ApiServer, example: &Example) -> Result<()> {
    let ended = server.kubectl("create -o json -f -").input(example.text.clone()).code(0)?;
    ensure!(ended.stderr.is_empty(), "it complained: {}", ended.stderr);
    let object: Value = serde_json::from_str(&ended.stdout).context("reading the answer")?;
    let wanted = example.plan.answer.as_ref().with_context(|| format!("{} has no answer", example.name))?;
    let asked = if example.plan.alone { &json!({"kind": example.object["kind"]}) } else { &example.object };
    let lost = example::missing(asked, &object).or_else(|| example::missing(wanted, &object["status"]));
    ensure!(lost.is_none(), "the answer{}", lost.unwrap_or_default());
    Ok(())
}

/// A binding puts a pod on a node.
fn binding(server: &ApiServer, example: &Example) -> Result<()> {
    let name = example.object_name();
    let pod = format!("run {name} --image=registry.example.com/{name}:1 --restart=Never");
    server.kubectl(&pod).ok()?;
    server.kubectl("create -f -").input(example.text.clone()).ok()?;
    let node = server.kubectl(&format!("get pod {name} -o jsonpath={{.spec.nodeName}}")).ok()?;
    ensure!(node == example.object["target"]["name"], "the pod is bound to {node:?}");
    server.kubectl(&format!("delete pod {name} --force --grace-period=0")).ok().map(drop)
}

/// They are shown, with a warning.
fn component_statuses(server: &ApiServer) -> Result<()> {
    let ended = server.kubectl("get componentstatuses").code(0)?;
    ensure!(ended.stderr == OLD && ended.stdout.starts_with("NAME "), "it said {}{}", ended.stdout, ended.stderr);
    let described = server.kubectl("describe componentstatuses").code(0)?;
    ensure!(described.stderr == OLD, "it complained: {}", described.stderr);
    Ok(())
}
