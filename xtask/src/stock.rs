//! `cargo xtask stock`: a stock kube-apiserver beside ours in front of one etcd.
//!
//! No distribution has a server of our version as a package. Debian has the source of 1.20 with everything that it is built
//! from; it is fetched and built once (a few minutes, 2 GB while it lasts), then the scenario
//! `crates/cox/tests/it/stock.rs` runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{install, shell};

/// The source, beside the Debian package of kubectl.
const SOURCE: &str = "kubernetes_1.20.5+really1.20.2.orig.tar.gz";
const SOURCE_SHA256: &str = "b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc";
const VERSION: &str = "v1.20.2";

/// What the build needs besides, each with a file that shows it is there.
const PACKAGES: [(&str, &str); 3] =
    [("golang-go", "/usr/bin/go"), ("make", "/usr/bin/make"), ("rsync", "/usr/bin/rsync")];

/// Run a stock kube-apiserver beside ours on one etcd (root, if packages are missing).
#[derive(clap::Args)]
pub struct Arguments {
    /// A kube-apiserver to take instead of building one.
    #[arg(long, value_name = "FILE")]
    kube_apiserver: Option<PathBuf>,
}

/// Builds the server unless there is one, and runs the scenario.
///
/// # Errors
/// What failed.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut steps = shell::Steps::new(2);
    steps.step("packages", |_| Ok(((), install::packages()?)))?;
    let server = match &arguments.kube_apiserver {
        Some(server) => server.clone(),
        None => steps.step("kube-apiserver", |bar| {
            bar.set_message(format!("{VERSION}, from Debian's source"));
            let (server, said) = built()?;
            Ok((server, said.to_owned()))
        })?,
    };
    let test = ["test", "-p", "cox", "--test", "it", "--", "--ignored", "--exact", "stock::beside_a_stock_server"];
    shell::run(shell::command("cargo").args(test).env("KUBE_APISERVER", server))
}

fn built() -> Result<(PathBuf, &'static str)> {
    let server = shell::target().join("tools/kube-apiserver");
    if server.exists() {
        return Ok((server, "built before"));
    }
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        if !shell::is_root()? {
            bail!("packages are missing and only root can install them: apt-get install {}", missing.join(" "));
        }
        shell::output(install::apt().args(["install", "-y", "--no-install-recommends"]).args(&missing))?;
    }
    let work = shell::target().join("stock.part");
    drop(std::fs::remove_dir_all(&work));
    std::fs::create_dir_all(&work).context("making the folder of the build")?;
    fetch(&work)?;
    build(&work)?;
    std::fs::create_dir_all(shell::target().join("tools")).context("making the tools folder")?;
    let made = work.join("kubernetes/_output/local/bin/linux/amd64/kube-apiserver");
    std::fs::copy(&made, &server).with_context(|| format!("keeping {}", made.display()))?;
    drop(std::fs::remove_dir_all(&work));
    Ok((server, "built"))
}

/// The source is where the package lies that Debian builds of it.
fn fetch(work: &Path) -> Result<()> {
    let told = shell::output(install::apt().args(["download", "--print-uris", "kubernetes-client"]))?;
    let package = told.split('\'').nth(1).context("apt knows no package kubernetes-client")?;
    let (folder, _) = package.rsplit_once('/').context("the package has no folder")?;
    let source = format!("{folder}/{}", SOURCE.replace('+', "%2b"));
    shell::output(Command::new("curl").args(["-fsSL", "-o", SOURCE, &source]).current_dir(work))?;
    let check = format!("echo '{SOURCE_SHA256}  {SOURCE}' | sha256sum --check --quiet");
    shell::output(Command::new("sh").args(["-c", &check]).current_dir(work))?;
    let unpack = format!("mkdir kubernetes && tar xzf '{SOURCE}' -C kubernetes --strip-components 1 && rm '{SOURCE}'");
    shell::output(Command::new("sh").args(["-c", &unpack]).current_dir(work)).map(drop)
}

fn build(work: &Path) -> Result<()> {
    let source = work.join("kubernetes");
    let path = source.join(".go");
    // Its code generators want to find it where Go looked for sources before there were modules.
    std::fs::create_dir_all(path.join("src/k8s.io")).context("making Go's folder")?;
    std::os::unix::fs::symlink("../../..", path.join("src/k8s.io/kubernetes")).context("making Go's folder")?;
    let mut make = Command::new("make");
    make.arg("WHAT=cmd/kube-apiserver").current_dir(&source).env("GOPATH", &path).env("CGO_ENABLED", "0");
    make.env("HOME", work).env("GOCACHE", work.join("cache")).env("KUBE_GIT_VERSION", VERSION);
    make.env("KUBE_GIT_COMMIT", "unknown").env("KUBE_GIT_TREE_STATE", "archive");
    make.env("KUBE_GIT_MAJOR", "1").env("KUBE_GIT_MINOR", "20");
    shell::output(&mut make).map(drop)
}
