//! What a certificate says about itself, as far as keeping or renewing it depends on it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

use super::{Pair, Profile};

/// A certificate's facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Whether it may sign others.
    pub is_authority: bool,
    common_name: String,
    organizations: Vec<String>,
    names: BTreeSet<String>,
    public_key: Vec<u8>,
    own_key_id: Vec<u8>,
    issuer_key_id: Vec<u8>,
}

impl Facts {
    /// Reads the first certificate of `pem`.
    ///
    /// # Errors
    /// When there is none or it is broken.
    pub fn read(pem: &str) -> Result<Self, String> {
        let der =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| "it holds no PEM certificate".to_owned())?;
        let parsed = x509_parser::parse_x509_certificate(&der);
        let (_, certificate) = parsed.map_err(|_| "its certificate is broken".to_owned())?;
        Self::of(&certificate).ok_or_else(|| "its certificate is broken".to_owned())
    }

    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let subject = certificate.subject();
        let (mut own_key_id, mut issuer_key_id) = (Vec::new(), Vec::new());
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => own_key_id = id.0.to_vec(),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    issuer_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(Self {
            not_before: Timestamp::from_second(certificate.validity().not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
            is_authority: certificate.is_ca(),
            common_name: subject.iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default().to_owned(),
            organizations: subject.iter_organization().filter_map(|n| n.as_str().ok()).map(str::to_owned).collect(),
            names: names(certificate),
            public_key: certificate.public_key().raw.to_vec(),
            own_key_id,
            issuer_key_id,
        })
    }

    /// Whether `key` is the certificate's.
    #[must_use]
    pub fn has_key(&self, key: &KeyPair) -> bool {
        key.subject_public_key_info() == self.public_key
    }

    /// Whether `authority` signed it, as far as its key identifier tells.
    #[must_use]
    pub fn is_of(&self, authority: &Self) -> bool {
        !self.issuer_key_id.is_empty() && self.issuer_key_id == authority.own_key_id
    }

    /// Whether it speaks for the same subject and at least the same names.
    #[must_use]
    pub fn fits(&self, profile: &Profile) -> bool {
        self.common_name == profile.common_name
            && self.organizations == profile.organizations
            && profile.names.iter().all(|name| self.names.contains(&canonical(name)))
    }

    /// From when on it is to be renewed: when a third of its life is left.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_after - life / 3
    }
}

/// Whether a kept pair can go on being used for `profile`.
///
/// # Errors
/// When the files are broken, which is for people to look at.
pub(super) fn is_good(pair: &Pair, profile: &Profile, authority: &Facts, now: Timestamp) -> Result<bool, String> {
    let facts = Facts::read(&pair.certificate_pem)?;
    let key = KeyPair::from_pem(&pair.key_pem).map_err(|_| "it holds no usable private key".to_owned())?;
    let fresh = facts.not_before <= now && now < facts.renew_at();
    Ok(facts.has_key(&key) && facts.is_of(authority) && facts.fits(profile) && fresh)
}

fn names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn canonical(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_owned(), |address| address.to_string())
}
