//! What `cox` says when it cannot run: one clear sentence and exit code 1, at once.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::machine::Machine;
use crate::program::Line;

/// A data directory that goes away again.
struct Folder(PathBuf);

impl Folder {
    fn new(machine: &Machine, name: &str) -> Result<Self> {
        let path = machine.scratch.join(format!("refusal-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).context("making a folder")?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

/// `cox server` in `folder`, run by `shell` after it has taken something away; in a mount namespace of its own.
fn deprived(machine: &Machine, folder: &Path, shell: &str) -> Line {
    let script = format!(r#"{shell} "$0" server --secure-port 0 --data-dir "$1""#);
    Line::new("unshare").words("--mount sh -ec").arg(script).arg(&machine.cox).arg(folder)
}

fn refuses(line: Line, sentence: &str) -> Result<()> {
    let ended = line.code(1)?;
    let said: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("cox: ")).collect();
    ensure!(said.len() == 1 && said[0].contains(sentence), "it said: {}{}", ended.stdout, ended.stderr);
    Ok(())
}

fn machine() -> Machine {
    Machine::from_environment().unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn a_port_in_use() -> Result<()> {
    let machine = machine();
    let folder = Folder::new(&machine, "port")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let line = Line::new(&machine.cox).words("server --bind-address 127.0.0.1 --secure-port").arg(&port);
    refuses(line.arg("--data-dir").arg(&folder.0), &format!("127.0.0.1:{port}"))
}

#[test]
fn no_root() -> Result<()> {
    let machine = machine();
    let folder = Folder::new(&machine, "root")?;
    // The binary and the folder may lie where another user cannot go, so root is given up without a change of user.
    let line = Line::new("unshare").words("--user").arg(&machine.cox).words("server --data-dir").arg(&folder.0);
    refuses(line, "takes root")
}

#[test]
fn no_nft() -> Result<()> {
    let machine = machine();
    let folder = Folder::new(&machine, "nft")?;
    refuses(deprived(&machine, &folder.0, "mount -t tmpfs none /usr/sbin; exec"), "nft is missing")
}

#[test]
fn no_cgroups() -> Result<()> {
    let machine = machine();
    let folder = Folder::new(&machine, "cgroups")?;
    refuses(deprived(&machine, &folder.0, "mount -t tmpfs none /sys/fs/cgroup; exec"), "no cgroups")
}

#[test]
fn no_containerd() -> Result<()> {
    let machine = machine();
    let folder = Folder::new(&machine, "containerd")?;
    refuses(deprived(&machine, &folder.0, r#"PATH="$1" exec"#), "containerd was not found")
}

#[test]
fn a_flag_that_upstream_has_and_cox_does_not() -> Result<()> {
    let machine = machine();
    let line = Line::new(&machine.cox).words("apiserver --goaway-chance 0.1");
    refuses(line, "unknown flag: --goaway-chance")
}
