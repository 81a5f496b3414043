//! Signed tokens (RFC 7515, 7519) with the keys of service accounts: RS256, ES256 and ES384.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::{Value, json, value};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// A token longer than this is not looked at.
const TOKEN_LIMIT_BYTES: usize = 16 << 10;

/// A key that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// The text holds no key.
    #[error("it holds no PEM key")]
    NoKey,
    /// The key is none of RSA, P-256 and P-384.
    #[error("its key is not an RSA (2048 bits or more), P-256 or P-384 key")]
    Unsupported,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    Es384,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        }
    }
}

enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
}

/// A private key that signs tokens. Shows nothing of itself in logs.
pub struct SigningKey {
    signer: Signer,
    public: VerifyingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id)
    }
}

/// A public key that tokens are checked with.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    /// Its name in a token's header: the hash of the key itself.
    pub id: String,
    key: Vec<u8>,
    jwk: Value,
}

impl SigningKey {
    /// Reads a private key in PKCS#8, PKCS#1 or SEC 1 form.
    ///
    /// # Errors
    /// Says what is wrong with the key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::NoKey)?;
        let signer = read_signer(&key).ok_or(KeyError::Unsupported)?;
        let spki = match &signer {
            Signer::Rsa(pair) => AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()),
            Signer::Ec(pair) => AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()),
        };
        let public = VerifyingKey::from_spki(spki.map_err(|_| KeyError::Unsupported)?.as_ref())?;
        Ok(Self { signer, public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The token that carries `claims`.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = value!({"alg": (self.public.algorithm.name()), "kid": (self.public.id.as_str())});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(json::to_vec(value));
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed = pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.expect("a key that was read signs, and the buffer has the modulus' length");
                signature
            }
            Signer::Ec(pair) => pair.sign(&random, message).expect("a key that was read signs").as_ref().to_vec(),
        }
    }
}

fn read_signer(key: &PrivateKeyDer<'_>) -> Option<Signer> {
    let der = key.secret_der();
    let curves = [&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED_SIGNING];
    match key {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der).ok().map(|pair| Signer::Rsa(Box::new(pair))),
        PrivateKeyDer::Sec1(_) => {
            curves.iter().find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok()).map(Signer::Ec)
        }
        PrivateKeyDer::Pkcs8(_) => RsaKeyPair::from_pkcs8(der)
            .ok()
            .map(|pair| Signer::Rsa(Box::new(pair)))
            .or_else(|| curves.iter().find_map(|curve| EcdsaKeyPair::from_pkcs8(curve, der).ok()).map(Signer::Ec)),
        _ => None,
    }
}

impl VerifyingKey {
    /// Reads a public key, the one of a certificate, or the public half of a private key.
    ///
    /// # Errors
    /// Says what is wrong with the key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        if let Ok(spki) = SubjectPublicKeyInfoDer::from_pem_slice(pem) {
            return Self::from_spki(&spki);
        }
        if let Ok(certificate) = CertificateDer::from_pem_slice(pem) {
            let (_, certificate) =
                x509_parser::parse_x509_certificate(&certificate).map_err(|_| KeyError::Unsupported)?;
            return Self::from_spki(certificate.public_key().raw);
        }
        SigningKey::from_pem(pem).map(|key| key.public)
    }

    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Unsupported)?;
        let raw = spki.subject_public_key.data.to_vec();
        let (algorithm, parameters) = match spki.parsed().map_err(|_| KeyError::Unsupported)? {
            Parsed::RSA(rsa) if rsa.key_size() >= 2048 => {
                let numbers = [("n", rsa.modulus), ("e", rsa.exponent)];
                (Algorithm::Rs256, numbers.map(|(name, number)| (name, encode_number(number))).to_vec())
            }
            Parsed::EC(point) => {
                // A point is one byte that says it is uncompressed, then both coordinates.
                let (x, y) = raw.get(1..).unwrap_or_default().split_at(raw.len().saturating_sub(1) / 2);
                let (algorithm, curve) = match point.key_size() {
                    256 => (Algorithm::Es256, "P-256"),
                    384 => (Algorithm::Es384, "P-384"),
                    _ => return Err(KeyError::Unsupported),
                };
                let coordinate = |bytes| URL_SAFE_NO_PAD.encode(bytes);
                (algorithm, vec![("crv", curve.to_owned()), ("x", coordinate(x)), ("y", coordinate(y))])
            }
            _ => return Err(KeyError::Unsupported),
        };
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(der));
        let family = if algorithm == Algorithm::Rs256 { "RSA" } else { "EC" };
        let mut jwk = value!({"use": "sig", "kty": family, "kid": (id.as_str()), "alg": (algorithm.name())});
        for (name, text) in parameters {
            jwk.set_at(&[name], text);
        }
        Ok(Self { algorithm, id, key: raw, jwk })
    }

    /// The key as a JSON web key (RFC 7517).
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm.verification(), &self.key).verify(message, signature).is_ok()
    }
}

/// A number as a JSON web key writes it: without leading zeros.
fn encode_number(bytes: &[u8]) -> String {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    URL_SAFE_NO_PAD.encode(&bytes[start..])
}

/// The claims of `token` before anybody checked its signature; `None` when it has not the form of a token.
#[must_use]
pub fn unchecked_claims(token: &str) -> Option<Value> {
    if token.len() > TOKEN_LIMIT_BYTES {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    json::parse(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// Whether one of `keys` signed `token`, trying the key that the token names first.
#[must_use]
pub fn is_signed_by(token: &str, keys: &[VerifyingKey]) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    let header = message.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let Some(header) = header.and_then(|header| json::parse(&header).ok()) else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    let (algorithm, id) = (header.str_at(&["alg"]), header.str_at(&["kid"]).unwrap_or_default());
    let named = keys.iter().any(|key| key.id == id);
    keys.iter()
        .filter(|key| algorithm == Some(key.algorithm.name()) && (!named || key.id == id))
        .any(|key| key.verifies(message.as_bytes(), &signature))
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};

    use super::*;

    #[test]
    fn signs_and_checks_with_every_kind_of_key() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let key = SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
            let public = VerifyingKey::from_pem(pair.public_key_pem().as_bytes()).unwrap();
            assert_eq!(key.public(), &public);
            let token = key.sign(&value!({"iss": "me"}));
            assert!(is_signed_by(&token, std::slice::from_ref(&public)));
            assert_eq!(unchecked_claims(&token), Some(value!({"iss": "me"})));

            let other = KeyPair::generate_for(algorithm).unwrap();
            let other = VerifyingKey::from_pem(other.public_key_pem().as_bytes()).unwrap();
            assert!(!is_signed_by(&token, std::slice::from_ref(&other)));
            assert!(is_signed_by(&token, &[other, public]));
        }
    }

    #[test]
    fn rejects_what_was_changed_or_is_no_token() {
        let key = SigningKey::from_pem(KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
        let keys = [key.public().clone()];
        let token = key.sign(&value!({"sub": "a"}));
        let (head, rest) = token.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let forged = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(br#"{"sub":"b"}"#));
        let unsigned = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#));
        for bad in [forged.as_str(), &unsigned, "", "a.b", "a.b.c", "not-a-token", &token[..token.len() - 8]] {
            assert!(!is_signed_by(bad, &keys), "{bad}");
        }
        assert_eq!(SigningKey::from_pem(b"nonsense").unwrap_err(), KeyError::NoKey);
        assert_eq!(VerifyingKey::from_pem(b"nonsense").unwrap_err(), KeyError::NoKey);
    }
}
