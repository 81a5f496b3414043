//! `cargo xtask tidy`: formatting, lints and arrows, the checks that need nothing to run.

use anyhow::Result;

use crate::{arrows, shell};

/// Checks everything and stops at the first that fails.
///
/// # Errors
/// What is not tidy.
pub fn run() -> Result<()> {
    arrows::check()?;
    shell::run(shell::command("cargo").args(["fmt", "--all", "--check"]))?;
    shell::run(shell::command("cargo").args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}
