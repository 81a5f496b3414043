//! Makes the host equal to a [`Desired`]: files, kernel settings, nftables, routes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cni::CNI_CONFIG_FILE;
use crate::desired::{Desired, Route};

/// Marks our routes among the host's, so that they can be told apart and removed.
const ROUTE_PROTOCOL: &str = "201";

/// Why pods have no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No directory has all plugins.
    #[error("CNI plugins are missing (package containernetworking-plugins); not found: {sought}")]
    PluginsMissing {
        /// One missing plugin for each directory.
        sought: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {verb} {path}: {source}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program is not there or cannot be started.
    #[error("cannot run {program}, which must be installed (package {package}): {source}")]
    Start {
        /// The program.
        program: &'static str,
        /// Debian's package.
        package: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A program refused.
    #[error("{program} refused: {message}")]
    Refused {
        /// The program.
        program: &'static str,
        /// What it said.
        message: String,
    },
}

/// The host: what we put there, and where we remember what was there before.
#[derive(Debug)]
pub struct Host {
    conf_dir: PathBuf,
    state_dir: PathBuf,
    installed: Option<Desired>,
}

impl Host {
    /// A host of which nothing is known yet.
    #[must_use]
    pub fn new(conf_dir: &Path, state_dir: &Path) -> Self {
        Self { conf_dir: conf_dir.to_owned(), state_dir: state_dir.to_owned(), installed: None }
    }

    /// Makes the host have what `desired` says. The CNI configuration comes last: a runtime that sees it can use it.
    ///
    /// # Errors
    /// At the first thing that fails; the next call does all again.
    pub async fn make(&mut self, desired: Desired) -> Result<(), NetworkError> {
        let installed = self.installed.take();
        if installed.as_ref() != Some(&desired) {
            let old = installed.unwrap_or_default();
            self.set_sysctls(&desired.sysctls)?;
            if old.nft != desired.nft {
                nft(&desired.nft).await?;
            }
            set_routes(&desired.routes).await?;
            if let Some(conflist) = desired.conflist.as_ref().filter(|_| old.conflist != desired.conflist) {
                write_whole(&self.conf_dir.join(CNI_CONFIG_FILE), conflist)?;
            }
        }
        self.installed = Some(desired);
        Ok(())
    }

    /// Sets kernel settings and remembers what they were before we first touched them.
    fn set_sysctls(&self, wanted: &[(&'static str, &'static str)]) -> Result<(), NetworkError> {
        let path = sysctls_file(&self.state_dir);
        let mut before = read_sysctls(&path)?;
        for (name, value) in wanted {
            let file = Path::new("/proc/sys").join(name);
            let now = std::fs::read_to_string(&file).map_err(|source| file_error("read", &file, source))?;
            if now.trim() == *value {
                continue;
            }
            before.entry((*name).to_owned()).or_insert_with(|| now.trim().to_owned());
            let text = serde_json::to_string(&before).expect("texts are JSON");
            write_whole(&path, &text)?;
            std::fs::write(&file, value).map_err(|source| file_error("write", &file, source))?;
        }
        Ok(())
    }
}

pub(crate) fn sysctls_file(state_dir: &Path) -> PathBuf {
    state_dir.join("sysctls-before.json")
}

/// The settings as they were before us; none were touched if the file is not there or unreadable.
pub(crate) fn read_sysctls(path: &Path) -> Result<BTreeMap<String, String>, NetworkError> {
    match std::fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(file_error("read", path, source)),
    }
}

pub(crate) fn file_error(verb: &'static str, path: &Path, source: io::Error) -> NetworkError {
    NetworkError::File { verb, path: path.to_owned(), source }
}

/// Writes a file so that a reader sees all of it or none.
fn write_whole(path: &Path, text: &str) -> Result<(), NetworkError> {
    let written = (|| {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let new = path.with_extension("new");
        std::fs::write(&new, text)?;
        std::fs::rename(&new, path)
    })();
    written.map_err(|source| file_error("write", path, source))
}

/// Adds or replaces wanted routes, takes away ours that are not wanted.
async fn set_routes(wanted: &BTreeSet<Route>) -> Result<(), NetworkError> {
    for family in ["-4", "-6"] {
        let present = our_routes(family).await?;
        let of_family = |route: &&Route| (family == "-4") == range(route).addr().is_ipv4();
        for route in present.iter().filter(|route| !wanted.contains(*route)) {
            let range = range(route).to_string();
            // Deleting a route that is already gone, for instance with its link, is no failure.
            let _ = ip(&[family, "route", "del", &range, "proto", ROUTE_PROTOCOL]).await;
        }
        for route in wanted.iter().filter(of_family).filter(|route| !present.contains(*route)) {
            add_route(family, route).await?;
        }
    }
    Ok(())
}

async fn add_route(family: &str, route: &Route) -> Result<(), NetworkError> {
    let result = match route {
        Route::Unreachable(range) => {
            return ip(&[family, "route", "replace", "unreachable", &range.to_string(), "proto", ROUTE_PROTOCOL])
                .await
                .map(drop);
        }
        Route::Via(range, via) => {
            ip(&[family, "route", "replace", &range.to_string(), "via", &via.to_string(), "proto", ROUTE_PROTOCOL])
                .await
        }
    };
    // A node in another network segment must not keep pods here from running.
    if let Err(error @ NetworkError::Refused { .. }) = &result {
        tracing::warn!(?route, %error, "no route to another node's pods: the node is not on a network of this host");
        return Ok(());
    }
    result.map(drop)
}

/// Our routes, as the kernel has them.
async fn our_routes(family: &str) -> Result<BTreeSet<Route>, NetworkError> {
    let text = ip(&["-j", family, "route", "show", "proto", ROUTE_PROTOCOL]).await?;
    let routes: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
    let parse = |route: &serde_json::Value| {
        let range = route["dst"].as_str()?;
        let range = range.parse().or_else(|_| range.parse::<std::net::IpAddr>().map(Into::into)).ok()?;
        if route["type"] == "unreachable" {
            return Some(Route::Unreachable(range));
        }
        Some(Route::Via(range, route["gateway"].as_str()?.parse().ok()?))
    };
    Ok(routes.iter().filter_map(parse).collect())
}

fn range(route: &Route) -> ipnet::IpNet {
    match route {
        Route::Via(range, _) | Route::Unreachable(range) => *range,
    }
}

/// Takes all our routes away.
pub(crate) async fn remove_routes() -> Result<(), NetworkError> {
    set_routes(&BTreeSet::new()).await
}

/// Runs a script of nft as one transaction.
pub(crate) async fn nft(script: &str) -> Result<(), NetworkError> {
    output("nft", "nftables", &["-f", "-"], script).await.map(drop)
}

/// Runs `ip`.
pub(crate) async fn ip(arguments: &[&str]) -> Result<String, NetworkError> {
    output("ip", "iproute2", arguments, "").await
}

async fn output(
    program: &'static str,
    package: &'static str,
    arguments: &[&str],
    input: &str,
) -> Result<String, NetworkError> {
    let start = |source| NetworkError::Start { program, package, source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program that stops reading says why on stderr; a broken pipe is not the news.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(NetworkError::Refused { program, message: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}
