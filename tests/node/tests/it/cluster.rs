//! A cluster of the test's own: started, killed, started again, removed, also when the test panics.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;
use crate::program::Line;
use crate::wait;

/// How many lines of the server's log a failure shows.
const LOG_LINES: usize = 40;

/// A running cluster in a data directory of its own.
pub struct Cluster {
    /// What it was made from.
    pub machine: Machine,
    data_dir: PathBuf,
    port: u16,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    /// Removes what an aborted run left, then starts a cluster and waits until its node is ready and has the images.
    ///
    /// # Errors
    /// What did not happen.
    pub fn start(machine: Machine) -> Result<Self> {
        remove_leftovers(&machine)?;
        let data_dir = machine.scratch.join(format!("node-{}", std::process::id()));
        let cluster = Self { data_dir, port: free_port()?, machine, server: Mutex::new(None) };
        std::fs::create_dir_all(cluster.home()).context("making the data directory")?;
        cluster.launch()?;
        wait::until("the node is ready", || cluster.node_ready())
            .with_context(|| format!("the server's last words:\n{}", cluster.log()))?;
        for archive in &cluster.machine.images {
            cluster.ctr("images import").arg(archive).ok()?;
        }
        Ok(cluster)
    }

    /// Starts the server (again) and waits until the API answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn launch(&self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).context("opening the log")?;
        let mut server = Command::new(&self.machine.cox);
        server.args(["server", "--secure-port", &self.port.to_string(), "--data-dir"]).arg(&self.data_dir);
        let child = server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("starting cox")?;
        *self.server.lock().unwrap() = Some(child);
        wait::until("the API answers", || self.kubectl("get --raw /readyz").ok().map(drop))
            .with_context(|| format!("the server's last words:\n{}", self.log()))
    }

    /// `kill -9` of the server.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> Result<()> {
        let mut child = self.server.lock().unwrap().take().context("the server does not run")?;
        child.kill().context("killing the server")?;
        child.wait().context("waiting for the killed server").map(drop)
    }

    fn node_ready(&self) -> Result<()> {
        self.kubectl("wait --for=condition=Ready node --all --timeout=1s").ok().map(drop)
    }

    /// `ctr` on the cluster's containerd.
    pub fn ctr(&self, words: &str) -> Line {
        let socket = self.data_dir.join("containerd/containerd.sock");
        Line::new("ctr").arg("--address").arg(socket).words("--namespace k8s.io").words(words)
    }

    /// The process of the cluster's containerd.
    ///
    /// # Errors
    /// When there is none.
    pub fn containerd_process(&self) -> Result<String> {
        let pid = std::fs::read_to_string(self.data_dir.join("containerd/containerd.pid")).context("no containerd")?;
        Ok(pid.trim().to_owned())
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// Where kubectl keeps its cache.
    pub fn home(&self) -> PathBuf {
        self.data_dir.join("home")
    }

    /// The address of the node.
    ///
    /// # Errors
    /// When it has none.
    pub fn node_address(&self) -> Result<String> {
        self.kubectl("get nodes")
            .arg(r#"-o=jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}"#)
            .ok()
    }

    /// What helps to see why a step failed.
    pub fn state(&self) -> String {
        let ask = |words| self.kubectl(words).run().map(|ended| ended.stdout + &ended.stderr).unwrap_or_default();
        let (pods, events) = (ask("get pods -A -o wide"), ask("get events -A --sort-by=.lastTimestamp"));
        let skip = events.lines().count().saturating_sub(LOG_LINES);
        let events: Vec<&str> = events.lines().skip(skip).collect();
        format!("pods:\n{pods}\nevents:\n{}\n\nlog:\n{}", events.join("\n"), self.log())
    }

    fn log_path(&self) -> PathBuf {
        self.data_dir.join("cox.log")
    }

    /// The last lines of the server's log.
    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let skip = text.lines().count().saturating_sub(LOG_LINES);
        text.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    /// Removes the cluster; nothing may stay behind.
    ///
    /// # Errors
    /// What `cox reset` says.
    pub fn remove(&self) -> Result<()> {
        reset(&self.machine, &self.data_dir)?;
        if let Some(mut server) = self.server.lock().unwrap().take() {
            let ended = server.try_wait().context("asking for the server's end")?;
            if ended.is_none() {
                server.kill().and_then(|()| server.wait()).context("killing the server")?;
            }
            ensure!(ended.is_some(), "`cox reset` ended well and the server still ran");
        }
        ensure!(!self.data_dir.exists(), "the data directory {} is still there", self.data_dir.display());
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.data_dir.exists()
            && let Err(error) = self.remove()
        {
            eprintln!("the cluster is not removed: {error:#}");
        }
    }
}

/// A test run that was killed could not remove its cluster.
fn remove_leftovers(machine: &Machine) -> Result<()> {
    for entry in std::fs::read_dir(&machine.scratch).context("listing the scratch folder")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("node-") {
            reset(machine, &path)?;
        }
    }
    Ok(())
}

fn reset(machine: &Machine, data_dir: &Path) -> Result<()> {
    let line = Line::new(&machine.cox).words("reset --data-dir").arg(data_dir);
    line.ok().with_context(|| format!("removing the cluster in {}", data_dir.display())).map(drop)
}

/// A port that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}
