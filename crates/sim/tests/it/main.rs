//! The program as it is called: seeds that go well, and that replay.

use std::process::Command;

fn sim(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the simulation can be started");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_handful_of_seeds_goes_well() {
    let (well, shown) = sim(&["--first", "0", "--count", "6"]);
    assert!(well, "{shown}");
}

#[test]
fn a_seed_replays() {
    for workload in ["rolling-update", "job-storm", "node-loss"] {
        let run = || sim(&["--seed", "7", "--workload", workload]).1;
        assert_eq!(run(), run());
    }
}

#[test]
fn an_unknown_workload_is_refused() {
    let (well, _) = sim(&["--seed", "1", "--workload", "regatta"]);
    assert!(!well);
}
