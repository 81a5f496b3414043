//! A node for tests: its own containerd, CNI network, cgroup and directories, all gone when the test ends.

use std::path::PathBuf;
use std::sync::Arc;

use base::{CancellationToken, Clock, Random};
use kubelet::image::archive::{self, Content, Entry, Launch};
use kubelet::runtime::Runtime;
use kubelet::{KubeletOptions, RuntimeChoice, containerd};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::api::Api;
use crate::authority::Authority;

/// The test image: busybox, statically linked, with all its commands.
pub const IMAGE: &str = "example.com/busybox:1";
pub const NODE: &str = "test-node";

/// One machine at a time: they share the bridge's name and this host's processors.
static LOCK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub struct Machine {
    pub api: Api,
    pub dir: Arc<tempfile::TempDir>,
    authority: Authority,
    cgroup: String,
    bridge: String,
    kubelet: Option<(CancellationToken, JoinHandle<()>)>,
    _lock: tokio::sync::MutexGuard<'static, ()>,
}

impl Machine {
    /// A machine with a running kubelet and the test image; `None`, with a word on why, where the parts are missing.
    pub async fn start() -> Self {
        let lock = LOCK.lock().await;
        let dir = tempfile::Builder::new().prefix("cox").tempdir_in("/tmp").unwrap();
        let suffix = Random::system().suffix(5);
        let mut machine = Self {
            api: Api::new(),
            dir: Arc::new(dir),
            authority: Authority::new(),
            cgroup: format!("/cox-test-{suffix}"),
            bridge: format!("coxt{suffix}"),
            kubelet: None,
            _lock: lock,
        };
        machine.write_network();
        machine.start_kubelet().await;
        machine.import_busybox().await;
        machine
    }

    pub async fn start_kubelet(&mut self) {
        let cancel = CancellationToken::new();
        let options = self.options();
        let work = kubelet::run(self.api.client(), options, Clock::system(), Random::system(), cancel.clone());
        let task = base::spawn("kubelet", async move { work.await.unwrap() });
        self.kubelet = Some((cancel, task));
        let path = format!("/api/v1/nodes/{NODE}");
        self.api
            .until(&path, "a ready node", |node| {
                let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
            })
            .await;
    }

    /// Stops the kubelet; containerd and the containers go on.
    pub async fn stop_kubelet(&mut self) {
        if let Some((cancel, task)) = self.kubelet.take() {
            cancel.cancel();
            task.await.unwrap();
        }
    }

    /// `kill -9` of containerd; the kubelet, which would start it again, must be stopped.
    pub fn kill_containerd(&self) {
        let pid = std::fs::read_to_string(self.dir.path().join("containerd/containerd.pid")).unwrap();
        let pid = nix::unistd::Pid::from_raw(pid.trim().parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    /// Stops everything and takes it away.
    pub async fn clean_up(mut self) {
        self.stop_kubelet().await;
        containerd::stop(self.dir.path()).await;
        kubelet::cgroups::Cgroups::detect(&self.cgroup).unwrap().remove_all();
        self.unmount_and_unlink();
    }

    pub fn runtime(&self) -> Runtime {
        let socket = containerd::Layout::new(self.dir.path()).socket();
        Runtime::new(&socket.to_string_lossy()).unwrap()
    }

    /// A connection to the kubelet's server, with the certificate of an administrator or none.
    pub async fn connect(&self, trusted: bool) -> TlsStream<TcpStream> {
        let node = self.api.get(&format!("/api/v1/nodes/{NODE}")).unwrap();
        let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap();
        let stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).await.unwrap();
        let connector = TlsConnector::from(Arc::new(self.authority.client(trusted)));
        connector.connect(ServerName::try_from("node").unwrap(), stream).await.unwrap()
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("kubelet")
    }

    fn options(&self) -> KubeletOptions {
        KubeletOptions {
            node_name: NODE.to_owned(),
            node_ips: vec!["127.0.0.1".parse().unwrap()],
            root_dir: self.root(),
            logs_dir: self.dir.path().join("log"),
            runtime: RuntimeChoice::Containerd {
                data_dir: self.dir.path().to_owned(),
                cni_bin_dir: "/usr/lib/cni".into(),
                cni_conf_dir: self.dir.path().join("cni"),
            },
            cluster_dns: vec!["10.96.0.10".to_owned()],
            cgroup_root: self.cgroup.clone(),
            bind: ([127, 0, 0, 1], 0).into(),
            client_ca: Some(self.authority.pem.clone()),
            ..KubeletOptions::default()
        }
    }

    fn write_network(&self) {
        let dir = self.dir.path().join("cni");
        std::fs::create_dir_all(&dir).unwrap();
        let data = self.dir.path().join("ipam");
        let network = json!({"cniVersion": "0.4.0", "name": "test", "plugins": [
            {"type": "bridge", "bridge": self.bridge, "isGateway": true, "ipMasq": false,
             "ipam": {"type": "host-local", "dataDir": data, "ranges": [[{"subnet": "10.213.47.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "loopback"}]});
        std::fs::write(dir.join("10-test.conflist"), network.to_string()).unwrap();
    }

    async fn import_busybox(&self) {
        let runtime = self.runtime();
        let archive = busybox();
        containerd::import(runtime.socket(), &archive).await.unwrap();
        // containerd's CRI part hears of an imported image a moment later.
        let clock = Clock::system();
        for _ in 0..500 {
            if runtime.image_status(IMAGE).await.unwrap().is_some() {
                return;
            }
            clock.sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the test image was imported but CRI does not know it");
    }

    fn unmount_and_unlink(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        for point in points.iter().rev().filter(|point| std::path::Path::new(point).starts_with(self.dir.path())) {
            let _busy = nix::mount::umount2(*point, nix::mount::MntFlags::MNT_DETACH);
        }
        let _absent = std::process::Command::new("ip").args(["link", "delete", &self.bridge]).output();
    }
}

impl Drop for Machine {
    /// After a failed test: what can be done without waiting.
    fn drop(&mut self) {
        if let Some((cancel, _)) = self.kubelet.take() {
            cancel.cancel();
            let dir = self.dir.clone();
            let cleaner = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(containerd::stop(dir.path()));
            });
            let _panicked = cleaner.join();
            if let Ok(cgroups) = kubelet::cgroups::Cgroups::detect(&self.cgroup) {
                cgroups.remove_all();
            }
            self.unmount_and_unlink();
        }
    }
}

fn busybox() -> Vec<u8> {
    let program = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut entries = vec![Entry { path: "bin/".into(), mode: 0o755, content: Content::Directory }];
    entries.push(Entry { path: "tmp/".into(), mode: 0o1777, content: Content::Directory });
    entries.push(Entry { path: "bin/busybox".into(), mode: 0o755, content: Content::File(program) });
    for name in [
        "sh", "sleep", "cat", "echo", "ls", "httpd", "env", "wget", "id", "stat", "nc", "grep", "kill", "hostname",
        "head", "seq", "test", "true", "false", "touch", "mkdir",
    ] {
        let content = Content::Link("busybox".into());
        entries.push(Entry { path: format!("bin/{name}"), mode: 0o777, content });
    }
    let launch = Launch { command: vec!["/bin/sh".into()], environment: vec!["PATH=/bin".into()], ..Launch::default() };
    archive::write(IMAGE, kubelet_architecture(), &launch, &entries)
}

fn kubelet_architecture() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }
}
