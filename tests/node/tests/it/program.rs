//! Other programs: run to their end within a limit, or running beside the test until dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};

use crate::wait;

/// No program that ends by itself may take longer, in seconds; `timeout` ends it then with code 124.
const LIMIT_S: &str = "150";

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code, or -1 after a signal.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// A command line that is put together, then run.
pub struct Line {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Line {
    /// `program`, ended by force after a limit.
    pub fn new(program: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", LIMIT_S]).arg(program);
        Self { command, input: None }
    }

    /// `program` itself, for something that runs until it is dropped.
    pub fn endless(program: impl AsRef<std::ffi::OsStr>) -> Self {
        Self { command: Command::new(program), input: None }
    }

    /// Adds the words of `text`.
    pub fn words(mut self, text: &str) -> Self {
        self.command.args(text.split_whitespace());
        self
    }

    /// Adds one argument, spaces and all.
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads.
    pub fn input(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run(mut self) -> Result<Ended> {
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        let spawned = self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.with_context(|| format!("starting {:?}", self.command))?;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), self.input.take()) {
            // A program that does not read to the end says why itself.
            drop(pipe.write_all(&input));
        }
        let output = child.wait_with_output().context("waiting for a program")?;
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it to its end, which must have the exit code `code`; gives what it printed and complained.
    ///
    /// # Errors
    /// When it cannot start or ends otherwise.
    pub fn code(self, code: i32) -> Result<Ended> {
        let shown = format!("{:?}", self.command);
        let ended = self.run()?;
        ensure!(ended.code == code, "{shown} ended with {}: {}{}", ended.code, ended.stdout, ended.stderr.trim());
        Ok(ended)
    }

    /// Runs it to its good end; gives what it printed.
    ///
    /// # Errors
    /// When it cannot start or ends otherwise.
    pub fn ok(self) -> Result<String> {
        Ok(self.code(0)?.stdout)
    }

    /// Starts it beside the test; what it prints is gathered.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(mut self) -> Result<Running> {
        let spawned = self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = spawned.with_context(|| format!("starting {:?}", self.command))?;
        let stdout = child.stdout.take().context("no pipe from the program")?;
        let printed = Arc::new(Mutex::new(String::new()));
        let gathered = printed.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut text = gathered.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        Ok(Running { child, printed })
    }
}

/// A program that runs until this is dropped.
pub struct Running {
    child: Child,
    printed: Arc<Mutex<String>>,
}

impl Running {
    /// All that it printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Waits until it printed all of `texts`, in this order.
    ///
    /// # Errors
    /// When it does not.
    pub fn prints(&self, texts: &[&str]) -> Result<()> {
        wait::until(&format!("{texts:?} is printed"), || {
            let printed = self.printed();
            let mut rest = printed.as_str();
            for text in texts {
                let place = rest.find(text).with_context(|| format!("no {text:?} in its place in:\n{printed}"))?;
                rest = &rest[place + text.len()..];
            }
            Ok(())
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
