//! What the plugin is told by a file: `PodSecurityConfiguration` of `pod-security.admission.config.k8s.io/v1`.

use machinery::Value;

use super::metrics::Counts;
use super::policy::{Level, Policy, Standard, Version};

/// What counts where a namespace says nothing, and who is left alone.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// What is counted of the plugin's decisions.
    pub counts: Counts,
    pub(super) defaults: Policy,
    users: Vec<String>,
    namespaces: Vec<String>,
    runtime_classes: Vec<String>,
}

impl Configuration {
    /// Reads a `PodSecurityConfiguration`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(file: &Value) -> Result<Self, String> {
        let kind = (file.str_at(&["apiVersion"]), file.str_at(&["kind"]));
        if kind != (Some("pod-security.admission.config.k8s.io/v1"), Some("PodSecurityConfiguration")) {
            return Err("it is no PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1".to_owned());
        }
        read_standard(file, "audit")?;
        let defaults = Policy { enforce: read_standard(file, "enforce")?, warn: read_standard(file, "warn")? };
        let list = |field: &str| {
            let names = file.items_at(&["exemptions", field]).iter();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (users, namespaces, runtime_classes) = (list("usernames"), list("namespaces"), list("runtimeClasses"));
        Ok(Self { counts: Counts::default(), defaults, users, namespaces, runtime_classes })
    }

    /// Whether pods that this user makes are left alone.
    #[must_use]
    pub fn spares_user(&self, name: &str) -> bool {
        self.users.iter().any(|user| user == name)
    }

    /// Whether the pods of this namespace are left alone.
    #[must_use]
    pub fn spares_namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|namespace| namespace == name)
    }

    pub(super) fn spares_runtime_class(&self, spec: &Value) -> bool {
        let class = spec.str_at(&["runtimeClassName"]);
        class.is_some_and(|class| self.runtime_classes.iter().any(|spared| spared == class))
    }
}

fn read_standard(file: &Value, mode: &str) -> Result<Standard, String> {
    let (level, version) = (mode.to_owned(), format!("{mode}-version"));
    let text = |field: &str| file.str_at(&["defaults", field]).filter(|text| !text.is_empty());
    let wrong = |field: &str, value: &str| format!("defaults.{field}: {value:?} is not one of those that are known");
    Ok(Standard {
        level: text(&level).map_or(Ok(Level::Privileged), |l| Level::parse(l).ok_or_else(|| wrong(&level, l)))?,
        version: text(&version)
            .map_or(Ok(Version::default()), |v| Version::parse(v).ok_or_else(|| wrong(&version, v)))?,
    })
}

#[cfg(test)]
mod tests {
    use machinery::yaml;

    use super::*;

    #[test]
    fn defaults_and_exemptions() {
        let read = |rest: &str| {
            let head = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n";
            Configuration::read(&yaml::parse(&format!("{head}{rest}")).unwrap())
        };
        let full = read("defaults: {enforce: baseline, enforce-version: v1.30, warn: restricted}\nexemptions: {usernames: [u], runtimeClasses: [r]}").unwrap();
        assert_eq!(
            (full.defaults.enforce.to_string(), full.defaults.warn.to_string()),
            ("baseline:v1.30".to_owned(), "restricted:latest".to_owned())
        );
        assert!(full.spares_user("u") && !full.spares_namespace("u"));
        assert!(full.spares_runtime_class(&machinery::value!({"runtimeClassName": "r"})));
        assert_eq!(
            read("defaults: {warn: odd}").unwrap_err(),
            "defaults.warn: \"odd\" is not one of those that are known"
        );
    }
}
