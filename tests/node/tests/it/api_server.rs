//! An API server alone, without node and controllers: what a test writes stays as the server answered it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cluster::free_port;
use crate::machine::Machine;
use crate::program::Line;
use crate::wait;

/// The namespace of the tests' objects.
pub const HARBOUR: &str = "harbour";

/// A `cox apiserver` on a port and in a folder of its own. Both go with it, also when the test fails.
pub struct ApiServer {
    /// Where its data, the client's cache and the tests' files lie.
    pub folder: PathBuf,
    kubectl: PathBuf,
    command: Command,
    process: Child,
}

impl ApiServer {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(machine: &Machine, name: &str) -> Result<Self> {
        let folder = machine.scratch.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).context("making a folder")?;
        let log = File::create(folder.join("log")).context("making the log")?;
        // The kernel ends it with the test's thread, should nobody else come to it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&machine.cox).args(["apiserver", "--bind-address", "127.0.0.1"]);
        command.args(["--secure-port", &free_port()?.to_string(), "--data-dir"]).arg(folder.join("data"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().context("starting cox")?;
        let mut server = Self { folder, kubectl: machine.kubectl.clone(), command, process };
        wait::until("the API answers", || server.answers())?;
        Ok(server)
    }

    /// `kill -9`, and the same server again; waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn kill_and_start(&mut self) -> Result<()> {
        self.process.kill().and_then(|()| self.process.wait()).context("killing the server")?;
        self.process = self.command.spawn().context("starting cox again")?;
        wait::until("the API answers again", || self.answers())
    }

    fn answers(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the server ended with {status}:\n{}", self.log());
        }
        self.kubectl("get --raw /readyz").ok().map(drop)
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("data/admin.kubeconfig")
    }

    /// `kubectl` with the words of `text`.
    pub fn kubectl(&self, text: &str) -> Line {
        Line::new(&self.kubectl).env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.folder).words(text)
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Killing what has ended is an error that says nothing.
        drop(self.process.kill());
        drop(self.process.wait());
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays behind: {error}", self.folder.display());
        }
    }
}
