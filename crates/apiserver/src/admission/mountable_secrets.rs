//! ServiceAccount's second half: a service account may say that its pods use only the secrets that it lists.

use std::collections::BTreeSet;

use machinery::{Status, Value, meta};

use super::Request;

/// The annotation of a service account whose list of secrets is binding.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Refuses a pod that uses a secret which its service account does not list.
pub(super) fn of_pod(request: &Request<'_>, account: &Value) -> Result<(), Status> {
    if !is_binding(account) {
        return Ok(());
    }
    let pod = &*request.object;
    let problem = volumes(pod, account)
        .or_else(|| containers(pod, account, "initContainers", "init container"))
        .or_else(|| containers(pod, account, "containers", "container"))
        .or_else(|| pull_secrets(pod, account));
    problem.map_or(Ok(()), |why| Err(request.forbidden(why)))
}

/// Refuses ephemeral containers that do.
pub(super) fn of_ephemeral_containers(request: &Request<'_>, account: &Value) -> Result<(), Status> {
    if !is_binding(account) {
        return Ok(());
    }
    let problem = containers(request.object, account, "ephemeralContainers", "ephemeral container");
    problem.map_or(Ok(()), |why| Err(request.forbidden(why)))
}

/// The annotation holds a truth as Go's `strconv.ParseBool` reads it.
fn is_binding(account: &Value) -> bool {
    matches!(meta::annotation(account, ENFORCE), Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

fn names<'a>(account: &'a Value, field: &str) -> BTreeSet<&'a str> {
    account.items_at(&[field]).iter().filter_map(|secret| secret.str_at(&["name"])).collect()
}

/// The end of most sentences.
fn not_listed(secret: &str, account: &Value) -> String {
    let account = meta::name(account);
    format!(
        "secret.secretName=\"{secret}\" is not allowed because service account {account} does not reference that secret"
    )
}

fn volumes(pod: &Value, account: &Value) -> Option<String> {
    let listed = names(account, "secrets");
    let volumes = pod.items_at(&["spec", "volumes"]).iter();
    let mut used = volumes.filter_map(|volume| volume.get("secret")?.str_at(&["secretName"]));
    let secret = used.find(|secret| !listed.contains(secret))?;
    Some(format!("volume with {}", not_listed(secret, account)))
}

fn containers(pod: &Value, account: &Value, list: &str, noun: &str) -> Option<String> {
    let listed = names(account, "secrets");
    for container in pod.items_at(&["spec", list]) {
        let name = container.str_at(&["name"]).unwrap_or_default();
        for env in container.items_at(&["env"]) {
            let secret = env.str_at(&["valueFrom", "secretKeyRef", "name"]);
            if let Some(secret) = secret.filter(|secret| !listed.contains(secret)) {
                let variable = env.str_at(&["name"]).unwrap_or_default();
                let why = not_listed(secret, account);
                return Some(format!("{noun} {name} with envVar {variable} referencing {why}"));
            }
        }
        let sources = container.items_at(&["envFrom"]).iter();
        let mut used = sources.filter_map(|source| source.str_at(&["secretRef", "name"]));
        if let Some(secret) = used.find(|secret| !listed.contains(secret)) {
            return Some(format!("{noun} {name} with envFrom referencing {}", not_listed(secret, account)));
        }
    }
    None
}

fn pull_secrets(pod: &Value, account: &Value) -> Option<String> {
    let listed = names(account, "imagePullSecrets");
    let secrets = pod.items_at(&["spec", "imagePullSecrets"]).iter();
    let mut used = secrets.map(|secret| secret.str_at(&["name"]).unwrap_or_default()).enumerate();
    let (at, secret) = used.find(|(_, secret)| !listed.contains(secret))?;
    Some(format!(
        "imagePullSecrets[{at}].name=\"{secret}\" is not allowed because service account {} does not reference that imagePullSecret",
        meta::name(account)
    ))
}

#[cfg(test)]
mod tests {
    use machinery::{Value, yaml};

    use super::super::testing::{ask, request};
    use super::super::{Objects, Operation, service_account};
    use crate::User;

    #[test]
    fn secrets_that_the_account_does_not_list() {
        let account = |enforce: &str| {
            yaml::parse(&format!(
                "{{kind: ServiceAccount, metadata: {{name: default, namespace: ns, annotations: {{kubernetes.io/enforce-mountable-secrets: '{enforce}'}}}}, \
                 secrets: [{{name: good}}], imagePullSecrets: [{{name: pull}}]}}"
            ))
            .unwrap()
        };
        let user = User::new("u", &[]);
        let try_pod = |enforce: &str, spec: &str| {
            let mut pod: Value = yaml::parse(&format!("{{metadata: {{name: p}}, spec: {{{spec}}}}}")).unwrap();
            let objects = Objects::default().with("", "serviceaccounts", account(enforce));
            let mut request = request(Operation::Create, ("", "pods"), &mut pod, None, &user);
            let shown = ask(&service_account::PLUGIN, &mut request, &objects);
            shown.split_once("is forbidden: ").map_or("allowed".to_owned(), |(_, why)| why.to_owned())
        };
        let bad_volume = "volumes: [{name: v, secret: {secretName: bad}}]";
        let shown = [
            try_pod("false", bad_volume),
            try_pod("true", "volumes: [{name: v, secret: {secretName: good}}]"),
            try_pod("true", bad_volume),
            try_pod(
                "T",
                "initContainers: [{name: c, env: [{name: E, valueFrom: {secretKeyRef: {name: bad, key: k}}}]}]",
            ),
            try_pod("1", "containers: [{name: c, envFrom: [{secretRef: {name: bad}}]}]"),
            try_pod("true", "imagePullSecrets: [{name: pull}, {name: other}]"),
        ];
        expect_test::expect![[r#"
            allowed
            allowed
            volume with secret.secretName="bad" is not allowed because service account default does not reference that secret
            init container c with envVar E referencing secret.secretName="bad" is not allowed because service account default does not reference that secret
            container c with envFrom referencing secret.secretName="bad" is not allowed because service account default does not reference that secret
            imagePullSecrets[1].name="other" is not allowed because service account default does not reference that imagePullSecret"#]]
        .assert_eq(&shown.join("\n"));
    }
}
