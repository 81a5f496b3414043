//! The file that tells a client where the cluster is and lets it in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Pair;

/// The cluster's name in the files that we write.
const CLUSTER: &str = "coxswain";

/// A kubeconfig for `user`, who shows `pair` to the server at `server` and trusts `authority_pem`.
#[must_use]
pub fn kubeconfig(server: &str, authority_pem: &str, user: &str, pair: &Pair) -> String {
    let [authority, certificate, key] =
        [authority_pem, &pair.certificate_pem, &pair.key_pem].map(|pem| STANDARD.encode(pem));
    let context = format!("{user}@{CLUSTER}");
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: {CLUSTER}
  cluster:
    server: "{server}"
    certificate-authority-data: {authority}
users:
- name: "{user}"
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: "{context}"
  context:
    cluster: {CLUSTER}
    user: "{user}"
current-context: "{context}"
preferences: {{}}
"#
    )
}
