//! What a test run must not leave behind: processes, mounts, nft tables, links, cgroups, network namespaces.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// What is on the machine now that tests could leave behind, a line a thing.
///
/// # Errors
/// When the machine cannot be asked.
pub fn snapshot() -> Result<BTreeSet<String>> {
    let mut things = BTreeSet::new();
    let mut add =
        |kind: &str, lines: Vec<String>| things.extend(lines.into_iter().map(|line| format!("{kind} {line}")));
    add("process", processes()?);
    add("mount", mounts()?);
    add("link", links());
    add("table", lines(&tolerant(Command::new("nft").args(["list", "tables"]))));
    add("namespace", lines(&tolerant(Command::new("ip").args(["netns", "list"]))));
    add("cgroup", cgroups());
    Ok(things)
}

/// Compares with what was there before.
///
/// # Errors
/// One line per thing that is new.
pub fn check(before: &BTreeSet<String>) -> Result<()> {
    let after = snapshot()?;
    let left: Vec<&str> = after.difference(before).map(String::as_str).collect();
    if !left.is_empty() {
        bail!("the tests left behind:\n{}", left.join("\n"));
    }
    Ok(())
}

/// Processes of the cluster's programs, by name and arguments (numbers differ from run to run).
fn processes() -> Result<Vec<String>> {
    const OURS: &[&str] =
        &["cox", "containerd", "containerd-shim", "pause", "redis-server", "nginx", "regatta-api", "etcd"];
    let all = shell::output(Command::new("ps").args(["-eo", "comm=,args="]))?;
    Ok(all
        .lines()
        .filter(|line| line.split_whitespace().next().is_some_and(|name| OURS.iter().any(|o| name.starts_with(o))))
        .map(str::to_owned)
        .collect())
}

fn mounts() -> Result<Vec<String>> {
    let all = std::fs::read_to_string("/proc/self/mounts")?;
    Ok(all.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect())
}

fn links() -> Vec<String> {
    let all = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    all.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The cgroups two levels deep: pods' stand below `kubepods`, the runtime's below their own.
fn cgroups() -> Vec<String> {
    let tolerated = tolerant(Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "3", "-type", "d"]));
    lines(&tolerated).into_iter().filter(|l| l.contains("kubepods") || l.contains("cox")).collect()
}

/// What a program prints; nothing where it is missing or has nothing to say.
fn tolerant(command: &mut Command) -> String {
    shell::output(command).unwrap_or_default()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
