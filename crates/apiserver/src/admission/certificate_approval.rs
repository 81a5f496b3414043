//! CertificateApproval and CertificateSigning: who approves or signs for a signer needs a right to that signer
//! (KEP-1513).

use machinery::field::quote;
use machinery::{Status, Value};

use super::{Context, Operation, Plugin, Request};
use crate::authorization::Attributes;

const GROUP: &str = "certificates.k8s.io";

pub const APPROVAL: Plugin = Plugin { name: "CertificateApproval", admit: None, validate: Some(validate_approval) };
pub const SIGNING: Plugin = Plugin { name: "CertificateSigning", admit: None, validate: Some(validate_signing) };

fn validate_approval(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if !request.is_part(GROUP, "certificatesigningrequests", "approval") {
        return Ok(());
    }
    require(request, context, "approve")
}

fn validate_signing(request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
    if !request.is_part(GROUP, "certificatesigningrequests", "status") {
        return Ok(());
    }
    let of = |path: &[&str]| request.old.and_then(|old| old.at(path)) == request.object.at(path);
    if of(&["status", "certificate"]) && of(&["status", "conditions"]) {
        return Ok(());
    }
    require(request, context, "sign")
}

/// The right to `verb` for the request's signer, or for all signers of its domain.
fn require(request: &Request<'_>, context: &Context<'_>, verb: &str) -> Result<(), Status> {
    if request.operation != Operation::Update {
        return Ok(());
    }
    let signer = request.old.and_then(signer).or_else(|| signer(request.object)).unwrap_or_default();
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    let may = |name: &str| {
        let attributes = Attributes {
            user: request.user,
            verb,
            group: GROUP,
            version: "*",
            resource: "signers",
            name,
            is_resource: true,
            ..Attributes::default()
        };
        context.authorizer.authorize(&attributes).is_allowed()
    };
    if may(signer) || may(&domain) {
        return Ok(());
    }
    Err(request.forbidden(format!("user not permitted to {verb} requests with signerName {}", quote(signer))))
}

fn signer(request: &Value) -> Option<&str> {
    request.str_at(&["spec", "signerName"])
}

#[cfg(test)]
mod tests {
    use machinery::value;

    use super::super::Objects;
    use super::super::testing::{ask, request};
    use super::*;
    use crate::User;

    #[test]
    fn signers_have_rights_of_their_own() {
        let csr = |certificate: &str| value!({"metadata": {"name": "c"}, "spec": {"signerName": "a.io/b"}, "status": {"certificate": certificate}});
        let check = |plugin: &Plugin, user: &User, part: &str, new: &str| {
            let (mut new, old) = (csr(new), csr("old"));
            let path = format!("certificatesigningrequests/{part}");
            let answer = ask(
                plugin,
                &mut request(Operation::Update, (GROUP, &path), &mut new, Some(&old), user),
                &Objects::default(),
            );
            if answer.starts_with('{') { "fine".to_owned() } else { answer }
        };
        let (admin, joe) = (User::new("admin", &["system:masters"]), User::new("joe", &[]));
        let shown = [
            check(&APPROVAL, &admin, "approval", "old"),
            check(&APPROVAL, &joe, "approval", "old"),
            check(&SIGNING, &joe, "status", "old"),
            check(&SIGNING, &joe, "status", "new"),
        ];
        expect_test::expect![[r#"
            fine
            403 certificatesigningrequests.certificates.k8s.io "c" is forbidden: user not permitted to approve requests with signerName "a.io/b"
            fine
            403 certificatesigningrequests.certificates.k8s.io "c" is forbidden: user not permitted to sign requests with signerName "a.io/b""#]].assert_eq(&shown.join("\n"));
    }
}
