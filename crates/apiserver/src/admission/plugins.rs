//! Which plugins run, and what they are told: `--enable-admission-plugins`, `--disable-admission-plugins`,
//! `--admission-control-config-file`.

use base::metrics::Registry;
use machinery::{Status, Value, yaml};

use super::metrics::Timings;
use super::{ALL, Context, Hook, OFF, Plugin, PodSecurity, Request};

/// Why plugins cannot be chosen so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PluginError {
    /// A flag names a plugin that is not here.
    #[error("{flag} plugin {name:?} is unknown")]
    Unknown {
        /// The flag without its dashes.
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// Both flags name a plugin.
    #[error("{0:?} in enable-admission-plugins and disable-admission-plugins overlapped")]
    Both(Vec<String>),
    /// The file cannot be read.
    #[error("reading the admission control configuration: {0}")]
    Configuration(String),
}

/// The plugins of a server.
#[derive(Debug)]
pub struct Plugins {
    chosen: Vec<&'static Plugin>,
    timings: Timings,
    /// The configuration of the plugin PodSecurity.
    pub pod_security: PodSecurity,
}

impl Default for Plugins {
    /// Those that run unless somebody says otherwise.
    fn default() -> Self {
        Self::of(ALL.iter().filter(|plugin| !OFF.contains(&plugin.name)).collect())
    }
}

impl Plugins {
    fn of(chosen: Vec<&'static Plugin>) -> Self {
        Self { timings: Timings::new(chosen.len()), chosen, pod_security: PodSecurity::default() }
    }

    /// What is counted of them.
    #[must_use]
    pub fn registries(&self) -> [Registry; 2] {
        [self.timings.registry.clone(), self.pod_security.counts.registry.clone()]
    }

    /// The default ones with those of `enable` and without those of `disable`.
    ///
    /// # Errors
    /// When a name is not known, or in both lists.
    pub fn choose(enable: &[String], disable: &[String]) -> Result<Self, PluginError> {
        for (flag, names) in [("enable-admission-plugins", enable), ("disable-admission-plugins", disable)] {
            if let Some(name) = names.iter().find(|name| ALL.iter().all(|plugin| plugin.name != **name)) {
                return Err(PluginError::Unknown { flag, name: name.clone() });
            }
        }
        let both: Vec<String> = enable.iter().filter(|name| disable.contains(name)).cloned().collect();
        if !both.is_empty() {
            return Err(PluginError::Both(both));
        }
        let named = |list: &[String], plugin: &Plugin| list.iter().any(|name| name == plugin.name);
        let runs = |plugin: &&Plugin| named(enable, plugin) || (!OFF.contains(&plugin.name) && !named(disable, plugin));
        Ok(Self::of(ALL.iter().filter(runs).collect()))
    }

    /// Takes the plugins' configurations from an `AdmissionConfiguration`; `read` gives the text of another file that
    /// it names.
    ///
    /// # Errors
    /// When it is none, is about a plugin that takes no configuration, or has one that makes no sense.
    pub fn configure(
        mut self,
        text: &str,
        read: impl Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, PluginError> {
        let wrong = |why: String| PluginError::Configuration(why);
        let parse = |text: &str| yaml::parse(text).map_err(|error| wrong(error.to_string()));
        let file: Value = parse(text)?;
        let kind = (file.str_at(&["apiVersion"]), file.str_at(&["kind"]));
        if kind != (Some("apiserver.config.k8s.io/v1"), Some("AdmissionConfiguration")) {
            return Err(wrong("it is no AdmissionConfiguration of apiserver.config.k8s.io/v1".to_owned()));
        }
        for plugin in file.items_at(&["plugins"]) {
            let name = plugin.str_at(&["name"]).unwrap_or_default();
            let own = match plugin.str_at(&["path"]).filter(|path| !path.is_empty()) {
                Some(path) => parse(&read(path).map_err(|error| wrong(format!("{path}: {error}")))?)?,
                None => plugin.get("configuration").cloned().unwrap_or_default(),
            };
            if name != "PodSecurity" {
                return Err(wrong(format!("the plugin {name:?} takes no configuration")));
            }
            self.pod_security = PodSecurity::read(&own).map_err(|why| wrong(format!("{name}: {why}")))?;
        }
        Ok(self)
    }

    /// Whether a plugin runs.
    #[must_use]
    pub fn runs(&self, name: &str) -> bool {
        self.chosen.iter().any(|plugin| plugin.name == name)
    }

    /// Lets the plugins change the request, or refuse it.
    ///
    /// # Errors
    /// The answer of the plugin that refuses.
    pub fn admit(&self, request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
        self.ask(request, context, 0, |plugin| plugin.admit)
    }

    /// Lets the plugins check what the request has become.
    ///
    /// # Errors
    /// The answer of the plugin that refuses.
    pub fn validate(&self, request: &mut Request<'_>, context: &Context<'_>) -> Result<(), Status> {
        self.ask(request, context, 1, |plugin| plugin.validate)
    }

    fn ask(
        &self,
        request: &mut Request<'_>,
        context: &Context<'_>,
        phase: usize,
        hook: impl Fn(&Plugin) -> Option<Hook>,
    ) -> Result<(), Status> {
        let mut step = self.timings.step(phase, request.operation);
        let hooks = self.chosen.iter().enumerate().filter_map(|(at, plugin)| Some((at, plugin.name, hook(plugin)?)));
        let answer = { hooks }.try_for_each(|(at, name, hook)| {
            let answer = hook(request, context);
            step.plugin(at, name, answer.is_err());
            answer
        });
        step.end(answer.is_err());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_upstreams() {
        let names: Vec<&str> = Plugins::default().chosen.iter().map(|plugin| plugin.name).collect();
        expect_test::expect!["NamespaceLifecycle LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition PodSecurity Priority DefaultTolerationSeconds DefaultStorageClass StorageObjectInUseProtection PersistentVolumeClaimResize RuntimeClass CertificateApproval CertificateSigning CertificateSubjectRestriction DefaultIngressClass PodTopologyLabels ResourceQuota"]
            .assert_eq(&names.join(" "));
    }

    #[test]
    fn flags_choose() {
        let choose = |enable: &[&str], disable: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            Plugins::choose(&own(enable), &own(disable))
        };
        let plugins = choose(&["AlwaysPullImages"], &["Priority"]).unwrap();
        assert!(plugins.runs("AlwaysPullImages") && !plugins.runs("Priority") && plugins.runs("LimitRanger"));
        let shown = [
            choose(&["Nope"], &[]).unwrap_err().to_string(),
            choose(&[], &["Nope"]).unwrap_err().to_string(),
            choose(&["Priority"], &["Priority"]).unwrap_err().to_string(),
        ];
        expect_test::expect![[r#"
            enable-admission-plugins plugin "Nope" is unknown
            disable-admission-plugins plugin "Nope" is unknown
            ["Priority"] in enable-admission-plugins and disable-admission-plugins overlapped"#]]
        .assert_eq(&shown.join("\n"));
    }

    #[test]
    fn a_file_configures() {
        let file = "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: PodSecurity, path: ps.yaml}]}";
        let configure = |text: &str| {
            let own = "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, exemptions: {namespaces: [a]}}";
            Plugins::default().configure(text, |_| Ok(own.to_owned())).map(|plugins| plugins.pod_security)
        };
        assert!(configure(file).unwrap().spares_namespace("a"));
        assert_eq!(
            configure("{kind: Pod}").unwrap_err().to_string(),
            "reading the admission control configuration: it is no AdmissionConfiguration of apiserver.config.k8s.io/v1"
        );
    }
}
