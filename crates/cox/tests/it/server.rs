//! An API server as a process of the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::Clock;
use client::Client;

/// A server must be ready by then; it waits for etcd meanwhile.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How often is looked whether it is.
const LOOK: Duration = Duration::from_millis(20);

/// A `cox apiserver`. It ends with this, also when the test fails.
pub struct Server {
    process: Child,
    data_dir: PathBuf,
    log: PathBuf,
    flags: Vec<String>,
}

impl Server {
    /// Starts one with more flags, with its files and its log below `folder`.
    pub fn start(folder: &Path, name: &str, flags: &[String]) -> Self {
        let (data_dir, log) = (folder.join(name), folder.join(format!("{name}.log")));
        let process = launch(&data_dir, &log, flags);
        Self { process, data_dir, log, flags: flags.to_vec() }
    }

    /// `kill -9`, and the same server again.
    pub fn kill_and_start(&mut self) {
        self.kill();
        self.process = launch(&self.data_dir, &self.log, &self.flags);
    }

    /// `kill -9`, and the same server again after what happens `meanwhile`.
    pub async fn kill_and_start_after(&mut self, meanwhile: impl Future<Output = ()>) {
        self.kill();
        meanwhile.await;
        self.process = launch(&self.data_dir, &self.log, &self.flags);
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The admin's kubeconfig, once the server has written it.
    pub async fn kubeconfig(&mut self, clock: &Clock) -> PathBuf {
        let kubeconfig = self.data_dir.join("admin.kubeconfig");
        let written = async {
            while !kubeconfig.exists() {
                let ended = self.process.try_wait().unwrap();
                assert_eq!(ended, None, "the server ended: {}", std::fs::read_to_string(&self.log).unwrap());
                clock.sleep(LOOK).await;
            }
        };
        clock.timeout(READY_LIMIT, written).await.expect("the server starts in time");
        kubeconfig
    }

    /// A client with the admin's rights, once the server is ready.
    pub async fn client(&mut self, clock: &Clock) -> Client {
        let kubeconfig = self.kubeconfig(clock).await;
        Client::from_kubeconfig(&kubeconfig).await.unwrap()
    }

    /// Asks the server to end, and waits until it did. Meanwhile its clients can let go of it.
    pub async fn stop(&mut self, clock: &Clock) {
        let process = i32::try_from(self.process.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGTERM).unwrap();
        let ended = async {
            while self.process.try_wait().unwrap().is_none() {
                clock.sleep(LOOK).await;
            }
        };
        clock.timeout(READY_LIMIT, ended).await.expect("the server ends in time");
    }

    /// Gives another server, which is not started yet, the same authority and keys.
    pub fn share_keys(&self, folder: &Path, name: &str) {
        let (from, to) = (self.data_dir.join("pki"), folder.join(name).join("pki"));
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killing what is dead is an error that says nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(data_dir: &Path, log: &Path, flags: &[String]) -> Child {
    let output = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    Command::new("setpriv")
        // The kernel ends it with the test's thread, should nobody else come to it.
        .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_cox"), "apiserver", "--bind-address", "127.0.0.1"])
        .arg("--data-dir")
        .arg(data_dir)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}
