//! CertificateSigningRequest: the wish for a certificate, to be approved and then signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta, names};

use super::{pem, request};
use crate::kind::{
    BASE, Context, Kind, MetadataChecks, STATUS, SUBRESOURCE, Selectable, Subresource, keep, keep_spec, path_value,
};
use crate::table::{AGE, Describe, NAME, age, human_duration, str, text};
use crate::validate::one_of;

const SPEC: &str = "io.k8s.api.certificates.v1.CertificateSigningRequestSpec";
/// What the column says on the wire: the words of an older version of the API, which has no schema here.
const SIGNER_NAME: &str = "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will be defaulted:\n 1. If it's a kubelet client certificate, it is assigned\n    \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is assigned\n    \"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \"kubernetes.io/legacy-unknown\".\nDistribution of trust for signers happens out of band. You can select on this field using `spec.signerName`.";
const MAX_DOMAIN_BYTES: usize = 253;
/// A domain, a slash, and a namespace's name with an object's.
const MAX_SIGNER_BYTES: usize = MAX_DOMAIN_BYTES + 1 + MAX_DOMAIN_BYTES + 1 + 63;
/// A certificate may not be asked to live shorter.
const MIN_EXPIRATION_SECONDS: i64 = 600;
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The kind.
pub static KIND: Kind = Kind {
    group: "certificates.k8s.io",
    kind: "CertificateSigningRequest",
    plural: "certificatesigningrequests",
    short_names: &["csr"],
    namespaced: false,
    storage: "certificatesigningrequests",
    schema: "io.k8s.api.certificates.v1.CertificateSigningRequest",
    subresources: &[
        Subresource { name: "approval", prepare: prepare_approval, validate: validate_approval, ..SUBRESOURCE },
        Subresource { prepare: prepare_status, validate: validate_status, ..STATUS },
    ],
    columns: &[
        NAME,
        AGE,
        text("SignerName", Describe::Text(SIGNER_NAME)),
        text("Requestor", Describe::Text("Base64-encoded PKCS#10 CSR data")),
        text("RequestedDuration", Describe::Field(SPEC, "expirationSeconds")),
        text("Condition", Describe::Text("Conditions applied to the request, such as approval or denial.")),
    ],
    row,
    selectable: &[
        Selectable { name: "metadata.name", get: |request| path_value(request, "metadata.name") },
        Selectable { name: "spec.signerName", get: |request| path_value(request, "spec.signerName") },
    ],
    prepare_create,
    prepare_update: |new, old, _| keep(new, old, &["spec"]),
    metadata: MetadataChecks::BOTH,
    validate,
    validate_update: |new, old| conditions_update(new, old, &[]),
    ..BASE
};

fn row(request: &Value, now: Timestamp) -> Vec<Value> {
    let duration = request.int_at(&["spec", "expirationSeconds"]);
    vec![
        meta::name(request).into(),
        age(request, now),
        str(request, &["spec", "signerName"]),
        str(request, &["spec", "username"]),
        duration.map_or_else(|| "<none>".to_owned(), human_duration).into(),
        state(request).into(),
    ]
}

fn state(request: &Value) -> String {
    let has = |kind: &str| conditions(request).iter().any(|c| c.str_at(&["type"]) == Some(kind));
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !certificate(request).is_empty() {
        state.push_str(",Issued");
    }
    state
}

fn conditions(request: &Value) -> &[Value] {
    request.items_at(&["status", "conditions"])
}

fn certificate(request: &Value) -> &str {
    request.str_at(&["status", "certificate"]).unwrap_or_default()
}

/// Who asks is written by the server.
fn prepare_create(request: &mut Value, context: &Context<'_>) {
    for field in ["username", "uid", "groups", "extra"] {
        request.remove_at(&["spec", field]);
    }
    for (field, value) in [("username", context.user), ("uid", context.uid)] {
        if !value.is_empty() {
            request.set_at(&["spec", field], value);
        }
    }
    if !context.groups.is_empty() {
        request.set_at(&["spec", "groups"], context.groups.to_vec());
    }
    for (key, values) in context.extra {
        request.set_at(&["spec", "extra", key], values.clone());
    }
}

fn prepare_approval(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_spec(new, old);
    keep(new, old, &["status", "certificate"]);
    stamp(new, old, context.now);
}

fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_spec(new, old);
    stamp(new, old, context.now);
}

/// New conditions get their times; those that stay keep them.
fn stamp(new: &mut Value, old: &Value, now: Timestamp) {
    let now = meta::seconds(now);
    let Some(list) = new.at_mut(&["status", "conditions"]).and_then(Value::as_array_mut) else { return };
    for condition in list {
        let same = |other: &&Value| ["type", "status"].iter().all(|field| other.get(field) == condition.get(field));
        let before = conditions(old).iter().find(same).cloned();
        if condition.get("lastUpdateTime").is_none_or(Value::is_null) {
            condition.set_at(&["lastUpdateTime"], now.as_str());
        }
        if condition.get("lastTransitionTime").is_none_or(Value::is_null) {
            let kept = before.as_ref().and_then(|c| c.str_at(&["lastTransitionTime"])).unwrap_or(&now);
            condition.set_at(&["lastTransitionTime"], kept);
        }
    }
}

fn validate(request: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors: Errors = pem_request(request, &path.child("request")).into_iter().collect();
    errors.extend(usages(request.items_at(&["spec", "usages"]), &path.child("usages")));
    errors.extend(signer_name(request.str_at(&["spec", "signerName"]).unwrap_or_default(), &path.child("signerName")));
    if let Some(seconds) = request.int_at(&["spec", "expirationSeconds"]).filter(|s| *s < MIN_EXPIRATION_SECONDS) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    errors
}

fn pem_request(request: &Value, path: &Path) -> Option<Error> {
    let text = request.str_at(&["spec", "request"]);
    let bytes = STANDARD.decode(text.unwrap_or_default()).unwrap_or_default();
    let problem = match pem::first_block(&bytes) {
        Some(block) if block.label == "CERTIFICATE REQUEST" => request::check(&block.content).err()?,
        _ => "PEM block type must be CERTIFICATE REQUEST".to_owned(),
    };
    let shown = text.map_or(Value::Null, Value::from);
    Some(Error::invalid(path, shown, problem))
}

fn usages(all: &[Value], path: &Path) -> Errors {
    if all.is_empty() {
        return vec![Error::required(path, "")];
    }
    let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    let unknown = all.iter().enumerate().filter_map(|(i, usage)| one_of(usage, &USAGES, &path.index(i)));
    let again = all.iter().enumerate().filter(|(i, usage)| all[..*i].contains(usage));
    unknown.chain(again.map(|(i, usage)| Error::duplicate(&path.index(i), *usage))).collect()
}

fn signer_name(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    if name == "kubernetes.io/legacy-unknown" {
        let detail = "the legacy signerName is not allowed via this API version";
        return vec![Error::invalid(path, name, detail)];
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![Error::invalid(path, name, detail)];
    };
    let mut errors = Errors::new();
    if domain.len() > MAX_DOMAIN_BYTES {
        errors.push(Error::too_long(path, MAX_DOMAIN_BYTES));
    }
    errors.extend(labels(domain, names::is_dns1123_label, path));
    if !domain.contains('.') {
        errors.push(Error::invalid(path, domain, "should be a domain with at least two segments separated by dots"));
    }
    errors.extend(labels(rest, names::is_dns1123_subdomain, path));
    if name.len() > MAX_SIGNER_BYTES {
        errors.push(Error::too_long(path, MAX_SIGNER_BYTES));
    }
    errors
}

/// What is wrong with the first wrong part between dots.
fn labels(text: &str, check: fn(&str) -> Vec<String>, path: &Path) -> Errors {
    let wrong = text.split('.').map(|label| (label, check(label))).find(|(_, problems)| !problems.is_empty());
    let (label, problems) = wrong.unwrap_or_default();
    let label = machinery::field::quote(label);
    problems.into_iter().map(|why| Error::invalid(path, text, format!("validating label {label}: {why}"))).collect()
}

fn validate_approval(new: &Value, old: &Value) -> Errors {
    conditions_update(new, old, &["Approved", "Denied"])
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errors = conditions_update(new, old, &[]);
    let path = Path::new("status.certificate");
    if certificate(new) == certificate(old) {
        return errors;
    }
    if let Some(problem) = certificate_problem(certificate(new)) {
        errors.insert(0, Error::invalid(&path, "<certificate data>", problem));
    }
    if !certificate(old).is_empty() {
        errors.push(Error::forbidden(&path, "updates may not modify existing certificate content"));
    }
    errors
}

/// Why a text is no list of certificates in PEM.
fn certificate_problem(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let mut rest = bytes.as_slice();
    let mut found = false;
    while let Some(block) = pem::first_block(rest) {
        if block.label != "CERTIFICATE" {
            let label = machinery::field::quote(&block.label);
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {label}"));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".to_owned());
        }
        if let Some(problem) = request::certificates_problem(&block.content) {
            return Some(problem);
        }
        (found, rest) = (true, block.rest);
    }
    (!found && !bytes.is_empty()).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

/// Conditions stay once they are there; who may not decide may not add decisions either.
fn conditions_update(new: &Value, old: &Value, allowed: &[&str]) -> Errors {
    let path = Path::new("status.conditions");
    let mut errors = Errors::new();
    let with = |request: &Value, kind: &str| {
        conditions(request).iter().filter(|c| c.str_at(&["type"]) == Some(kind)).cloned().collect::<Vec<_>>()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        let (before, after) = (with(old, kind), with(new, kind));
        if before == after {
            continue;
        }
        if after.len() < before.len() {
            let detail = format!("updates may not remove a condition of type \"{kind}\"");
            errors.push(Error::forbidden(&path, detail));
        } else if after.len() > before.len() && kind != "Failed" && !allowed.contains(&kind) {
            let detail = format!("updates may not add a condition of type \"{kind}\"");
            errors.push(Error::forbidden(&path, detail));
        }
    }
    if errors.is_empty() {
        errors.extend(condition_list(conditions(new), &path));
    }
    errors
}

fn condition_list(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    let has = |list: &[Value], kind: &str| list.iter().any(|c| c.str_at(&["type"]) == Some(kind));
    for (i, condition) in all.iter().enumerate() {
        let field = path.index(i);
        let kind = condition.str_at(&["type"]).unwrap_or_default();
        let status = condition.str_at(&["status"]).unwrap_or_default();
        if kind.is_empty() {
            errors.push(Error::required(&field.child("type"), ""));
        }
        if status.is_empty() {
            errors.push(Error::required(&field.child("status"), ""));
        } else if matches!(kind, "Approved" | "Denied" | "Failed") {
            errors.extend(one_of(status, &["True"], &field.child("status")));
        } else {
            errors.extend(one_of(status, &["False", "True", "Unknown"], &field.child("status")));
        }
        let opposite = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !opposite.is_empty() && has(&all[..i], opposite) {
            errors.push(Error::invalid(path, kind, "Approved and Denied conditions are mutually exclusive"));
        }
        if has(&all[..i], kind) {
            errors.push(Error::duplicate(&field.child("type"), kind));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn requests() {
        let check = |spec: Value| field::aggregate(&validate(&value!({"spec": spec})));
        let shown = [
            check(value!({"request": "aGVsbG8=", "usages": ["odd", "odd"], "signerName": "a_b.example.com/x"})),
            check(value!({"usages": ["any"], "signerName": "example/x"})),
            check(value!({"request": "", "usages": ["any"], "signerName": "example.com"})),
        ]
        .join("\n");
        expect_test::expect![[r#"
            [spec.request: Invalid value: "aGVsbG8=": PEM block type must be CERTIFICATE REQUEST, spec.usages[0]: Unsupported value: "odd": supported values: "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping", spec.usages[1]: Unsupported value: "odd": supported values: "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping", spec.usages[1]: Duplicate value: "odd", spec.signerName: Invalid value: "a_b.example.com": validating label "a_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')]
            [spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST, spec.signerName: Invalid value: "example": should be a domain with at least two segments separated by dots]
            [spec.request: Invalid value: "": PEM block type must be CERTIFICATE REQUEST, spec.signerName: Invalid value: "example.com": must be a fully qualified domain and path of the form 'example.com/signer-name']"#]].assert_eq(&shown);
    }

    #[test]
    fn decisions() {
        let with = |list: Value| value!({"status": {"conditions": list}});
        let approved = value!({"type": "Approved", "status": "True"});
        let denied = value!({"type": "Denied", "status": "True"});
        let old = with(Value::Array(vec![approved.clone()]));
        let show = |new: &Value| field::aggregate(&validate_approval(new, &old));
        expect_test::expect![[
            r#"status.conditions: Forbidden: updates may not remove a condition of type "Approved""#
        ]]
        .assert_eq(&show(&with(value!([]))));
        expect_test::expect![[
            r#"status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive"#
        ]]
        .assert_eq(&show(&with(Value::Array(vec![approved, denied]))));
    }
}
