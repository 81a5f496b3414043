//! Our own containerd: found on the machine, configured to fit it, supervised as a child in our data directory.
//!
//! Invariant: containerd and its containers outlive us. It runs in a session of its own, writes to its own log file
//! and is adopted by its pid file when we start again; only [`stop`] ends it.

mod config;
mod orphans;
mod process;
mod teardown;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{CancellationToken, Clock};

pub use self::config::Settings;
use self::process::Running;
pub use self::teardown::stop;
use crate::pause;
use crate::runtime::Runtime;

/// How long containerd may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a socket that is not there yet.
const START_STEP: Duration = Duration::from_millis(20);
/// Before containerd is started again after it died.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// The kernel's limit for a socket's path, less the ending that containerd adds for its second socket.
const SOCKET_PATH_LIMIT: usize = 100;

/// Why there is no containerd.
#[derive(Debug, thiserror::Error)]
pub enum ContainerdError {
    /// It is not installed.
    #[error(
        "containerd was not found in $PATH: install containerd and runc, or name a runtime with --container-runtime-endpoint"
    )]
    NotFound,
    /// The data directory lies too deep.
    #[error(
        "the path {0} is too long for a socket ({SOCKET_PATH_LIMIT} bytes at most): choose a shorter data directory"
    )]
    PathTooLong(PathBuf),
    /// No pause program for this processor.
    #[error("there is no built-in pause image for {0} processors")]
    Machine(&'static str),
    /// A file, directory or process could not be had.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
    /// It does not come up.
    #[error("containerd did not answer within {START_LIMIT:?}; its log {log} ends with: {tail}")]
    Silent {
        /// Its log file.
        log: PathBuf,
        /// The last line of it.
        tail: String,
    },
    /// The pause image could not be imported.
    #[error("importing the pause image into containerd: {0}")]
    Import(String),
}

/// The files of one containerd.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// containerd's directory inside the data directory.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("containerd") }
    }

    /// The gRPC socket: what the kubelet's runtime endpoint is.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("containerd.log")
    }

    fn pid(&self) -> PathBuf {
        self.dir.join("containerd.pid")
    }

    fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
}

/// Brings containerd up, or adopts the one that runs, and gives the runtime; then [`Supervisor::run`] keeps it up.
///
/// # Errors
/// When containerd is missing or does not come up.
pub async fn start(
    data_dir: &Path,
    settings: &Settings,
    clock: &Clock,
) -> Result<(Runtime, Supervisor), ContainerdError> {
    let layout = Layout::new(data_dir);
    if layout.socket().as_os_str().len() > SOCKET_PATH_LIMIT {
        return Err(ContainerdError::PathTooLong(layout.socket()));
    }
    let machine = pause::Machine::here().ok_or(ContainerdError::Machine(std::env::consts::ARCH))?;
    let program = program()?;
    std::fs::create_dir_all(&layout.dir).map_err(io("making containerd's directory"))?;
    let text = config::text(&layout, settings);
    let unchanged = std::fs::read_to_string(layout.config()).is_ok_and(|old| old == text);
    let adopted = process::adopt(&layout, &program);
    if let (Some(running), false) = (&adopted, unchanged) {
        running.terminate().await;
    }
    std::fs::write(layout.config(), text).map_err(io("writing containerd's configuration"))?;
    let running = match adopted.filter(|_| unchanged) {
        Some(running) => running,
        None => process::spawn(&layout, &program)?,
    };
    let runtime = Runtime::new(&layout.socket().to_string_lossy()).expect("an absolute path is an endpoint");
    let supervisor = Supervisor { layout, program, running, clock: clock.clone() };
    supervisor.wait_until_it_answers(&runtime).await?;
    supervisor.import_pause(&runtime, machine).await?;
    Ok((runtime, supervisor))
}

/// Where the machine has containerd.
///
/// # Errors
/// When it has none.
pub fn program() -> Result<PathBuf, ContainerdError> {
    process::find("containerd").ok_or(ContainerdError::NotFound)
}

/// Keeps containerd running.
#[derive(Debug)]
pub struct Supervisor {
    layout: Layout,
    program: PathBuf,
    running: Running,
    clock: Clock,
}

impl Supervisor {
    /// Starts containerd again whenever it ends, until cancelled; then leaves it running.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.running.ended() => tracing::warn!("containerd ended; starting it again"),
            }
            self.restart(&cancel).await;
        }
    }

    async fn restart(&mut self, cancel: &CancellationToken) {
        while !cancel.is_cancelled() {
            self.clock.sleep(RESTART_DELAY).await;
            match process::spawn(&self.layout, &self.program) {
                Ok(running) => return self.running = running,
                Err(error) => tracing::error!(%error, "cannot start containerd"),
            }
        }
    }

    async fn wait_until_it_answers(&self, runtime: &Runtime) -> Result<(), ContainerdError> {
        let deadline = self.clock.instant() + START_LIMIT;
        while self.clock.instant() < deadline && self.running.is_alive() {
            if self.layout.socket().exists() && runtime.version().await.is_ok() {
                return Ok(());
            }
            self.clock.sleep(START_STEP).await;
        }
        let log = self.layout.log();
        let tail = std::fs::read_to_string(&log).ok().and_then(|text| text.lines().last().map(str::to_owned));
        Err(ContainerdError::Silent { log, tail: tail.unwrap_or_default() })
    }

    async fn import_pause(&self, runtime: &Runtime, machine: pause::Machine) -> Result<(), ContainerdError> {
        if matches!(runtime.image_status(pause::IMAGE).await, Ok(Some(_))) {
            return Ok(());
        }
        import(&self.layout.socket(), &pause::image(machine)).await
    }
}

/// Imports an image archive into the containerd at `socket`, for Kubernetes' use.
///
/// # Errors
/// When `ctr`, which ships with containerd, is missing or refuses.
pub async fn import(socket: &Path, archive: &[u8]) -> Result<(), ContainerdError> {
    use tokio::io::AsyncWriteExt as _;

    let ctr = process::find("ctr").ok_or(ContainerdError::NotFound)?;
    let mut command = tokio::process::Command::new(ctr);
    command.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images", "import", "--no-unpack", "-"]);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(io("running ctr"))?;
    if let Some(mut input) = child.stdin.take() {
        // A refusal closes the pipe early; the exit status below tells.
        let _closed_early = input.write_all(archive).await;
    }
    let output = child.wait_with_output().await.map_err(io("waiting for ctr"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ContainerdError::Import(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ContainerdError {
    let doing = doing.into();
    move |source| ContainerdError::Io { doing, source }
}
