//! A one-node cluster from start to removal, as a user sees it: `cox server`, real containers, the real kubectl.
//!
//! `cargo xtask test` makes the images and the tools and says where they are (`COX`, `COX_TOOLS`, `COX_IMAGES`).
//! `COX_STEPS=exec,logs` runs only the steps whose names contain one of the words, after those that set the scene.
#![expect(clippy::unwrap_used, reason = "all of this is a test; a poisoned lock has failed already")]

mod api_server;
mod cluster;
mod deaths;
mod http;
mod kubectl;
mod machine;
mod manifests;
mod program;
mod refusals;
mod steps;
mod wait;
mod walk;

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cluster::Cluster;
use machine::Machine;

/// Held by tests that take the whole machine, so that their waits do not depend on each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // Whoever failed with it left nothing behind in it.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_cluster_end_to_end() {
    let _alone = alone();
    let machine = Machine::from_environment().unwrap_or_else(|error| panic!("{error:#}"));
    let cluster = Cluster::start(machine).unwrap_or_else(|error| panic!("the cluster does not start: {error:#}"));
    let failures = run(&cluster);
    let state = if failures.is_empty() { String::new() } else { cluster.state() };
    let removed = cluster.remove();
    assert!(failures.is_empty(), "{} steps failed:\n{}\n{state}", failures.len(), failures.join("\n"));
    removed.unwrap_or_else(|error| panic!("{error:#}"));
}

/// Runs the steps in order, all of them also after a failure; gives a text for each that failed.
fn run(cluster: &Cluster) -> Vec<String> {
    let wanted = std::env::var("COX_STEPS").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').filter(|word| !word.is_empty()).collect();
    let mut failures = Vec::new();
    for step in steps::ALL {
        if !step.sets_the_scene && !wanted.is_empty() && !wanted.iter().any(|word| step.name.contains(word)) {
            continue;
        }
        let started = wait::now();
        let result = (step.run)(cluster);
        println!("{} ({:.1} s) {}", if result.is_ok() { "ok    " } else { "FAILED" }, started.seconds(), step.name);
        if let Err(error) = result {
            let mut text = String::new();
            write!(text, "- {}: {error:#}", step.name).expect("a String takes everything");
            println!("{text}");
            failures.push(text);
        }
    }
    failures
}
