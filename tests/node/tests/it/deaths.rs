//! Programs that others wrote against Kubernetes follow a server that dies and comes back: what was written before,
//! between and after its deaths comes to them, once and in order.

use anyhow::{Context, Result, ensure};

use crate::api_server::{ApiServer, HARBOUR};
use crate::machine::Machine;
use crate::program::{Line, Running};

/// The server is killed so many times.
const DEATHS: usize = 3;

#[test]
fn clients_over_a_dying_server() -> Result<()> {
    let _alone = crate::alone();
    let machine = Machine::from_environment()?;
    let mut server = ApiServer::start(&machine, "deaths")?;
    server.kubectl("create namespace").arg(HARBOUR).ok()?;
    let clients = [python(&machine, &server)?, javascript(&machine, &server)?];
    for client in &clients {
        client.prints(&["following\n"])?;
    }

    let mut events = Vec::new();
    for death in 0..DEATHS {
        events.extend(write(&server, death)?);
        server.kill_and_start()?;
    }
    events.extend(write(&server, DEATHS)?);
    kubectl(&server, "create configmap end")?;
    events.push("ADDED end ".to_owned());

    let [python, javascript] = clients;
    python.prints(&["python is content\n"])?;
    let printed = python.printed();
    let seen: Vec<&str> = printed.lines().skip(1).take_while(|line| !line.starts_with("python")).collect();
    ensure!(seen == events, "the events are {seen:#?}, not {events:#?}");
    javascript.prints(&["javascript is content\n"])?;
    let printed = javascript.printed();
    let cache = printed.lines().nth(1).context("no cache is printed")?;
    ensure!(cache == format!("boat-{DEATHS}=3 end="), "the informer's cache is {cache}");
    Ok(())
}

/// A boat comes, changes twice, and the one before goes; gives the events of it.
fn write(server: &ApiServer, boat: usize) -> Result<Vec<String>> {
    kubectl(server, &format!("create configmap boat-{boat} --from-literal=stroke=1"))?;
    let mut events = vec![format!("ADDED boat-{boat} 1")];
    for stroke in 2..=3 {
        kubectl(server, &format!(r#"patch configmap boat-{boat} -p {{"data":{{"stroke":"{stroke}"}}}}"#))?;
        events.push(format!("MODIFIED boat-{boat} {stroke}"));
    }
    if let Some(before) = boat.checked_sub(1) {
        kubectl(server, &format!("delete configmap boat-{before}"))?;
        events.push(format!("DELETED boat-{before} 3"));
    }
    Ok(events)
}

fn kubectl(server: &ApiServer, words: &str) -> Result<()> {
    server.kubectl(&format!("--namespace {HARBOUR}")).words(words).ok().map(drop)
}

fn python(machine: &Machine, server: &ApiServer) -> Result<Running> {
    let script = machine.checkout.join("tests/node/clients/resume.py");
    let line = Line::endless("python3").env("PYTHONPATH", machine.tools.join("python"));
    line.env("KUBECONFIG", server.kubeconfig()).arg(script).arg(HARBOUR).start()
}

fn javascript(machine: &Machine, server: &ApiServer) -> Result<Running> {
    // Node looks for packages beside the script.
    let script = machine.tools.join("javascript/informer.mjs");
    std::fs::copy(machine.checkout.join("tests/node/clients/informer.mjs"), &script).context("copying the script")?;
    Line::endless("node").env("KUBECONFIG", server.kubeconfig()).arg(script).arg(HARBOUR).start()
}
