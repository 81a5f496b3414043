//! Members of an etcd cluster as processes of the test: Debian's `etcd`, on loopback, each with a folder of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base::{Clock, Random};
use parking_lot::Mutex;
use store::Store;
use store::etcd::{self, Options, TlsFiles};

/// A cluster. Its processes end with it, also when the test fails.
pub struct Members {
    directory: tempfile::TempDir,
    scheme: &'static str,
    members: Vec<Member>,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Mutex<Option<Child>>,
}

impl Members {
    /// Starts `count` members.
    pub fn start(count: usize) -> Self {
        let members = Self::new(count, "http");
        (0..count).for_each(|member| members.revive(member));
        members
    }

    /// Starts one member that talks TLS only, and only to those with a certificate of the authority; `ca.crt`,
    /// `server.crt` and `server.key` are in the directory that `prepare` gets.
    pub fn start_with_tls(prepare: impl FnOnce(&Path)) -> Self {
        let members = Self::new(1, "https");
        prepare(members.directory.path());
        members.revive(0);
        members
    }

    fn new(count: usize, scheme: &'static str) -> Self {
        // All are bound before the first one is let go, so that they differ.
        let bound: Vec<_> = (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = bound.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let members = ports
            .chunks(2)
            .map(|ports| Member { client_port: ports[0], peer_port: ports[1], process: Mutex::new(None) })
            .collect();
        Self { directory: tempfile::tempdir().unwrap(), scheme, members }
    }

    /// Where the members' files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The members' URLs.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("{}://127.0.0.1:{}", self.scheme, member.client_port)).collect()
    }

    /// A client of the cluster.
    pub fn open(&self) -> Arc<dyn Store> {
        self.open_with(TlsFiles::default())
    }

    /// A client with files for TLS.
    pub fn open_with(&self, tls: TlsFiles) -> Arc<dyn Store> {
        let options = Options { endpoints: self.endpoints(), tls, rename: None };
        etcd::open(&options, Clock::system(), Random::system()).unwrap()
    }

    /// Kills a member with SIGKILL.
    pub fn kill(&self, member: usize) {
        if let Some(mut process) = self.members[member].process.lock().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts a member, or starts it again with what it has on disk.
    pub fn revive(&self, member: usize) {
        let name = |member: usize| format!("member-{member}");
        let peer = |member: &Member| format!("http://127.0.0.1:{}", member.peer_port);
        let all = self.members.iter().enumerate().map(|(n, member)| format!("{}={}", name(n), peer(member)));
        let all: Vec<_> = all.collect();
        let this = &self.members[member];
        let client = format!("{}://127.0.0.1:{}", self.scheme, this.client_port);
        let folder = self.directory.path();
        let log = std::fs::File::create(folder.join(format!("{}.log", name(member)))).unwrap();
        // The kernel ends the member with the test's thread, should nobody else come to it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "etcd", "--logger", "zap", "--log-level", "warn"]);
        command.arg("--name").arg(name(member)).arg("--data-dir").arg(folder.join(name(member)));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer(this), "--initial-advertise-peer-urls", &peer(this)]);
        command.args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"]);
        if self.scheme == "https" {
            let file = |name| folder.join(name);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(file("ca.crt"));
            command.arg("--cert-file").arg(file("server.crt")).arg("--key-file").arg(file("server.key"));
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        *this.process.lock() = Some(process.expect("etcd is installed: Debian's package etcd-server"));
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            if let Some(mut process) = self.members[member].process.lock().take() {
                // Killing what is dead is an error that says nothing.
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}
