//! Takes back everything that the network put on the host.

use std::io;
use std::path::Path;

use ipnet::IpNet;

use crate::cni::CNI_CONFIG_FILE;
use crate::desired::leases_dir;
use crate::host::{NetworkError, file_error, ip, nft, read_sysctls, remove_routes, sysctls_file};
use crate::{Options, tables};

/// Removes the CNI configuration, pods' links, tables, routes and address leases, and puts kernel settings back. What is
/// not there is no error.
///
/// # Errors
/// At the first thing that cannot be removed.
pub async fn remove(options: &Options) -> Result<(), NetworkError> {
    let conflist = options.conf_dir.join(CNI_CONFIG_FILE);
    let ranges = ranges(&conflist);
    delete(&conflist, |path| std::fs::remove_file(path))?;
    remove_links(&ranges).await?;
    nft(&tables::removal()).await?;
    remove_routes().await?;
    delete(&leases_dir(&options.state_dir), |path| std::fs::remove_dir_all(path))?;
    let sysctls = sysctls_file(&options.state_dir);
    for (name, value) in read_sysctls(&sysctls)? {
        let path = Path::new("/proc/sys").join(name);
        std::fs::write(&path, value).map_err(|source| file_error("write", &path, source))?;
    }
    delete(&sysctls, |path| std::fs::remove_file(path))
}

/// Links of pods that nobody took down: those that a route to a single pod address leads to.
async fn remove_links(ranges: &[IpNet]) -> Result<(), NetworkError> {
    for family in ["-4", "-6"] {
        let text = ip(&["-j", family, "route", "show"]).await?;
        let routes: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
        for route in &routes {
            let (Some(target), Some(link)) = (route["dst"].as_str(), route["dev"].as_str()) else { continue };
            let Ok(pod) = target.parse::<std::net::IpAddr>() else { continue };
            if link.starts_with("veth") && ranges.iter().any(|range| range.contains(&pod)) {
                // A link of two families is gone after the first.
                let _ = ip(&["link", "del", link]).await;
            }
        }
    }
    Ok(())
}

/// The pod ranges of the configuration that is there.
fn ranges(conflist: &Path) -> Vec<IpNet> {
    let text = std::fs::read(conflist).unwrap_or_default();
    let list: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let sets = list["plugins"][0]["ipam"]["ranges"].as_array().cloned().unwrap_or_default();
    sets.iter().filter_map(|set| set[0]["subnet"].as_str()?.parse().ok()).collect()
}

fn delete(path: &Path, how: impl Fn(&Path) -> io::Result<()>) -> Result<(), NetworkError> {
    match how(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error("remove", path, error)),
        _ => Ok(()),
    }
}
