//! Upstream's configuration file (`KubeletConfiguration`, kubelet.config.k8s.io/v1beta1), as far as we have its fields.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use client::serving::Certificate;
use k8s_openapi::api::core::v1::Taint;
use serde::Deserialize;

use crate::options::{KubeletOptions, RuntimeChoice};
use crate::quantity::{self, Resources};

/// A configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("kubelet configuration {path}: {detail}")]
pub struct ConfigError {
    path: PathBuf,
    detail: String,
}

/// The fields that we have; any other is an error that names it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct KubeletConfiguration {
    api_version: String,
    kind: String,
    address: Option<IpAddr>,
    port: Option<u16>,
    #[serde(rename = "clusterDNS")]
    cluster_dns: Option<Vec<String>>,
    cluster_domain: Option<String>,
    resolv_conf: Option<PathBuf>,
    cgroup_root: Option<String>,
    cgroup_driver: Option<String>,
    max_pods: Option<u32>,
    tls_cert_file: Option<PathBuf>,
    tls_private_key_file: Option<PathBuf>,
    authentication: Authentication,
    authorization: Authorization,
    container_runtime_endpoint: Option<String>,
    container_log_max_size: Option<String>,
    container_log_max_files: Option<usize>,
    register_with_taints: Option<Vec<Taint>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Authentication {
    x509: X509,
    webhook: Switch,
    anonymous: Switch,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct X509 {
    #[serde(rename = "clientCAFile")]
    client_ca_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Switch {
    enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Authorization {
    mode: Option<String>,
}

/// Reads the file at `path` into `options`.
///
/// # Errors
/// When it cannot be read, or asks for something that we do not have.
pub fn load(path: &Path, options: &mut KubeletOptions) -> Result<(), ConfigError> {
    let text = read(path).and_then(|text| apply(&text, options));
    text.map_err(|detail| ConfigError { path: path.to_owned(), detail })
}

fn apply(text: &str, options: &mut KubeletOptions) -> Result<(), String> {
    let config: KubeletConfiguration = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    if (config.api_version.as_str(), config.kind.as_str()) != ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")
    {
        return Err("this is no KubeletConfiguration of kubelet.config.k8s.io/v1beta1".to_owned());
    }
    refuse(&config)?;
    set(&mut options.cluster_dns, config.cluster_dns);
    set(&mut options.cluster_domain, config.cluster_domain);
    set(&mut options.resolv_conf, config.resolv_conf);
    set(&mut options.cgroup_root, config.cgroup_root);
    set(&mut options.max_pods, config.max_pods);
    set(&mut options.container_log_max_files, config.container_log_max_files);
    set(&mut options.register_with_taints, config.register_with_taints);
    set(&mut options.runtime, config.container_runtime_endpoint.map(RuntimeChoice::Endpoint));
    let (ip, port) = (options.bind.ip(), options.bind.port());
    options.bind = SocketAddr::new(config.address.unwrap_or(ip), config.port.unwrap_or(port));
    if let Some(size) = config.container_log_max_size {
        let size =
            Resources::from([("size".to_owned(), k8s_openapi::apimachinery::pkg::api::resource::Quantity(size))]);
        let bytes = quantity::value(Some(&size), "size").and_then(|bytes| u64::try_from(bytes).ok());
        options.container_log_max_bytes = bytes.ok_or("containerLogMaxSize is no quantity")?;
    }
    if let Some(path) = config.authentication.x509.client_ca_file {
        options.client_ca = Some(read(&path)?);
    }
    match (config.tls_cert_file, config.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            options.tls = Some(Certificate { certificate: read(&certificate)?, key: read(&key)? });
        }
        (None, None) => {}
        _ => return Err("tlsCertFile and tlsPrivateKeyFile go together".to_owned()),
    }
    Ok(())
}

/// What these fields may say besides what we do anyway.
fn refuse(config: &KubeletConfiguration) -> Result<(), String> {
    if config.cgroup_driver.as_deref().is_some_and(|driver| driver != "cgroupfs") {
        return Err("cgroupDriver: only cgroupfs is supported".to_owned());
    }
    if config.authentication.anonymous.enabled == Some(true) {
        return Err("authentication.anonymous.enabled: anonymous requests are not supported".to_owned());
    }
    if config.authentication.webhook.enabled == Some(false) {
        return Err("authentication.webhook.enabled: tokens are always reviewed by the API server".to_owned());
    }
    if config.authorization.mode.as_deref().is_some_and(|mode| mode != "Webhook") {
        return Err("authorization.mode: only Webhook is supported".to_owned());
    }
    Ok(())
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

    #[test]
    fn takes_what_it_knows() {
        let mut options = KubeletOptions::default();
        let text = format!(
            "{HEAD}clusterDNS: [10.0.0.10]\nport: 10260\ncontainerLogMaxSize: 1Mi\nauthorization: {{mode: Webhook}}\n"
        );
        apply(&text, &mut options).unwrap();
        assert_eq!((options.cluster_dns[0].as_str(), options.bind.port()), ("10.0.0.10", 10260));
        assert_eq!(options.container_log_max_bytes, 1 << 20);
    }

    #[test]
    fn refuses_what_it_has_not() {
        for (text, part) in [
            (format!("{HEAD}staticPodPath: /etc/pods\n"), "staticPodPath"),
            (format!("{HEAD}cgroupDriver: systemd\n"), "cgroupfs"),
            ("kind: Pod\n".to_owned(), "no KubeletConfiguration"),
        ] {
            let error = apply(&text, &mut KubeletOptions::default()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
