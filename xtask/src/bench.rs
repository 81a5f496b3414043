//! `cargo xtask bench`: measures the release build and prints the figures beside their budgets.
//!
//! A report for people, never a test: the same machine under other load gives other figures.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{images, shell, up};

/// What is measured, its budget on a two-core machine, and what the original takes there. Figures without a row here
/// stand below them.
const BUDGETS: &[(&str, &str, &str, &str)] = &[
    ("start", "`cox server` start → API ready / node Ready", "0.3 s / 1.5 s", "2.1–2.8 s / 3.2–4.0 s"),
    ("idle memory", "idle memory, control plane and node agent in one process", "60 MB", "630 MB"),
    ("idle CPU", "idle CPU", "< 0.5 % of a core", "4.5 %"),
    ("binary", "release binary, stripped", "40 MB", "362 MB in six programs"),
    ("create", "CPU per pod create, 64 clients", "100 µs", "2.2–3.9 ms (484 a second)"),
    ("list", "LIST of 10,000 pods as JSON over TLS", "> 1 GB/s", "57 MB/s"),
    ("watch", "CPU per delivered watch event, 1,000 watchers", "3 µs", "31 µs"),
    ("pod start", "pod start, image present: create → Running", "CRI's own time + 50 ms", "0.51 s; 30 at once 4.5 s"),
    ("memory", "memory with 20,000 pods after load", "300 MB", "1.8–6.5 GB"),
    (
        "scheduler",
        "scheduler, 5,000 nodes, plain pods / with pod anti-affinity",
        "10,000 / 2,000 pods/s",
        "269–349 / 60–400 pods/s",
    ),
];

/// Measure the release build beside its budgets (the node suite needs root and a machine without another cluster).
#[derive(clap::Args)]
pub struct Arguments {
    /// What to measure; everything unless given.
    #[arg(value_enum)]
    suites: Vec<Suite>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// `cox apiserver`: creates, lists, watches, memory.
    Api,
    /// `cox apiserver` on an etcd of one member: the same.
    Etcd,
    /// `cox server`: start, idle, pods.
    Node,
    /// The embedded store alone.
    Store,
    /// The scheduler alone: queue, cycle and snapshot.
    Scheduler,
    /// The proxy's rules alone, in a network namespace of its own.
    Proxy,
}

#[derive(Deserialize)]
struct Figure {
    key: String,
    measured: String,
}

/// Figures by row; a row may have several.
type Figures = BTreeMap<String, Vec<String>>;

/// Measures and prints the table.
///
/// # Errors
/// The suite that failed; what was measured before is printed first.
pub fn run(arguments: &Arguments) -> Result<()> {
    let asked = |suite| arguments.suites.is_empty() || arguments.suites.contains(&suite);
    let cox = up::build(false)?;
    shell::run(shell::command("cargo").args(["build", "--release", "-p", "cox-bench"]))?;
    let mut figures = Figures::new();
    let size = std::fs::metadata(&cox)?.len();
    figures.entry("binary".to_owned()).or_default().push(format!("{:.1} MB", size as f64 / 1e6));
    let mut outcomes = Vec::new();
    if asked(Suite::Api) {
        outcomes.push(measure(&cox, "api", &[], &mut figures));
    }
    if asked(Suite::Etcd) {
        outcomes.push(measure(&cox, "api", &["--etcd".into()], &mut figures));
    }
    if asked(Suite::Node) {
        outcomes.push(
            busybox().and_then(|busybox| {
                measure(&cox, "node", &["--busybox".into(), busybox.into_os_string()], &mut figures)
            }),
        );
    }
    if asked(Suite::Store) {
        let folder = shell::target().join("bench");
        std::fs::create_dir_all(&folder)?;
        outcomes.push(shell::run(example("store", "store_bench").arg("--").arg(folder)));
    }
    if asked(Suite::Proxy) {
        outcomes.push(shell::run(&mut example("proxy", "load")));
    }
    if asked(Suite::Scheduler) {
        outcomes.push(read(&mut example("scheduler", "throughput"), &mut figures));
    }
    print!("{}", table(&figures));
    outcomes.into_iter().collect()
}

/// Runs one suite of `cox-bench` in a data directory of its own.
fn measure(cox: &Path, suite: &str, options: &[std::ffi::OsString], figures: &mut Figures) -> Result<()> {
    let mut bench = shell::command(shell::target().join("release/cox-bench"));
    bench.arg("--cox").arg(cox).arg("--data-dir").arg(shell::target().join("bench").join(suite)).arg(suite);
    read(bench.args(options), figures).with_context(|| format!("the suite {suite}"))
}

/// Runs a measurement that prints a [`Figure`] a line.
fn read(command: &mut Command, figures: &mut Figures) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {command:?}"))?;
    let lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
    for line in lines {
        let Figure { key, measured } = serde_json::from_str(&line?).context("a figure")?;
        eprintln!("bench: {key}: {measured}");
        figures.entry(key).or_default().push(measured);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// A crate's own measurement, which prints for itself.
fn example(package: &str, example: &str) -> Command {
    let mut cargo = shell::command("cargo");
    cargo.args(["run", "--release", "--quiet", "-p", package, "--example", example]);
    cargo
}

/// The archive with the busybox image.
fn busybox() -> Result<PathBuf> {
    let archives = images::build()?;
    let named = |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("busybox"));
    archives.iter().find(named).cloned().context("the example's images have no busybox")
}

/// The figures as a Markdown table.
fn table(figures: &Figures) -> String {
    let mut text = "| what | budget | measured | the Go original, for scale |\n|---|---|---|---|\n".to_owned();
    let shown = |key: &str| figures.get(key).map_or_else(|| "not measured".to_owned(), |all| all.join("; "));
    for (key, what, budget, original) in BUDGETS {
        text.push_str(&format!("| {what} | {budget} | {} | {original} |\n", shown(key)));
    }
    for key in figures.keys().filter(|key| BUDGETS.iter().all(|budget| budget.0 != key.as_str())) {
        text.push_str(&format!("| {key} | | {} | |\n", shown(key)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_beside_their_budgets() {
        let figures = [("idle CPU", vec!["0.1 %"]), ("create", vec!["80 µs", "90 µs"]), ("more", vec!["1"])];
        let figures = figures.map(|(key, all)| (key.to_owned(), all.into_iter().map(str::to_owned).collect()));
        let text = table(&figures.into());
        assert!(text.contains("| idle CPU | < 0.5 % of a core | 0.1 % | 4.5 % |\n"), "{text}");
        assert!(text.contains("| 100 µs | 80 µs; 90 µs |"), "{text}");
        assert!(text.contains("| 60 MB | not measured |"), "{text}");
        assert!(text.ends_with("| more | | 1 | |\n"), "{text}");
    }
}
