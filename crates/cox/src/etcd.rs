//! Where the API server keeps everything: its embedded store, or the etcd cluster that the flags name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use apiserver::MediaType;
use base::{Clock, Random};
use store::Store;
use store::etcd::{Options, Rename, TlsFiles};

/// How the API server begins all keys.
const ROOT: &str = "/registry";

/// The flags about etcd, named as kube-apiserver's.
#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Servers of an etcd cluster, comma separated: everything is kept there instead of in the data directory.
    #[arg(long, value_delimiter = ',')]
    etcd_servers: Vec<String>,
    /// Whose certificates etcd servers show; the system's authorities by default.
    #[arg(long, requires = "etcd_servers")]
    etcd_cafile: Option<PathBuf>,
    /// The certificate to show to etcd servers.
    #[arg(long, requires_all = ["etcd_servers", "etcd_keyfile"])]
    etcd_certfile: Option<PathBuf>,
    /// The key of `--etcd-certfile`.
    #[arg(long, requires = "etcd_certfile")]
    etcd_keyfile: Option<PathBuf>,
    /// What all keys in etcd begin with [default: /registry].
    #[arg(long, requires = "etcd_servers")]
    etcd_prefix: Option<String>,
    /// How objects are written to etcd: application/json or application/vnd.kubernetes.protobuf, which is the default.
    /// Both are read.
    #[arg(long, requires = "etcd_servers")]
    storage_media_type: Option<MediaType>,
}

/// An etcd cluster and how to write to it.
#[derive(Debug, Clone)]
pub struct Etcd {
    options: Options,
    media_type: MediaType,
}

impl Flags {
    /// The etcd cluster, if one is wanted.
    pub fn etcd(self) -> Option<Etcd> {
        if self.etcd_servers.is_empty() {
            return None;
        }
        let tls = TlsFiles { authority: self.etcd_cafile, certificate: self.etcd_certfile, key: self.etcd_keyfile };
        let rename = self.etcd_prefix.map(|prefix| Rename { ours: ROOT.to_owned(), theirs: rooted(&prefix) });
        let media_type = self.storage_media_type.unwrap_or(MediaType::Protobuf);
        Some(Etcd { options: Options { endpoints: self.etcd_servers, tls, rename }, media_type })
    }
}

/// Opens the etcd cluster, or the store in `data_dir`.
///
/// # Errors
/// The address is none, or the files are damaged or in use.
pub fn open(etcd: Option<&Etcd>, data_dir: &Path, clock: &Clock, random: &Random) -> Result<Arc<dyn Store>> {
    let Some(etcd) = etcd else {
        return store::embedded::open(&data_dir.join("store"), clock.clone()).context("opening the store");
    };
    let store = store::etcd::open(&etcd.options, clock.clone(), random.clone()).context("--etcd-servers")?;
    Ok(store::translated(store, Arc::new(etcd.media_type)))
}

/// The prefix with a slash before it and none after it.
fn rooted(prefix: &str) -> String {
    let parts = prefix.split('/').filter(|part| !part.is_empty());
    parts.flat_map(|part| ["/", part]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (given, rooted_at) in [("/registry", "/registry"), ("a/b/", "/a/b"), ("/", ""), ("", "")] {
            assert_eq!(rooted(given), rooted_at);
        }
    }
}
