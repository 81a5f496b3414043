//! Running other programs and saying what goes on.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout").to_owned()
}

/// Where built and downloaded things are kept: cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command that runs in the root of the checkout.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Runs `command` with its output shown.
///
/// # Errors
/// When it cannot start or ends with a code other than 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs `command` and gives what it prints; what it prints as errors is shown only when it fails.
///
/// # Errors
/// When it cannot start or ends with a code other than 0.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}\n{}", shown(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Whether this process is root's.
///
/// # Errors
/// When `id` cannot be asked.
pub fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Numbered steps, each with a spinner on a terminal and a line elsewhere.
pub struct Steps {
    total: usize,
    done: usize,
}

impl Steps {
    /// `total` steps lie ahead.
    pub fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    /// Does the next step, which a person knows as `name`; its result is said beside it.
    ///
    /// # Errors
    /// Those of `work`, with the step's name.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce(&ProgressBar) -> Result<(T, String)>) -> Result<T> {
        self.done += 1;
        let label = format!("[{}/{}] {name}", self.done, self.total);
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{spinner} {prefix} {msg}").expect("the template is well-formed"));
        bar.set_prefix(label.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        let result = work(&bar);
        bar.finish_and_clear();
        let (value, said) = result.with_context(|| name.to_owned())?;
        println!("{label}: {said}");
        Ok(value)
    }
}
