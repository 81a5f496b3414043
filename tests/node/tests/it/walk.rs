//! Every kind that the server serves, walked with the real kubectl: made, shown, described, explained, changed in every
//! way, applied, compared, replaced, deleted. What there is to walk comes from the server's discovery, so that a kind
//! or a subresource that nobody thought of fails the test.

mod applied;
mod asked;
mod commanded;
mod discovery;
mod example;
mod group;
mod subresources;

use std::collections::VecDeque;
use std::sync::Mutex;

use anyhow::{Result, ensure};

use crate::api_server::{ApiServer, HARBOUR};
use crate::machine::Machine;
use discovery::Served;
use example::Example;
use group::{Group, Member};

/// So many groups are walked at once.
const WALKERS: usize = 3;

/// So many kinds are a group: kubectl takes many objects as easily as one, and starting it costs the most.
const GROUP: usize = 10;

/// Does something with all kinds of a group.
type Step = fn(&Group) -> Result<()>;

/// What is done with the kinds of a group, in this order.
const STEPS: &[(&str, Step)] = &[
    ("explain", commanded::explain),
    ("create", commanded::create),
    ("get", commanded::get),
    ("describe", commanded::describe),
    ("label and annotate", commanded::label),
    ("patch", commanded::patch),
    ("subresources", subresources::walk),
    ("replace", commanded::replace),
    ("delete", commanded::delete),
    ("apply", applied::client_side),
    ("diff", applied::diff),
    ("apply --server-side", applied::server_side),
    ("a conflict", applied::conflict),
    ("delete what was applied", applied::delete),
];

#[test]
fn every_kind_with_kubectl() {
    let _alone = crate::alone();
    let failures = walk().unwrap_or_else(|error| panic!("{error:#}"));
    assert!(failures.is_empty(), "{} steps failed:\n{}", failures.len(), failures.join("\n"));
}

fn walk() -> Result<Vec<String>> {
    let machine = Machine::from_environment()?;
    let server = ApiServer::start(&machine, "walk")?;
    let served = discovery::served(&server)?;
    let examples = example::all(&machine.checkout.join("tests/node/examples"))?;
    let stored = pair(&served, &examples)?;
    prepare(&server)?;

    let failures = Mutex::new(asked::walk(&server, &served, &examples));
    let waiting = Mutex::new(groups(&server, stored)?);
    std::thread::scope(|scope| {
        for _ in 0..WALKERS {
            scope.spawn(|| {
                while let Some(group) = next(&waiting) {
                    for (name, step) in STEPS {
                        if let Err(error) = step(&group) {
                            failures.lock().unwrap().push(format!("- {} {name}: {error:#}", group.name));
                        }
                    }
                }
            });
        }
    });
    Ok(failures.into_inner().unwrap())
}

fn next<'a>(waiting: &Mutex<VecDeque<Group<'a>>>) -> Option<Group<'a>> {
    waiting.lock().unwrap().pop_front()
}

/// Each kind that can be stored with its example; nothing served may lack one, and none may be left over.
fn pair<'a>(served: &'a [Served], examples: &'a [Example]) -> Result<Vec<Member<'a>>> {
    let example_of = |kind: &Served| examples.iter().find(|example| example.is_of(kind));
    let without: Vec<String> =
        served.iter().filter(|kind| kind.can("create") && example_of(kind).is_none()).map(Served::resource).collect();
    ensure!(without.is_empty(), "kinds without a file in tests/node/examples: {}", without.join(", "));
    let idle: Vec<&str> = examples
        .iter()
        .filter(|example| !served.iter().any(|kind| example.is_of(kind)))
        .map(|example| example.name.as_str())
        .collect();
    ensure!(idle.is_empty(), "examples of kinds that are not served: {}", idle.join(", "));
    let stored = served.iter().filter(|kind| kind.can("patch"));
    Ok(stored.filter_map(|kind| Some(Member { kind, example: example_of(kind)? })).collect())
}

/// What objects of the examples lean on.
fn prepare(server: &ApiServer) -> Result<()> {
    server.kubectl(&format!("create namespace {HARBOUR}")).ok()?;
    server.kubectl(&format!("config set-context --current --namespace {HARBOUR}")).ok()?;
    server.kubectl("create serviceaccount default").ok()?;
    Ok(())
}

/// The kinds in groups of about the same size.
fn groups<'a>(server: &'a ApiServer, mut stored: Vec<Member<'a>>) -> Result<VecDeque<Group<'a>>> {
    stored.sort_by(|one, other| one.example.name.cmp(&other.example.name));
    let mut groups = VecDeque::new();
    while !stored.is_empty() {
        let rest = stored.split_off(GROUP.min(stored.len()));
        groups.push_back(Group::new(server, std::mem::replace(&mut stored, rest))?);
    }
    Ok(groups)
}
