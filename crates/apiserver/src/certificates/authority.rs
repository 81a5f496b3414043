//! The cluster's certificate authority: makes itself, reads itself, issues.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::Profile;
use super::inspect::Facts;

/// Certificates begin this long before they are issued: clocks differ.
const BACKDATED: Duration = Duration::from_secs(5 * 60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long an authority lives.
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3650);
/// How long what it issues lives.
const LEAF_LIFETIME: Duration = DAY.saturating_mul(365);

/// A certificate with its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pair")
    }
}

/// Issues the cluster's certificates.
#[derive(Debug)]
pub struct Authority {
    pair: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Panics
    /// Never: keys of a known kind can be made and what is signed is of our own making.
    #[must_use]
    pub fn make(now: Timestamp) -> Self {
        let key = KeyPair::generate().expect("the provider makes P-256 keys");
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, format!("kubernetes-ca@{}", now.as_second()));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_lifetime(&mut parameters, now, AUTHORITY_LIFETIME);
        let certificate = parameters.self_signed(&key).expect("the parameters are our own");
        let pair = Pair { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() };
        Self { pair, issuer: Issuer::new(parameters, key) }
    }

    /// The authority of a certificate and its key.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn read(pair: Pair) -> Result<Self, String> {
        let facts = Facts::read(&pair.certificate_pem)?;
        let key = KeyPair::from_pem(&pair.key_pem).map_err(|_| "it holds no usable private key".to_owned())?;
        if !facts.has_key(&key) {
            return Err("the key does not belong to the certificate".to_owned());
        }
        if !facts.is_authority {
            return Err("the certificate is not one of an authority".to_owned());
        }
        let issuer = Issuer::from_ca_cert_pem(&pair.certificate_pem, key).map_err(|error| error.to_string())?;
        Ok(Self { pair, issuer })
    }

    /// The certificate that others trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pair.certificate_pem
    }

    /// Certificate and key, to be kept.
    #[must_use]
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// A new key and a certificate for it.
    ///
    /// # Panics
    /// Never: keys of a known kind can be made and what is signed is of our own making.
    #[must_use]
    pub fn issue(&self, profile: &Profile, now: Timestamp) -> Pair {
        let key = KeyPair::generate().expect("the provider makes P-256 keys");
        let mut parameters = profile.parameters();
        set_lifetime(&mut parameters, now, LEAF_LIFETIME);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("the parameters are our own");
        Pair { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

fn set_lifetime(parameters: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + now.saturating_sub(BACKDATED);
    parameters.not_after = epoch + now + lifetime;
}
