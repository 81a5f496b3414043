//! A cox that this run started, and what `/proc` says of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A cox that was asked to end has so long before it is killed.
const END_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// `/proc/PID/stat` counts in this many ticks a second, on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// A cox in a data directory of its own. Dropping it ends it and removes what it made.
pub struct Cox {
    child: Child,
    program: PathBuf,
    data_dir: PathBuf,
    has_node: bool,
}

impl Cox {
    /// Starts `cox COMMAND` in an empty data directory; it logs beside it.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(program: &Path, data_dir: &Path, command: &[&str]) -> Result<Self> {
        if data_dir.exists() {
            bail!("{} exists: remove it, or `cox reset --data-dir` it, first", data_dir.display());
        }
        let log_path = data_dir.with_extension("log");
        std::fs::create_dir_all(data_dir.parent().unwrap_or(data_dir)).context("making the folder")?;
        let log = File::create(&log_path).with_context(|| format!("writing {}", log_path.display()))?;
        let child = Command::new(program)
            .args(command)
            .arg("--data-dir")
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let has_node = command.first() == Some(&"server");
        Ok(Self { child, program: program.to_owned(), data_dir: data_dir.to_owned(), has_node })
    }

    /// The admin's kubeconfig, written when the API server is about ready.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// The process's time on the CPUs so far, to 10 ms.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).context("cox has ended")?;
        let ticks = cpu_ticks(&text).context("/proc/PID/stat reads unexpectedly")?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// The process's proportional share of memory in kB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pss_kb(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).context("cox has ended")?;
        pss_kb(&text).context("/proc/PID/smaps_rollup reads unexpectedly")
    }

    fn end(&mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("a process number")?);
        let begun = Instant::now();
        kill(pid, Signal::SIGTERM).context("ending cox")?;
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > END_LIMIT {
                self.child.kill().context("killing cox")?;
                self.child.wait()?;
                break;
            }
            std::thread::sleep(LOOK);
        }
        if self.has_node {
            let reset = Command::new(&self.program).arg("reset").arg("--data-dir").arg(&self.data_dir).output()?;
            if !reset.status.success() {
                bail!("cox reset: {}", String::from_utf8_lossy(&reset.stderr).trim());
            }
        } else {
            std::fs::remove_dir_all(&self.data_dir).context("removing the data directory")?;
        }
        Ok(())
    }
}

impl Drop for Cox {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("bench: {} is left behind: {error:#}", self.data_dir.display());
        }
    }
}

/// User and system time in `/proc/PID/stat` (proc(5)); the program's name before them may hold blanks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn pss_kb(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 99 0 0 0 12 30 0 0 20 0 1 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (cox"), None);
        assert_eq!(pss_kb("5581 ---p 00:00 [rollup]\nRss: 10 kB\nPss:      1234 kB\nPss_Dirty: 7 kB\n"), Some(1234));
    }
}
