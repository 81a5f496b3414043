//! `cargo xtask up`: from a fresh Debian machine with Rust to a cluster that runs the example application.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{self, Steps};
use crate::{images, install};

/// How long the cluster may take until its node is ready before `up` gives up.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Start a one-node cluster with the example application (root).
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the cluster keeps everything.
    #[arg(long, default_value = "/var/lib/coxswain")]
    pub data_dir: PathBuf,
    /// The port of the API server.
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// Use an unoptimised build: faster to build, slower to run.
    #[arg(long)]
    pub debug: bool,
}

/// Where the example answers on the node.
const NODE_PORT: u16 = 30080;

/// Brings the cluster up, step by step.
///
/// # Errors
/// Names the step that failed; what runs already keeps running (`cargo xtask down` removes it).
pub fn run(arguments: &Arguments) -> Result<()> {
    if !shell::is_root()? {
        bail!("`cargo xtask up` starts containers: run it as root");
    }
    let mut steps = Steps::new(8);
    steps.step("packages", |_| install::packages().map(|said| ((), said)))?;
    let tools = steps
        .step("kubectl and helm", |_| install::kubernetes_tools().map(|f| (f.clone(), f.display().to_string())))?;
    let cox = steps.step("build cox", |_| {
        let cox = build(arguments.debug)?;
        let size = std::fs::metadata(&cox)?.len() / 1_000_000;
        Ok((cox.clone(), format!("{} ({size} MB)", cox.display())))
    })?;
    let archives = steps
        .step("images of the example", |_| images::build().map(|all| (all.clone(), format!("{} images", all.len()))))?;
    let kubeconfig = arguments.data_dir.join("admin.kubeconfig");
    steps.step("start the cluster", |_| start(&cox, arguments).map(|said| ((), said)))?;
    steps.step("wait for the node", |_| wait_ready(&tools, &kubeconfig).map(|said| ((), said)))?;
    steps.step("import the images", |bar| {
        for archive in &archives {
            bar.set_message(archive.display().to_string());
            import(&arguments.data_dir, archive)?;
        }
        Ok(((), format!("{} images in the runtime", archives.len())))
    })?;
    steps.step("deploy the example", |_| deploy(&tools, &kubeconfig).map(|said| ((), said)))?;
    let address = node_address(&tools, &kubeconfig)?;
    println!("\nThe regatta is on:   http://{address}:{NODE_PORT}/");
    println!("Use the cluster:     export KUBECONFIG={} PATH={}:$PATH", kubeconfig.display(), tools.display());
    println!("                     kubectl get pods -A -o wide");
    println!("Take it down again:  cargo xtask down");
    Ok(())
}

/// Builds the binary; gives its place.
///
/// # Errors
/// When it does not build.
pub fn build(debug: bool) -> Result<PathBuf> {
    let mut cargo = shell::command("cargo");
    // Without optimisation it is the tests' binary: the whole workspace shares one set of features and one build.
    cargo.args(if debug {
        ["build", "--workspace", "--quiet"].as_slice()
    } else {
        &["build", "--release", "-p", "cox"]
    });
    shell::run(&mut cargo)?;
    Ok(shell::target().join(if debug { "debug" } else { "release" }).join("cox"))
}

/// Starts `cox server` in the background unless it answers already.
fn start(cox: &Path, arguments: &Arguments) -> Result<String> {
    if let Some(pid) = running(&arguments.data_dir) {
        return Ok(format!("already running (process {pid})"));
    }
    std::fs::create_dir_all(&arguments.data_dir).context("making the data directory")?;
    let log_path = arguments.data_dir.join("cox.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&log_path).context("opening the log")?;
    let mut server = Command::new(cox);
    server
        .args(["server", "--secure-port", &arguments.secure_port.to_string()])
        .arg("--data-dir")
        .arg(&arguments.data_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/")
        .process_group(0);
    let child = server.spawn().context("starting cox")?;
    Ok(format!("process {}, log {}", child.id(), log_path.display()))
}

/// The process of the server that runs in `data_dir`: it holds a lock on its process file.
fn running(data_dir: &Path) -> Option<String> {
    let path = data_dir.join("cox.pid");
    let file = std::fs::File::open(&path).ok()?;
    let held = matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock));
    held.then(|| std::fs::read_to_string(&path).unwrap_or_default())
}

/// Waits until the node says Ready.
fn wait_ready(tools: &Path, kubeconfig: &Path) -> Result<String> {
    let started = Instant::now();
    let mut last = String::new();
    while started.elapsed() < READY_LIMIT {
        let wait = ["wait", "--for=condition=Ready", "node", "--all", "--timeout=10s"];
        if kubeconfig.exists() {
            match shell::output(install::kubectl(tools, kubeconfig).args(wait)) {
                Ok(_) => return Ok(format!("ready after {:.1} s", started.elapsed().as_secs_f32())),
                Err(error) => last = format!("{error:#}"),
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the node is not ready after {} s: {last}", READY_LIMIT.as_secs())
}

/// Loads an image archive into the cluster's containerd.
///
/// # Errors
/// When containerd does not take it.
pub fn import(data_dir: &Path, archive: &Path) -> Result<()> {
    let socket = data_dir.join("containerd/containerd.sock");
    shell::output(
        Command::new("ctr")
            .arg("--address")
            .arg(socket)
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(archive),
    )
    .map(drop)
}

/// Applies the example and waits until it runs.
fn deploy(tools: &Path, kubeconfig: &Path) -> Result<String> {
    shell::output(install::kubectl(tools, kubeconfig).args(["apply", "-f", "examples/regatta/regatta.yaml"]))?;
    for deployment in ["redis", "api", "web"] {
        let rollout = ["-n", "regatta", "rollout", "status", "--timeout=120s"];
        shell::output(install::kubectl(tools, kubeconfig).args(rollout).arg(format!("deployment/{deployment}")))?;
    }
    Ok("redis, api and web are running".to_owned())
}

fn node_address(tools: &Path, kubeconfig: &Path) -> Result<String> {
    let path = r#"-o=jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}"#;
    shell::output(install::kubectl(tools, kubeconfig).args(["get", "nodes", path]))
}
