//! CertificateSubjectRestriction: nobody asks the cluster for a certificate of its masters.

use base64::Engine;
use machinery::{Status, Value};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::{Context, Operation, Plugin, Request};
use crate::authorization::MASTERS;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub const PLUGIN: Plugin = Plugin { name: "CertificateSubjectRestriction", admit: None, validate: Some(validate) };

fn validate(request: &mut Request<'_>, _: &Context<'_>) -> Result<(), Status> {
    let asks =
        request.operation == Operation::Create && request.is("certificates.k8s.io", "certificatesigningrequests");
    if !asks || request.object.str_at(&["spec", "signerName"]) != Some(SIGNER) {
        return Ok(());
    }
    let Some(groups) = organizations(request.object) else {
        return Err(request.forbidden("failed to parse CSR: PEM block type must be CERTIFICATE REQUEST"));
    };
    if groups.iter().any(|group| group == MASTERS) {
        return Err(request.forbidden(format!("use of {SIGNER} signer with {MASTERS} group is not allowed")));
    }
    Ok(())
}

/// The organizations of the subject that is asked for; `None` when the request cannot be read.
fn organizations(request: &Value) -> Option<Vec<String>> {
    read_subject(request, |subject| {
        subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned).collect()
    })
}

/// The name of the subject that is asked for; `None` when the request cannot be read.
pub(super) fn common_name(request: &Value) -> Option<String> {
    read_subject(request, |subject| {
        let name = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
        name.unwrap_or_default().to_owned()
    })
}

fn read_subject<T>(request: &Value, read: impl FnOnce(&X509Name<'_>) -> T) -> Option<T> {
    let pem = base64::engine::general_purpose::STANDARD.decode(request.str_at(&["spec", "request"])?).ok()?;
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).ok()?;
    let (_, asked) = X509CertificationRequest::from_der(&der).ok()?;
    Some(read(&asked.certification_request_info.subject))
}

#[cfg(test)]
mod tests {
    use machinery::value;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    fn check(group: &str, signer: &str) -> String {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::OrganizationName, group);
        let pem = parameters.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(pem);
        let mut csr = value!({"metadata": {"name": "c"}, "spec": {"signerName": signer, "request": text}});
        let (user, path) = (User::anonymous(), ("certificates.k8s.io", "certificatesigningrequests"));
        let answer = ask(&PLUGIN, &mut request(Operation::Create, path, &mut csr, None, &user), &Objects::default());
        if answer.starts_with('{') { "fine".to_owned() } else { answer }
    }

    #[test]
    fn masters_are_not_made() {
        assert_eq!(check("devs", SIGNER), "fine");
        assert_eq!(check(MASTERS, "a.io/b"), "fine");
        expect_test::expect![[r#"403 certificatesigningrequests.certificates.k8s.io "c" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"#]].assert_eq(&check(MASTERS, SIGNER));
    }
}
