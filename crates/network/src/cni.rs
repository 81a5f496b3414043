//! The CNI configuration (CNI specification 1.0.0) and the plugins that it calls.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::NetworkError;

/// The configuration's file name; runtimes take the first file of the directory.
pub const CNI_CONFIG_FILE: &str = "10-coxswain.conflist";

/// The plugins that the configuration and the runtime call.
const PLUGINS: [&str; 3] = ["ptp", "host-local", "loopback"];

/// The configuration for a node with these pod ranges, as text. Pure.
#[must_use]
pub fn conflist(pod_cidrs: &[IpNet], leases_dir: &Path, mtu: Option<u32>) -> String {
    let ranges: Vec<Value> = pod_cidrs.iter().map(|cidr| json!([{"subnet": cidr.to_string()}])).collect();
    let everywhere = |cidr: &IpNet| if cidr.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    let routes: Vec<Value> = pod_cidrs.iter().map(|cidr| json!({"dst": everywhere(cidr)})).collect();
    let mut link = json!({
        "type": "ptp",
        "ipMasq": false,
        "ipam": {"type": "host-local", "dataDir": leases_dir, "ranges": ranges, "routes": routes},
    });
    if let Some(mtu) = mtu {
        link["mtu"] = mtu.into();
    }
    let list = json!({"cniVersion": "1.0.0", "name": "coxswain", "plugins": [link]});
    format!("{list:#}\n")
}

/// The first of `dirs` that holds all plugins.
///
/// # Errors
/// When none does; the message says what is missing and where it was sought.
pub fn find_plugins(dirs: &[PathBuf]) -> Result<&Path, NetworkError> {
    let missing = |dir: &Path| PLUGINS.into_iter().find(|plugin| !dir.join(plugin).is_file());
    if let Some(dir) = dirs.iter().find(|dir| missing(dir).is_none()) {
        return Ok(dir);
    }
    let sought: Vec<String> =
        dirs.iter().filter_map(|dir| Some(format!("{}/{}", dir.display(), missing(dir)?))).collect();
    Err(NetworkError::PluginsMissing { sought: sought.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration() {
        let cidrs = ["10.244.0.0/24".parse().unwrap(), "fd00:10::/64".parse().unwrap()];
        expect_test::expect![[r#"
            {
              "cniVersion": "1.0.0",
              "name": "coxswain",
              "plugins": [
                {
                  "type": "ptp",
                  "ipMasq": false,
                  "ipam": {
                    "type": "host-local",
                    "dataDir": "/s/leases",
                    "ranges": [
                      [
                        {
                          "subnet": "10.244.0.0/24"
                        }
                      ],
                      [
                        {
                          "subnet": "fd00:10::/64"
                        }
                      ]
                    ],
                    "routes": [
                      {
                        "dst": "0.0.0.0/0"
                      },
                      {
                        "dst": "::/0"
                      }
                    ]
                  },
                  "mtu": 1400
                }
              ]
            }
        "#]]
        .assert_eq(&conflist(&cidrs, Path::new("/s/leases"), Some(1400)));
    }

    #[test]
    fn missing_plugins_are_named() {
        let error = find_plugins(&[PathBuf::from("/nowhere"), PathBuf::from("/nothing")]).unwrap_err();
        expect_test::expect![
            "CNI plugins are missing (package containernetworking-plugins); not found: /nowhere/ptp, /nothing/ptp"
        ]
        .assert_eq(&error.to_string());
    }
}
