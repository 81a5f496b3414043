//! How objects of one version become those of another.

use machinery::Value;
use machinery::field::{Error, Errors, Path};

use super::names::label;
use crate::validate::{one_of, webhook};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const ONLY_WEBHOOKS: &str = "should not be set when strategy is not set to Webhook";

/// What is wrong with a conversion. The paths are those of the form in which upstream checks it.
pub(super) fn check(conversion: &Value, old: Option<&Value>, path: &Path) -> Errors {
    let strategy = conversion.str_at(&["strategy"]).unwrap_or_default();
    let config = conversion.at(&["webhook", "clientConfig"]).filter(|value| !value.is_null());
    let versions = versions(conversion);
    let [config_path, versions_path] = ["webhookClientConfig", "conversionReviewVersions"].map(|name| path.child(name));
    let mut errors = Errors::new();
    match strategy {
        "" => errors.push(Error::required(&path.child("strategy"), "")),
        _ => errors.extend(one_of(strategy, &["None", "Webhook"], &path.child("strategy"))),
    }
    if strategy != "Webhook" {
        errors.extend(config.map(|_| Error::forbidden(&config_path, ONLY_WEBHOOKS)));
        errors.extend((!versions.is_empty()).then(|| Error::forbidden(&versions_path, ONLY_WEBHOOKS)));
        return errors;
    }
    match config {
        None => errors.push(Error::required(&config_path, "required when strategy is set to Webhook")),
        Some(config) => errors.extend(webhook::client_config(config, &config_path)),
    }
    let old = old.map(self::versions).unwrap_or_default();
    errors.extend(review_versions(versions, old.is_empty() || knows(old), &versions_path));
    errors
}

fn versions(conversion: &Value) -> &[Value] {
    conversion.items_at(&["webhook", "conversionReviewVersions"])
}

fn knows(versions: &[Value]) -> bool {
    versions.iter().filter_map(Value::as_str).any(|version| REVIEW_VERSIONS.contains(&version))
}

fn review_versions(all: &[Value], must_know: bool, path: &Path) -> Errors {
    if all.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = Errors::new();
    for (i, version) in all.iter().map(|version| version.as_str().unwrap_or_default()).enumerate() {
        if all[..i].iter().any(|other| other.as_str() == Some(version)) {
            errors.push(Error::invalid(&path.index(i), version, "duplicate version"));
            continue;
        }
        errors.extend(label(version, "", &path.index(i)));
    }
    if must_know && !knows(all) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(path, all.to_vec(), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn strategies() {
        let table = [
            value!({"strategy": "None", "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v1"]}}),
            value!({"strategy": "Webhook"}),
            value!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "http://a"}, "conversionReviewVersions": ["v2", "v2"]}}),
        ];
        let shown = table.map(|one| field::aggregate(&check(&one, None, &Path::new("c")))).join("\n");
        expect_test::expect![[r#"
            [c.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook, c.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook]
            [c.webhookClientConfig: Required value: required when strategy is set to Webhook, c.conversionReviewVersions: Required value]
            [c.webhookClientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path], c.conversionReviewVersions[1]: Invalid value: "v2": duplicate version, c.conversionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1]"#]]
        .assert_eq(&shown);
    }
}
