//! Groups of the Kubernetes community: who defines a kind there says who agreed (KEP-1111).

use machinery::Value;
use machinery::field::{Error, Path};
use machinery::meta;

const APPROVED: &str = "api-approved.kubernetes.io";
const WHERE_TO_READ: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What the annotation says.
#[derive(PartialEq, Eq)]
enum Approval {
    Missing,
    Bypassed,
    Approved,
    Invalid,
}

/// What is wrong with the approval of a definition; what was so before stays so.
pub(super) fn check(definition: &Value, old: Option<&Value>) -> Option<Error> {
    let group = definition.str_at(&["spec", "group"]).unwrap_or_default();
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")));
    let now = approval(definition);
    if !protected || old.is_some_and(|old| approval(old) == now) {
        return None;
    }
    let path = Path::new("metadata.annotations").key(APPROVED);
    match now {
        Approval::Missing => {
            let detail = format!("protected groups must have approval annotation \"{APPROVED}\", {WHERE_TO_READ}");
            Some(Error::required(&path, detail))
        }
        Approval::Invalid => {
            let detail = format!(
                "protected groups must have approval annotation \"{APPROVED}\" with either a URL or a reason starting \
                 with \"unapproved\", {WHERE_TO_READ}"
            );
            Some(Error::invalid(&path, meta::annotation(definition, APPROVED).unwrap_or_default(), detail))
        }
        Approval::Bypassed | Approval::Approved => None,
    }
}

fn approval(definition: &Value) -> Approval {
    let text = meta::annotation(definition, APPROVED).unwrap_or_default();
    let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && rest.split('/').next().is_some_and(|host| !host.is_empty())
    });
    match text {
        "" => Approval::Missing,
        _ if text.starts_with("unapproved") => Approval::Bypassed,
        _ if is_url => Approval::Approved,
        _ => Approval::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::value;

    #[test]
    fn community_groups() {
        let shown = |group: &str, text: &str| {
            let definition =
                value!({"metadata": {"annotations": {"api-approved.kubernetes.io": text}}, "spec": {"group": group}});
            check(&definition, None).map_or_else(|| "fine".to_owned(), |error| error.to_string())
        };
        let table = [
            ("a.example.com", ""),
            ("a.k8s.io", ""),
            ("a.k8s.io", "x"),
            ("a.k8s.io", "https://h/x"),
            ("k8s.io", "unapproved, ok"),
        ];
        expect_test::expect![[r#"
            fine
            metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111
            metadata.annotations[api-approved.kubernetes.io]: Invalid value: "x": protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111
            fine
            fine"#]]
        .assert_eq(&table.map(|(group, text)| shown(group, text)).join("\n"));
    }
}
