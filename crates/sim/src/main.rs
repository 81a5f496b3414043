//! Runs simulations over many seeds and says how to replay one that fails. Every seed has a process of its own, so that
//! what a process remembers cannot matter.

mod chance;

use std::process::{Command, ExitCode, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use clap::Parser;
use sim::simulation::{Outcome, Plan, simulate};

/// Runs a whole cluster in virtual time, with faults, over many seeds.
#[derive(Parser)]
#[command(name = "sim")]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Run this seed only, in this process.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this workload; drawn from the seed otherwise.
    #[arg(long)]
    workload: Option<String>,
    /// Let nothing go wrong.
    #[arg(long)]
    no_faults: bool,
    /// Show every write (with --seed).
    #[arg(long)]
    history: bool,
    /// Show the components' logs at this level on standard error (with --seed).
    #[arg(long)]
    log: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.seed {
        Some(seed) => one(&arguments, seed),
        None => many(&arguments),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one seed here; whether it went well.
fn one(arguments: &Arguments, seed: u64) -> Result<bool> {
    if let Some(level) = &arguments.log {
        tracing_subscriber::fmt().with_env_filter(level).without_time().with_writer(std::io::stderr).init();
    }
    let (workload, faults, print) = (arguments.workload.clone(), !arguments.no_faults, arguments.history);
    let outcome = simulate(&Plan { seed, workload, faults, print }).map_err(anyhow::Error::msg)?;
    println!("{}", told(seed, &outcome));
    Ok(outcome.complaint.is_none())
}

fn told(seed: u64, outcome: &Outcome) -> String {
    let Outcome { workload, writes, hash, seconds, complaint } = outcome;
    let ended = complaint.as_deref().unwrap_or("all well");
    format!("seed {seed}: {workload}, {writes} writes in {seconds} s, history {hash:016x}: {ended}")
}

/// Runs the seeds, as many at a time as there are processors; whether all went well.
fn many(arguments: &Arguments) -> Result<bool> {
    let program = std::env::current_exe().context("finding the own program")?;
    let (next, end) = (AtomicU64::new(arguments.first), arguments.first + arguments.count);
    let failed = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return Ok::<(), anyhow::Error>(());
            }
            let mut child = Command::new(&program);
            child.args(choices(arguments, seed));
            let output = child.output().with_context(|| format!("running seed {seed}"))?;
            if !report(arguments, seed, &output) {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
    })?;
    let failed = failed.into_inner();
    println!("{} of {} seeds went well", arguments.count - failed, arguments.count);
    Ok(failed == 0)
}

fn choices(arguments: &Arguments, seed: u64) -> Vec<String> {
    let mut choices = vec!["--seed".to_owned(), seed.to_string()];
    if let Some(workload) = &arguments.workload {
        choices.extend(["--workload".to_owned(), workload.clone()]);
    }
    if arguments.no_faults {
        choices.push("--no-faults".to_owned());
    }
    choices
}

/// Prints how a seed ended; whether well.
fn report(arguments: &Arguments, seed: u64, output: &Output) -> bool {
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        return true;
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    println!("replay: cargo run --quiet --package sim -- {}", choices(arguments, seed).join(" "));
    false
}
