//! A certificate signing request (PKCS#10, RFC 2986): its structure, its key, and whether its signature is right.

use super::der::{Head, Reader, syntax};
use super::signature::{self, Key, Scheme};

/// A request in its parts.
struct Parts<'a> {
    /// What is signed.
    signed: &'a [u8],
    subject: &'a [u8],
    key: Algorithm<'a>,
    key_bits: &'a [u8],
    scheme: Algorithm<'a>,
    signature: &'a [u8],
}

/// An algorithm and what it is told.
struct Algorithm<'a> {
    identifier: &'a [u8],
    parameters: &'a [u8],
}

/// What is wrong with a request in DER, in the words of Go's reader.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let parts = Parts::of(bytes)?;
    let key = Key::of(parts.key.identifier, parts.key.parameters, parts.key_bits)?;
    check_subject(parts.subject)?;
    let scheme = Scheme::of(parts.scheme.identifier, parts.scheme.parameters);
    signature::verify(scheme, key.as_ref(), parts.signed, parts.signature)
}

/// Why bytes are no certificates one after the other; only their frames are looked at.
pub(super) fn certificates_problem(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
    }
    let mut all = Reader::new(bytes);
    while !all.is_done() {
        let Ok(certificate) = all.element(Head::SEQUENCE, "") else {
            return Some("x509: malformed certificate".to_owned());
        };
        if Reader::new(certificate.content).element(Head::SEQUENCE, "").is_err() {
            return Some("x509: malformed tbs certificate".to_owned());
        }
    }
    None
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let mut outer = Reader::new(bytes);
        let mut request = Reader::new(outer.element(Head::SEQUENCE, "certificateRequest")?.content);
        let signed = request.element(Head::SEQUENCE, "tbsCertificateRequest")?;
        let mut inner = Reader::new(signed.content);
        inner.small_integer()?;
        let subject = inner.any()?.whole;
        let mut key = Reader::new(inner.element(Head::SEQUENCE, "publicKeyInfo")?.content);
        let algorithm = Algorithm::of(&mut key)?;
        let key_bits = key.bits()?;
        let mut attributes = Reader::new(inner.element(Head::own(0), "")?.content);
        while !attributes.is_done() {
            attributes.any()?;
        }
        let scheme = Algorithm::of(&mut request)?;
        let signature = request.bits()?;
        if !outer.is_done() {
            return Err(syntax("trailing data"));
        }
        Ok(Self { signed: signed.whole, subject, key: algorithm, key_bits, scheme, signature })
    }
}

impl<'a> Algorithm<'a> {
    fn of(reader: &mut Reader<'a>) -> Result<Self, String> {
        let mut inner = Reader::new(reader.element(Head::SEQUENCE, "AlgorithmIdentifier")?.content);
        let identifier = inner.identifier()?;
        let parameters = if inner.is_done() { &[] } else { inner.any()?.whole };
        Ok(Self { identifier, parameters })
    }
}

/// A subject is a list of sets of names with their types.
fn check_subject(bytes: &[u8]) -> Result<(), String> {
    let mut names = Reader::new(Reader::new(bytes).element(Head::SEQUENCE, "RDNSequence")?.content);
    while !names.is_done() {
        let mut set = Reader::new(names.element(Head::SET, "RelativeDistinguishedNameSET")?.content);
        while !set.is_done() {
            let mut name = Reader::new(set.element(Head::SEQUENCE, "AttributeTypeAndValue")?.content);
            name.identifier()?;
            name.any()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// Requests of `/CN=a` with keys of Ed25519, P-256 and RSA of 1024 bits.
    const SAMPLES: [&str; 3] = [
        "MIGLMD8CAQAwDDEKMAgGA1UEAwwBYTAqMAUGAytlcAMhADBeaqu1Z0mcSOofTtH9ocRxFP/uZZA0iEhG+THMTt/doAAwBQYDK2VwA0EA02QSkfzrCe/ZPSDYOkQbVMR+17Z+IoP7gigrI/BzXxmmlxfCmD/CL88TaiOtpJf2xKNDYpbJD2K487choy5sDA==",
        "MIHGMG4CAQAwDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMWinLNys0EMzyXQipZOxkIum449U2zxuicIs8gzr31A/7XwU8sXa+/iJ8anKf7MUolfNE2NV3t9qcjrQPTuOkigADAKBggqhkjOPQQDAgNIADBFAiANlQxqbq7AT7E4UZi0XLla/jRVDKZqz/tnZqBV/rSy5QIhAIiwzdBd4Tw+U1dg4hv38OPQBxGsawXrgP50sEZ11pN7",
        "MIIBSzCBtQIBADAMMQowCAYDVQQDDAFhMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCWagPmucCHlGALvLiSYELYFTDt3fez/1D3KBC7Hvg3e2DjiDaBGKaaQUPqP6koOQ+38jSScofeEleK31mH78RymG4QjPbN57vI1a6L5ZAuGeVleAvghynEuGrTIMfTW9tUcDFaR2GKcJIm4l3JYXpN1R8tlpXLCt1sMlsi+L99uwIDAQABoAAwDQYJKoZIhvcNAQELBQADgYEAj2F8+2ODbP4bwWgOXOmA32zCX/tfv0I59yATY0yML1srYPUNhvcqYD7eB229ZhuGnLlEnqrTLqTHNYiRN1KqU8JpF5w0rVEUC2mXiIwybsKgk+z/2I7IEf9MKHb9LZz55xmRz3Cn+OLW+QdMId7MnIRtF1ExXNTe8gRZj30wWxo=",
    ];

    #[test]
    fn right_requests_pass() {
        for sample in SAMPLES {
            assert_eq!(check(&STANDARD.decode(sample).unwrap()), Ok(()));
        }
    }

    #[test]
    fn certificates_have_their_frames() {
        let shown = [&[][..], b"abc", &[0x30, 2, 4, 0], &[0x30, 2, 0x30, 0]].map(certificates_problem);
        expect_test::expect![[r#"
            found CERTIFICATE PEM block containing 0 certificates
            x509: malformed certificate
            x509: malformed tbs certificate
        "#]]
        .assert_eq(&shown.map(|problem| problem.unwrap_or_default()).join("\n"));
    }

    #[test]
    fn wrong_requests_do_not() {
        let mut shown = Vec::new();
        for sample in SAMPLES {
            let mut bytes = STANDARD.decode(sample).unwrap();
            let whole = bytes.clone();
            // The name is signed.
            let at = bytes.windows(3).position(|part| part == [12, 1, b'a']).unwrap();
            bytes[at + 2] = b'b';
            shown.push(check(&bytes).unwrap_err());
            bytes.clone_from(&whole);
            bytes.push(0);
            shown.push(check(&bytes).unwrap_err());
            shown.push(check(&whole[..whole.len() - 1]).unwrap_err());
        }
        shown.push(check(&[0x30, 3, 0x30, 1, 2]).unwrap_err());
        shown.push(check(&[0x30, 5, 0x30, 3, 4, 1, 0]).unwrap_err());
        expect_test::expect![[r#"
            x509: Ed25519 verification failure
            asn1: syntax error: trailing data
            asn1: syntax error: data truncated
            x509: ECDSA verification failure
            asn1: syntax error: trailing data
            asn1: syntax error: data truncated
            crypto/rsa: verification error
            asn1: syntax error: trailing data
            asn1: syntax error: data truncated
            asn1: syntax error: truncated tag or length
            asn1: structure error: tags don't match (2 vs {class:0 tag:4 length:1 isCompound:false}) {optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false} int @2"#]].assert_eq(&shown.join("\n"));
    }
}
