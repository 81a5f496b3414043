//! CSIDriver: what a storage driver can do and wants from the cluster.

use jiff::Timestamp;
use machinery::field::{Error, Errors, Path};
use machinery::{Value, meta};

use crate::kind::{BASE, Context, Kind, Writes};
use crate::pod_spec::default::{set_absent, set_in};
use crate::strategy::immutable;
use crate::table::{AGE, Describe, NAME, age, boolean, text};
use crate::validate::{one_of, one_of_if_set};

const SPEC: &str = "io.k8s.api.storage.v1.CSIDriverSpec";
const LEAST_TOKEN_SECONDS: i64 = 600;
const MOST_TOKEN_SECONDS: i64 = 1 << 32;
const LEAST_UPDATE_PERIOD_SECONDS: i64 = 10;

/// A field of a feature that is not on by default.
const ALPHA: [&str; 2] = ["spec", "preventPodSchedulingIfMissing"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    kind: "CSIDriver",
    plural: "csidrivers",
    namespaced: false,
    storage: "csidrivers",
    schema: "io.k8s.api.storage.v1.CSIDriver",
    columns: &[
        NAME,
        boolean("AttachRequired", Describe::Field(SPEC, "attachRequired")),
        boolean("PodInfoOnMount", Describe::Field(SPEC, "podInfoOnMount")),
        boolean("StorageCapacity", Describe::Field(SPEC, "storageCapacity")),
        text("TokenRequests", Describe::Field(SPEC, "tokenRequests")),
        boolean("RequiresRepublish", Describe::Field(SPEC, "requiresRepublish")),
        text("Modes", Describe::Field(SPEC, "volumeLifecycleModes")),
        AGE,
    ],
    row,
    writes: Writes { create_on_update: false, unconditional: false },
    default,
    prepare_create: |driver, _| drop_alpha(driver),
    prepare_update,
    validate: |driver| spec(driver.get("spec").unwrap_or(&Value::Null)),
    validate_update,
    ..BASE
};

fn row(driver: &Value, now: Timestamp) -> Vec<Value> {
    let truth = |field: &str, absent: bool| driver.bool_at(&["spec", field]).unwrap_or(absent).into();
    let list = |items: Vec<&str>| items.join(",");
    let modes = list(driver.items_at(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str).collect());
    let tokens = driver.at(&["spec", "tokenRequests"]).filter(|tokens| !tokens.is_null()).map(|_| {
        let tokens = driver.items_at(&["spec", "tokenRequests"]).iter();
        list(tokens.map(|token| token.str_at(&["audience"]).unwrap_or_default()).collect())
    });
    vec![
        meta::name(driver).into(),
        truth("attachRequired", true),
        truth("podInfoOnMount", false),
        truth("storageCapacity", false),
        tokens.unwrap_or_else(|| "<unset>".to_owned()).into(),
        truth("requiresRepublish", false),
        if modes.is_empty() { "<none>".into() } else { modes.into() },
        age(driver, now),
    ]
}

fn default(driver: &mut Value) {
    set_in(driver, &["spec"], "attachRequired", || Value::Bool(true));
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        set_in(driver, &["spec"], field, || Value::Bool(false));
    }
    set_absent(driver, &["spec"], "fsGroupPolicy", || "ReadWriteOnceWithFSType".into());
    if driver.get("spec").is_some() && driver.items_at(&["spec", "volumeLifecycleModes"]).is_empty() {
        driver.set_at(&["spec", "volumeLifecycleModes"], vec!["Persistent"]);
    }
}

fn drop_alpha(driver: &mut Value) {
    driver.remove_at(&ALPHA);
}

/// What may change of the spec counts as a generation.
fn prepare_update(new: &mut Value, old: &Value, _: &Context<'_>) {
    if old.at(&ALPHA).is_none() {
        drop_alpha(new);
    }
    let counted = [
        "tokenRequests",
        "requiresRepublish",
        "seLinuxMount",
        "nodeAllocatableUpdatePeriodSeconds",
        "serviceAccountTokenInSecrets",
    ];
    if counted.iter().any(|field| new.at(&["spec", field]) != old.at(&["spec", field])) {
        meta::set_generation(new, meta::generation(old) + 1);
    }
}

fn spec(spec: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    errors.extend(one_of_if_set(spec.get("fsGroupPolicy"), &policies, &path.child("fsGroupPolicy")));
    errors.extend(tokens(spec.items_at(&["tokenRequests"]), &path.child("tokenRequests")));
    let field = path.child("volumeLifecycleModes");
    let modes = spec.items_at(&["volumeLifecycleModes"]).iter().filter_map(Value::as_str);
    errors.extend(modes.filter_map(|mode| one_of(mode, &["Persistent", "Ephemeral"], &field)));
    let period = spec.int_at(&["nodeAllocatableUpdatePeriodSeconds"]);
    if let Some(seconds) = period.filter(|seconds| *seconds < LEAST_UPDATE_PERIOD_SECONDS) {
        let detail = "must be greater than or equal to 10 seconds";
        errors.push(Error::invalid(&path.child("nodeAllocatableUpdatePeriodSeconds"), seconds, detail));
    }
    let in_secrets = spec.bool_at(&["serviceAccountTokenInSecrets"]);
    if let Some(wish) = in_secrets.filter(|_| spec.items_at(&["tokenRequests"]).is_empty()) {
        let detail = "may only be set when tokenRequests is not empty";
        errors.push(Error::invalid(&path.child("serviceAccountTokenInSecrets"), wish, detail));
    }
    errors
}

fn tokens(all: &[Value], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (i, token) in all.iter().enumerate() {
        let path = path.index(i);
        let audience = |token: &Value| token.str_at(&["audience"]).unwrap_or_default().to_owned();
        if all[..i].iter().any(|other| audience(other) == audience(token)) {
            errors.push(Error::duplicate(&path.child("audience"), audience(token)));
            continue;
        }
        let Some(seconds) = token.int_at(&["expirationSeconds"]) else { continue };
        let path = path.child("expirationSeconds");
        if seconds < LEAST_TOKEN_SECONDS {
            errors.push(Error::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > MOST_TOKEN_SECONDS {
            errors.push(Error::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
    errors
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = spec(new.get("spec").unwrap_or(&Value::Null));
    // The first is upstream's name for the field `attachRequired`.
    for (field, shown) in [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")] {
        let path = Path::new("spec").child(shown);
        errors.extend(immutable(new.at(&["spec", field]), old.at(&["spec", field]), &path));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use machinery::{field, value};

    #[test]
    fn specs() {
        let table = [
            value!({"tokenRequests": [{"audience": "a", "expirationSeconds": 5}, {"audience": "a"}]}),
            value!({"serviceAccountTokenInSecrets": true, "nodeAllocatableUpdatePeriodSeconds": 9}),
            value!({"serviceAccountTokenInSecrets": true, "tokenRequests": [{"audience": ""}]}),
        ];
        let shown = table.map(|one| field::aggregate(&spec(&one))).join("\n");
        expect_test::expect![[r#"
            [spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes, spec.tokenRequests[1].audience: Duplicate value: "a"]
            [spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds, spec.serviceAccountTokenInSecrets: Invalid value: true: may only be set when tokenRequests is not empty]
            []"#]].assert_eq(&shown);
    }
}
