//! A containerd process: started by us, or found running from before.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;

use super::{ContainerdError, Layout, io};

/// A live process, by a file descriptor that no later process of the same number can take over.
#[derive(Debug)]
pub(super) struct Running {
    handle: AsyncFd<OwnedFd>,
    child: Option<std::process::Child>,
}

impl Running {
    /// Waits until the process is gone.
    pub(super) async fn ended(&mut self) {
        // The descriptor of a process becomes readable when it ends.
        let _ready = self.handle.readable().await;
        if let Some(child) = &mut self.child {
            let _reaped = child.wait();
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(self.handle.get_ref(), PollFlags::IN)];
        matches!(rustix::event::poll(&mut ended, Some(&Timespec::default())), Ok(0))
    }

    /// Asks it to end and waits until it has.
    pub(super) async fn terminate(&self) {
        if rustix::process::pidfd_send_signal(self.handle.get_ref(), Signal::TERM).is_ok() {
            let _ready = self.handle.readable().await;
        }
    }
}

/// The first program called `name` on the path.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The containerd of an earlier run, if it still runs: its command line names our configuration.
pub(super) fn adopt(layout: &Layout, program: &Path) -> Option<Running> {
    let pid: i32 = std::fs::read_to_string(layout.pid()).ok()?.trim().parse().ok()?;
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = arguments(layout, program).iter().all(|argument| {
        let argument = argument.as_bytes();
        command_line.split(|byte| *byte == 0).any(|part| part == argument)
    });
    if !ours {
        return None;
    }
    open(Pid::from_raw(pid)?, None).ok()
}

fn arguments(layout: &Layout, program: &Path) -> [String; 3] {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    [text(program), "--config".into(), text(&layout.config())]
}

/// Starts containerd in a session of its own, so that no signal meant for us reaches it.
pub(super) fn spawn(layout: &Layout, program: &Path) -> Result<Running, ContainerdError> {
    let log = std::fs::File::options().create(true).append(true).open(layout.log());
    let log = log.map_err(io("opening containerd's log"))?;
    let errors = log.try_clone().map_err(io("opening containerd's log"))?;
    // A socket left by a killed containerd would look alive.
    let _absent = std::fs::remove_file(layout.socket());
    let [program, flag, config] = arguments(layout, program);
    let mut command = Command::new(program);
    command.args([flag, config]).stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
    let child = command.spawn().map_err(io("starting containerd"))?;
    let pid = child.id();
    std::fs::write(layout.pid(), format!("{pid}\n")).map_err(io("writing containerd's pid file"))?;
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid fits 31 bits")).expect("a child's pid is positive");
    open(pid, Some(child)).map_err(io("watching containerd"))
}

fn open(pid: Pid, child: Option<std::process::Child>) -> std::io::Result<Running> {
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    #[allow(
        deprecated,
        reason = "its successor is unsafe; an OwnedFd stays open as long as the AsyncFd, which is what it asks"
    )]
    let handle = AsyncFd::with_interest(handle, tokio::io::Interest::READABLE)?;
    Ok(Running { handle, child })
}
