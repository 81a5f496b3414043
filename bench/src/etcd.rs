//! An etcd of one member for the API server to keep everything in.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A member that this run started. Dropping it ends it and removes what it kept.
pub struct Etcd {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Etcd {
    /// Starts one on loopback with its files and its log beside `data_dir`. The API server waits until it answers.
    ///
    /// # Errors
    /// When it is not installed (Debian's package etcd-server).
    pub fn start(data_dir: &Path) -> Result<Self> {
        let folder = data_dir.with_extension("etcd");
        std::fs::create_dir_all(&folder).context("making the folder of etcd")?;
        let log = File::create(data_dir.with_extension("etcd.log")).context("writing the log of etcd")?;
        let (client, peer) = (free_url()?, free_url()?);
        let child = Command::new("etcd")
            .args(["--name", "bench", "--logger", "zap", "--log-level", "warn", "--data-dir"])
            .arg(&folder)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("bench={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting etcd")?;
        Ok(Self { child, folder, url: client })
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        let removed = ended.and_then(|_| std::fs::remove_dir_all(&self.folder));
        if let Err(error) = removed {
            eprintln!("bench: {} is left behind: {error}", self.folder.display());
        }
    }
}

fn free_url() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(format!("http://{}", listener.local_addr()?))
}
