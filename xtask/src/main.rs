//! `cargo xtask`: everything a developer runs, one file a command.
#![allow(clippy::disallowed_methods, reason = "a tool for people runs in real time")]

mod arrows;
mod bench;
mod codegen;
mod codegen_bootstrap;
mod codegen_metrics;
mod codegen_samples;
mod down;
mod images;
mod install;
mod leftovers;
mod shell;
mod sim;
mod stock;
mod test;
mod tidy;
mod up;

use clap::{Parser, Subcommand};

/// Builds, starts, tests and measures Coxswain.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a one-node cluster with the example application (root).
    Up(up::Arguments),
    /// Stop the cluster and remove everything it made (root).
    Down(down::Arguments),
    /// Install what is missing and run every test.
    Test(test::Arguments),
    /// Make the example's images and print their archives.
    Images,
    /// Run the simulation over many seeds.
    Sim(sim::Arguments),
    /// Run a stock kube-apiserver beside ours on one etcd.
    Stock(stock::Arguments),
    /// Measure the release build beside its budgets (root, for the node's part).
    Bench(bench::Arguments),
    /// Write the field table from data about the API.
    Codegen(codegen::Arguments),
    /// Check formatting, lints and the arrows between crates.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Down(arguments) => down::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Images => images::build().map(|all| all.iter().for_each(|path| println!("{}", path.display()))),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Stock(arguments) => stock::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Codegen(arguments) => codegen::run(&arguments),
        Command::Tidy => tidy::run(),
    }
}
