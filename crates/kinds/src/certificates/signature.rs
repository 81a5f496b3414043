//! Keys and signatures (RFC 5280, RFC 8410): whether a signature is right, in the words of Go's library.

use aws_lc_rs::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};

use super::der::{Head, Reader};

const UNKNOWN: &str = "x509: cannot verify signature: algorithm unimplemented";

// Object identifiers in DER.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSA_MD5: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4];
const RSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const EC_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const EC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const EC_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const EC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P224: &[u8] = &[0x2b, 0x81, 4, 0, 0x21];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
/// What stands where an algorithm is told nothing.
const NULL: &[u8] = &[5, 0];
const ED25519_KEY_BYTES: usize = 32;
/// Shorter keys of RSA are not looked at.
const LEAST_RSA_BITS: usize = 1024;

/// The hash of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// How something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Rsa(Hash),
    RsaPss(Hash),
    RsaMd5,
    Ecdsa(Hash),
    Ed25519,
    Unknown,
}

impl Scheme {
    /// The scheme of an algorithm.
    pub(super) fn of(identifier: &[u8], parameters: &[u8]) -> Self {
        match identifier {
            RSA_MD5 => Self::RsaMd5,
            RSA_SHA1 => Self::Rsa(Hash::Sha1),
            RSA_SHA256 => Self::Rsa(Hash::Sha256),
            RSA_SHA384 => Self::Rsa(Hash::Sha384),
            RSA_SHA512 => Self::Rsa(Hash::Sha512),
            RSA_PSS => pss_hash(parameters).map_or(Self::Unknown, Self::RsaPss),
            EC_SHA1 => Self::Ecdsa(Hash::Sha1),
            EC_SHA256 => Self::Ecdsa(Hash::Sha256),
            EC_SHA384 => Self::Ecdsa(Hash::Sha384),
            EC_SHA512 => Self::Ecdsa(Hash::Sha512),
            // RFC 8410: it is told nothing at all.
            ED25519 if parameters.is_empty() => Self::Ed25519,
            _ => Self::Unknown,
        }
    }

    fn key_name(self) -> &'static str {
        match self {
            Self::Rsa(_) | Self::RsaPss(_) | Self::RsaMd5 => "RSA",
            Self::Ecdsa(_) => "ECDSA",
            Self::Ed25519 => "Ed25519",
            Self::Unknown => "",
        }
    }
}

/// The hash that RSASSA-PSS is told (RFC 4055).
fn pss_hash(parameters: &[u8]) -> Option<Hash> {
    let mut all = Reader::new(Reader::new(parameters).element(Head::SEQUENCE, "").ok()?.content);
    let mut tagged = Reader::new(all.element(Head::own(0), "").ok()?.content);
    match Reader::new(tagged.element(Head::SEQUENCE, "").ok()?.content).identifier().ok()? {
        SHA256 => Some(Hash::Sha256),
        SHA384 => Some(Hash::Sha384),
        SHA512 => Some(Hash::Sha512),
        _ => None,
    }
}

/// A curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P224,
    P256,
    P384,
    P521,
}

/// A public key.
#[derive(Debug)]
pub(super) enum Key<'a> {
    Rsa { key: &'a [u8], modulus_bits: usize },
    Ecdsa(Curve, &'a [u8]),
    Ed25519(&'a [u8]),
}

impl<'a> Key<'a> {
    /// The key of this algorithm; none if the algorithm is unknown.
    ///
    /// # Errors
    /// Why it is no key.
    pub(super) fn of(identifier: &[u8], parameters: &[u8], bits: &'a [u8]) -> Result<Option<Self>, String> {
        match identifier {
            RSA => Self::rsa(parameters, bits).map(Some),
            EC => Self::ecdsa(parameters, bits).map(Some),
            ED25519 if !parameters.is_empty() => Err("x509: Ed25519 key encoded with illegal parameters".to_owned()),
            ED25519 if bits.len() != ED25519_KEY_BYTES => Err("x509: wrong Ed25519 public key size".to_owned()),
            ED25519 => Ok(Some(Self::Ed25519(bits))),
            _ => Ok(None),
        }
    }

    fn rsa(parameters: &[u8], bits: &'a [u8]) -> Result<Self, String> {
        let wrong = |what: &str| format!("x509: {what}");
        if parameters != NULL {
            return Err(wrong("RSA key missing NULL parameters"));
        }
        let sequence = Reader::new(bits).element(Head::SEQUENCE, "").map_err(|_| wrong("invalid RSA public key"))?;
        let mut numbers = Reader::new(sequence.content);
        let mut number = |what: &str| numbers.element(Head::INTEGER, "").map_err(|_| wrong(what));
        let modulus = number("invalid RSA modulus")?.content;
        let exponent = number("invalid RSA public exponent")?.content;
        for (number, what) in [(modulus, "modulus"), (exponent, "public exponent")] {
            let is_positive = number.first().is_some_and(|first| first & 0x80 == 0) && number.iter().any(|b| *b != 0);
            if !is_positive {
                return Err(wrong(&format!("RSA {what} is not a positive number")));
            }
        }
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let unused = modulus.get(zeros).map_or(0, |first| first.leading_zeros() as usize);
        Ok(Self::Rsa { key: bits, modulus_bits: (modulus.len() - zeros) * 8 - unused })
    }

    fn ecdsa(parameters: &[u8], bits: &'a [u8]) -> Result<Self, String> {
        let name = Reader::new(parameters).identifier().map_err(|_| "x509: invalid ECDSA parameters".to_owned())?;
        let (curve, bytes) = match name {
            P224 => (Curve::P224, 28),
            P256 => (Curve::P256, 32),
            P384 => (Curve::P384, 48),
            P521 => (Curve::P521, 66),
            _ => return Err("x509: unsupported elliptic curve".to_owned()),
        };
        if bits.first() != Some(&4) || bits.len() != 1 + 2 * bytes {
            return Err("x509: failed to unmarshal elliptic curve point".to_owned());
        }
        Ok(Self::Ecdsa(curve, bits))
    }

    /// The name of the key's type in Go.
    fn type_name(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "*rsa.PublicKey",
            Self::Ecdsa(..) => "*ecdsa.PublicKey",
            Self::Ed25519(_) => "ed25519.PublicKey",
        }
    }
}

/// Whether `signature` is that of `signed`.
///
/// # Errors
/// Why it is not.
pub(super) fn verify(scheme: Scheme, key: Option<&Key<'_>>, signed: &[u8], signature: &[u8]) -> Result<(), String> {
    if scheme == Scheme::RsaMd5 {
        return Err("x509: cannot verify signature: insecure algorithm MD5-RSA".to_owned());
    }
    let Some(key) = key.filter(|_| scheme != Scheme::Unknown) else { return Err(UNKNOWN.to_owned()) };
    let (algorithm, bytes, wrong): (Option<&dyn VerificationAlgorithm>, _, _) = match (scheme, key) {
        (Scheme::Rsa(_) | Scheme::RsaPss(_), Key::Rsa { modulus_bits, .. }) if *modulus_bits < LEAST_RSA_BITS => {
            return Err(format!(
                "crypto/rsa: {modulus_bits}-bit keys are insecure (see https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)"
            ));
        }
        (Scheme::Rsa(hash), Key::Rsa { key, .. }) => (Some(rsa(hash)), *key, "crypto/rsa: verification error"),
        (Scheme::RsaPss(hash), Key::Rsa { key, .. }) => (rsa_pss(hash), *key, "crypto/rsa: verification error"),
        (Scheme::Ecdsa(hash), Key::Ecdsa(curve, key)) => {
            (ecdsa(*curve, hash), *key, "x509: ECDSA verification failure")
        }
        (Scheme::Ed25519, Key::Ed25519(key)) => {
            (Some(&algorithms::ED25519), *key, "x509: Ed25519 verification failure")
        }
        _ => {
            let (wanted, found) = (scheme.key_name(), key.type_name());
            return Err(format!(
                "x509: signature algorithm specifies an {wanted} public key, but have public key of type {found}"
            ));
        }
    };
    let Some(algorithm) = algorithm else { return Err(UNKNOWN.to_owned()) };
    UnparsedPublicKey::new(algorithm, bytes).verify(signed, signature).map_err(|_| wrong.to_owned())
}

fn rsa(hash: Hash) -> &'static dyn VerificationAlgorithm {
    match hash {
        Hash::Sha1 => &algorithms::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &algorithms::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        // There are no such for keys of less than 2048 bits.
        Hash::Sha384 => &algorithms::RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 => &algorithms::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    }
}

fn rsa_pss(hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    match hash {
        Hash::Sha1 => None,
        Hash::Sha256 => Some(&algorithms::RSA_PSS_2048_8192_SHA256),
        Hash::Sha384 => Some(&algorithms::RSA_PSS_2048_8192_SHA384),
        Hash::Sha512 => Some(&algorithms::RSA_PSS_2048_8192_SHA512),
    }
}

fn ecdsa(curve: Curve, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (curve, hash) {
        (Curve::P256, Hash::Sha1) => &algorithms::ECDSA_P256_SHA1_ASN1,
        (Curve::P256, Hash::Sha256) => &algorithms::ECDSA_P256_SHA256_ASN1,
        (Curve::P256, Hash::Sha384) => &algorithms::ECDSA_P256_SHA384_ASN1,
        (Curve::P256, Hash::Sha512) => &algorithms::ECDSA_P256_SHA512_ASN1,
        (Curve::P384, Hash::Sha256) => &algorithms::ECDSA_P384_SHA256_ASN1,
        (Curve::P384, Hash::Sha384) => &algorithms::ECDSA_P384_SHA384_ASN1,
        (Curve::P384, Hash::Sha512) => &algorithms::ECDSA_P384_SHA512_ASN1,
        (Curve::P521, Hash::Sha1) => &algorithms::ECDSA_P521_SHA1_ASN1,
        (Curve::P521, Hash::Sha256) => &algorithms::ECDSA_P521_SHA256_ASN1,
        (Curve::P521, Hash::Sha384) => &algorithms::ECDSA_P521_SHA384_ASN1,
        (Curve::P521, Hash::Sha512) => &algorithms::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}
