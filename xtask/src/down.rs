//! `cargo xtask down`: stops the cluster and removes everything that it made.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{self, Steps};

/// Stop the cluster and remove everything it made (root).
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the cluster keeps everything.
    #[arg(long, default_value = "/var/lib/coxswain")]
    pub data_dir: PathBuf,
    /// Keep the data directory, so that `up` finds the objects again.
    #[arg(long)]
    pub keep_data: bool,
}

/// Takes the cluster down.
///
/// # Errors
/// When something stays behind.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !shell::is_root()? {
        bail!("`cargo xtask down` stops containers: run it as root");
    }
    let Some(cox) = binary() else {
        println!("cox was never built here: nothing to take down");
        return Ok(());
    };
    Steps::new(1).step("reset", |_| {
        let mut reset = Command::new(&cox);
        reset.arg("reset").arg("--data-dir").arg(&arguments.data_dir);
        if arguments.keep_data {
            reset.arg("--keep-data");
        }
        Ok(((), shell::output(&mut reset)?.trim().to_owned()))
    })
}

/// The newest build of cox.
fn binary() -> Option<PathBuf> {
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    ["release", "debug"]
        .map(|profile| shell::target().join(profile).join("cox"))
        .into_iter()
        .filter(|path| path.exists())
        .max_by_key(|path| modified(path))
}
