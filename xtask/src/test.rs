//! `cargo xtask test`: installs what is missing and runs everything, cheapest first.

use anyhow::Result;

use crate::{images, install, leftovers, shell, sim, tidy, up};

/// Install what is missing and run every test.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leave out what needs root and real containers.
    #[arg(long)]
    pub without_containers: bool,
}

/// Seeds that the simulation runs in a test run.
const SEEDS: u64 = 100;

/// Runs every test and stops at the first kind that fails.
///
/// # Errors
/// What failed, or what was left behind.
pub fn run(arguments: &Arguments) -> Result<()> {
    println!("packages: {}", install::packages()?);
    let before = leftovers::snapshot()?;
    tidy::run()?;
    let containers = !arguments.without_containers;
    let mut cargo = shell::command("cargo");
    cargo.args(["test", "--workspace"]);
    if containers {
        let (tools, cox) = (install::kubernetes_tools()?, up::build(true)?);
        install::client_libraries(&tools)?;
        let archives: Vec<String> = images::build()?.iter().map(|path| path.display().to_string()).collect();
        cargo.env("COX", cox).env("COX_TOOLS", tools).env("COX_IMAGES", archives.join(":"));
    } else {
        cargo.args(["--exclude", "node-tests"]).env("COX_WITHOUT_CONTAINERS", "1");
    }
    shell::run(&mut cargo)?;
    sim::seeds(0..SEEDS)?;
    leftovers::check(&before)?;
    println!("everything passed and nothing was left behind");
    Ok(())
}
