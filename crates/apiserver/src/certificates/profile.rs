//! What each certificate of a cluster is for: its subject, its names, its use.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

/// A certificate to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The file's name without its ending.
    pub file: String,
    /// The common name: who it speaks for.
    pub common_name: String,
    /// The organizations: the groups.
    pub organizations: Vec<String>,
    /// Addresses and names of a server; none for a client.
    pub names: Vec<String>,
}

impl Profile {
    /// The API server's own, good for `names`.
    #[must_use]
    pub fn serving(names: &[String]) -> Self {
        Self { names: names.to_vec(), ..Self::client("apiserver", "kube-apiserver", &[]) }
    }

    /// The one of whoever set up the cluster.
    #[must_use]
    pub fn admin() -> Self {
        Self::client("admin", "kubernetes-admin", &["system:masters"])
    }

    /// The scheduler's.
    #[must_use]
    pub fn scheduler() -> Self {
        Self::client("scheduler", "system:kube-scheduler", &[])
    }

    /// The controllers'.
    #[must_use]
    pub fn controller_manager() -> Self {
        Self::client("controller-manager", "system:kube-controller-manager", &[])
    }

    /// The service proxy's.
    #[must_use]
    pub fn proxy() -> Self {
        Self::client("proxy", "system:kube-proxy", &["system:node-proxier"])
    }

    /// The kubelet's of node `name`.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self::client(&format!("node-{name}"), &format!("system:node:{name}"), &["system:nodes"])
    }

    /// The one that the API server shows to kubelets.
    #[must_use]
    pub fn kubelet_client() -> Self {
        Self::client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", &["system:masters"])
    }

    fn client(file: &str, common_name: &str, organizations: &[&str]) -> Self {
        Self {
            file: file.to_owned(),
            common_name: common_name.to_owned(),
            organizations: organizations.iter().map(|name| (*name).to_owned()).collect(),
            names: Vec::new(),
        }
    }

    pub(super) fn parameters(&self) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        for organization in &self.organizations {
            parameters.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        parameters.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        parameters.subject_alt_names = self.names.iter().filter_map(|name| san(name)).collect();
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let usage = if self.names.is_empty() {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        };
        parameters.extended_key_usages = vec![usage];
        parameters.use_authority_key_identifier_extension = true;
        parameters
    }
}

/// An address or a DNS name; `None` for what is neither.
fn san(name: &str) -> Option<SanType> {
    match name.parse() {
        Ok(address) => Some(SanType::IpAddress(address)),
        Err(_) => name.try_into().ok().map(SanType::DnsName),
    }
}
