//! `cox-bench`: measures a cox from outside and prints each figure as a line of JSON; `cargo xtask bench` puts them
//! beside the budgets.
#![allow(clippy::disallowed_methods, reason = "a measurement takes real time")]

mod cluster;
mod cri;
mod etcd;
mod figure;
mod leases;
mod lists;
mod node;
mod objects;
mod pods;
mod process;
mod single;
mod suite_api;
mod suite_node;
mod watches;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// No suite takes longer; one that does has failed.
const SUITE_LIMIT: Duration = Duration::from_secs(900);

/// Measures a cox from outside.
#[derive(Parser)]
#[command(name = "cox-bench", version)]
struct Arguments {
    /// The binary to measure.
    #[arg(long)]
    cox: PathBuf,
    /// A folder that this run may fill; it is removed afterwards.
    #[arg(long)]
    data_dir: PathBuf,
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// `cox apiserver`: creates, lists, watches, memory.
    Api(suite_api::Arguments),
    /// `cox server`: start, idle, pods (root; no other cluster may run on the machine).
    Node(suite_node::Arguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { cox, data_dir, suite } = Arguments::parse();
    let run = async {
        match suite {
            Suite::Api(arguments) => suite_api::run(&cox, &data_dir, &arguments).await,
            Suite::Node(arguments) => suite_node::run(&cox, &data_dir, &arguments).await,
        }
    };
    tokio::time::timeout(SUITE_LIMIT, run).await.context("the suite takes too long")?
}
