//! `cargo xtask sim`: a whole cluster in virtual time, over many seeds.

use std::ops::Range;

use anyhow::Result;

use crate::shell;

/// Run the simulation over many seeds.
#[derive(clap::Args)]
pub struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    pub count: u64,
}

/// Runs the seeds that were asked for.
///
/// # Errors
/// The first seed that failed, with how to replay it.
pub fn run(arguments: &Arguments) -> Result<()> {
    seeds(arguments.first..arguments.first + arguments.count)
}

/// Runs every seed of `range`.
///
/// # Errors
/// The first seed that failed, with how to replay it.
pub fn seeds(range: Range<u64>) -> Result<()> {
    shell::run(
        shell::command("cargo")
            .args(["run", "--quiet", "--bin", "sim", "--", "--first", &range.start.to_string()])
            .args(["--count", &(range.end - range.start).to_string()]),
    )
}
