//! The configuration file: `KubeSchedulerConfiguration` of kubescheduler.config.k8s.io/v1.

use std::time::Duration;

use machinery::Value;
use serde::Deserialize;

use super::{Profile, Settings, arguments};
use crate::plugins::{self, DEFAULT_PREEMPTION};

/// Plugins of every profile that stand outside the lists of this crate.
const FIXED: [&str; 2] = ["PrioritySort", "DefaultBinder"];

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// It is right, but this scheduler cannot do it.
    #[error("this scheduler does not support {0}")]
    Unsupported(String),
}

/// Which instance works, of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderElection {
    /// Whether instances take turns at all.
    pub enabled: bool,
    /// A leader that did not renew for so long has lost the lead.
    pub lease_duration: Duration,
    /// A leader that cannot renew for so long gives up.
    pub renew_deadline: Duration,
    /// Between attempts.
    pub retry_period: Duration,
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
}

impl Default for LeaderElection {
    fn default() -> Self {
        Self {
            enabled: true,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            namespace: "kube-system".to_owned(),
            name: "kube-scheduler".to_owned(),
        }
    }
}

impl LeaderElection {
    /// Whether the times fit together.
    ///
    /// # Errors
    /// Which do not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: &str| Err(ConfigError::Invalid(text.to_owned()));
        if self.lease_duration <= self.renew_deadline {
            return invalid("leaderElection.leaseDuration: LeaseDuration must be greater than RenewDeadline");
        }
        if self.renew_deadline <= self.retry_period {
            return invalid("leaderElection.renewDeadline: RenewDeadline must be greater than RetryPeriod");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    parallelism: Option<i64>,
    leader_election: Option<Election>,
    client_connection: Option<Connection>,
    percentage_of_nodes_to_score: Option<i64>,
    pod_initial_backoff_seconds: Option<u64>,
    pod_max_backoff_seconds: Option<u64>,
    #[serde(default)]
    profiles: Vec<FileProfile>,
    #[serde(default)]
    extenders: Vec<Value>,
    delay_cache_until_active: Option<bool>,
    enable_profiling: Option<bool>,
    enable_contention_profiling: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Election {
    leader_elect: Option<bool>,
    lease_duration: Option<String>,
    renew_deadline: Option<String>,
    retry_period: Option<String>,
    resource_lock: Option<String>,
    resource_name: Option<String>,
    resource_namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Connection {
    kubeconfig: Option<String>,
    accept_content_types: Option<String>,
    content_type: Option<String>,
    qps: Option<f64>,
    burst: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileProfile {
    scheduler_name: Option<String>,
    percentage_of_nodes_to_score: Option<i64>,
    #[serde(default)]
    plugins: Plugins,
    #[serde(default)]
    plugin_config: Vec<PluginConfig>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Plugins {
    multi_point: Set,
    pre_enqueue: Set,
    queue_sort: Set,
    pre_filter: Set,
    filter: Set,
    post_filter: Set,
    pre_score: Set,
    score: Set,
    reserve: Set,
    permit: Set,
    pre_bind: Set,
    bind: Set,
    post_bind: Set,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Set {
    enabled: Vec<Entry>,
    disabled: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    weight: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PluginConfig {
    name: String,
    args: Value,
}

/// Reads a configuration file.
pub fn parse(text: &[u8]) -> Result<Settings, ConfigError> {
    let text = std::str::from_utf8(text).map_err(|error| ConfigError::Invalid(error.to_string()))?;
    let value = machinery::yaml::parse(text).map_err(|error| ConfigError::Invalid(error.to_string()))?;
    let file: File = machinery::from_value(&value).map_err(|error| ConfigError::Invalid(error.to_string()))?;
    if file.kind != "KubeSchedulerConfiguration" || file.api_version != "kubescheduler.config.k8s.io/v1" {
        let (version, kind) = (&file.api_version, &file.kind);
        return Err(ConfigError::Invalid(format!("no kind {kind:?} is registered for version {version:?}")));
    }
    if !file.extenders.is_empty() {
        return Err(ConfigError::Unsupported("extenders".to_owned()));
    }
    let mut settings = Settings { warnings: warnings(&file), ..Settings::default() };
    if let Some(election) = file.leader_election {
        settings.leader_election = election.read()?;
    }
    settings.kubeconfig = file.client_connection.and_then(|connection| connection.kubeconfig);
    settings.first_backoff = file.pod_initial_backoff_seconds.map_or(settings.first_backoff, Duration::from_secs);
    settings.longest_backoff = file.pod_max_backoff_seconds.map_or(settings.longest_backoff, Duration::from_secs);
    if settings.first_backoff.is_zero() || settings.longest_backoff < settings.first_backoff {
        let text = "podInitialBackoffSeconds must be greater than 0 and podMaxBackoffSeconds no less than it";
        return Err(ConfigError::Invalid(text.to_owned()));
    }
    let percentage = percentage(file.percentage_of_nodes_to_score)?.unwrap_or(0);
    if !file.profiles.is_empty() {
        settings.profiles = file.profiles.into_iter().map(FileProfile::read).collect::<Result<_, _>>()?;
    }
    for profile in &mut settings.profiles {
        if profile.percentage_of_nodes == 0 {
            profile.percentage_of_nodes = percentage;
        }
    }
    let mut names: Vec<&str> = settings.profiles.iter().map(|profile| profile.scheduler_name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ConfigError::Invalid(format!("profiles: Duplicate value: {:?}", pair[0])));
    }
    Ok(settings)
}

/// What is accepted though it changes nothing here.
fn warnings(file: &File) -> Vec<String> {
    let connection = file.client_connection.as_ref();
    let content = connection.is_some_and(|c| c.accept_content_types.is_some() || c.content_type.is_some());
    let rate = connection.is_some_and(|c| c.qps.is_some() || c.burst.is_some());
    let profiling = file.enable_profiling == Some(true) || file.enable_contention_profiling == Some(true);
    [
        (file.parallelism.is_some(), "parallelism has no effect: one thread decides"),
        (rate, "clientConnection.qps and burst have no effect: requests are not throttled here"),
        (content, "content types of clientConnection have no effect: requests are JSON"),
        (profiling, "profiling over HTTP is not there"),
        (file.delay_cache_until_active == Some(true), "delayCacheUntilActive is always so: only a leader has a cache"),
    ]
    .into_iter()
    .filter(|(said, _)| *said)
    .map(|(_, text)| text.to_owned())
    .collect()
}

fn percentage(value: Option<i64>) -> Result<Option<usize>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    let valid = usize::try_from(value).ok().filter(|value| *value <= 100);
    valid.map(Some).ok_or_else(|| {
        ConfigError::Invalid(format!("percentageOfNodesToScore: Invalid value: {value}: not in valid range [0-100]"))
    })
}

impl Election {
    fn read(self) -> Result<LeaderElection, ConfigError> {
        let mut election = LeaderElection::default();
        if self.resource_lock.as_deref().is_some_and(|lock| lock != "leases") {
            return Err(ConfigError::Invalid("leaderElection.resourceLock: must be \"leases\"".to_owned()));
        }
        let set = |target: &mut Duration, text: Option<String>| -> Result<(), ConfigError> {
            if let Some(text) = text {
                *target = duration(&text)?;
            }
            Ok(())
        };
        set(&mut election.lease_duration, self.lease_duration)?;
        set(&mut election.renew_deadline, self.renew_deadline)?;
        set(&mut election.retry_period, self.retry_period)?;
        election.enabled = self.leader_elect.unwrap_or(true);
        election.name = self.resource_name.unwrap_or(election.name);
        election.namespace = self.resource_namespace.unwrap_or(election.namespace);
        election.check()?;
        Ok(election)
    }
}

/// A time as Go writes it: `15s`, `1m30s`, `500ms`.
///
/// # Errors
/// Upstream's text when it is none.
pub fn duration(text: &str) -> Result<Duration, ConfigError> {
    let invalid = || ConfigError::Invalid(format!("time: invalid duration {text:?}"));
    let span: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
    Duration::try_from(span).map_err(|_| invalid())
}

impl FileProfile {
    fn read(self) -> Result<Profile, ConfigError> {
        let mut profile = Profile::default();
        if let Some(name) = self.scheduler_name {
            profile.scheduler_name = name;
        }
        profile.percentage_of_nodes = percentage(self.percentage_of_nodes_to_score)?.unwrap_or(0);
        let all = self.plugins;
        let untouchable = [
            (&all.queue_sort, "queueSort"),
            (&all.reserve, "reserve"),
            (&all.permit, "permit"),
            (&all.pre_bind, "preBind"),
            (&all.bind, "bind"),
            (&all.post_bind, "postBind"),
        ];
        for (set, point) in untouchable {
            if !set.disabled.is_empty() {
                return Err(ConfigError::Unsupported(format!("disabling plugins at the extension point {point}")));
            }
            set.enabled.iter().try_for_each(known)?;
        }
        all.multi_point.apply_filters(&mut profile)?;
        all.multi_point.apply_scores(&mut profile)?;
        all.multi_point.apply_preemption(&mut profile)?;
        for set in [&all.pre_enqueue, &all.pre_filter, &all.filter] {
            set.apply_filters(&mut profile)?;
        }
        for set in [&all.pre_score, &all.score] {
            set.apply_scores(&mut profile)?;
        }
        all.post_filter.apply_preemption(&mut profile)?;
        for config in self.plugin_config {
            known(&Entry { name: config.name.clone(), weight: None })?;
            arguments::apply(&mut profile, &config.name, &config.args)?;
        }
        Ok(profile)
    }
}

fn known(entry: &Entry) -> Result<(), ConfigError> {
    let name = entry.name.as_str();
    if plugins::find(name).is_some() || name == DEFAULT_PREEMPTION || FIXED.contains(&name) {
        return Ok(());
    }
    Err(ConfigError::Invalid(format!("initializing profiles: plugin {name:?} does not exist")))
}

impl Set {
    fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|entry| entry.name == "*" || entry.name == name)
    }

    fn apply_filters(&self, profile: &mut Profile) -> Result<(), ConfigError> {
        profile.filters.retain(|plugin| !self.disables(plugin.name));
        for entry in &self.enabled {
            known(entry)?;
            let asked = profile.filters.iter().any(|plugin| plugin.name == entry.name);
            if let Some(plugin) = plugins::find(&entry.name).filter(|plugin| plugin.filters() && !asked) {
                profile.filters.push(plugin);
            }
        }
        Ok(())
    }

    fn apply_scores(&self, profile: &mut Profile) -> Result<(), ConfigError> {
        profile.scores.retain(|(plugin, _)| !self.disables(plugin.name));
        for entry in &self.enabled {
            known(entry)?;
            let Some(plugin) = plugins::find(&entry.name).filter(|plugin| plugin.score.is_some()) else { continue };
            let weight = entry.weight.filter(|weight| *weight != 0);
            match profile.scores.iter_mut().find(|(known, _)| known.name == plugin.name) {
                Some((_, known)) => *known = weight.unwrap_or(*known),
                None => profile.scores.push((plugin, weight.unwrap_or(1))),
            }
        }
        Ok(())
    }

    fn apply_preemption(&self, profile: &mut Profile) -> Result<(), ConfigError> {
        self.enabled.iter().try_for_each(known)?;
        if self.disables(DEFAULT_PREEMPTION) {
            profile.preempts = false;
        }
        profile.preempts |= self.enabled.iter().any(|entry| entry.name == DEFAULT_PREEMPTION);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn read(body: &str) -> Result<Settings, ConfigError> {
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        parse((head.to_owned() + body).as_bytes())
    }

    #[test]
    fn profiles() {
        let settings = read(
            "leaderElection: {leaderElect: false, leaseDuration: 30s}
percentageOfNodesToScore: 40
podInitialBackoffSeconds: 2
profiles:
- schedulerName: packer
  percentageOfNodesToScore: 70
  plugins:
    score:
      disabled: [{name: '*'}]
      enabled: [{name: NodeResourcesFit, weight: 5}]
    multiPoint:
      disabled: [{name: DefaultPreemption}, {name: VolumeZone}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 3}]}
  - name: PodTopologySpread
    args: {defaultingType: List, defaultConstraints: []}
- schedulerName: plain
",
        )
        .unwrap();
        let packer = &settings.profiles[0];
        let scores: Vec<_> = packer.scores.iter().map(|(plugin, weight)| (plugin.name, *weight)).collect();
        assert_eq!(scores, [("NodeResourcesFit", 5)]);
        assert_eq!((packer.preempts, packer.asks("VolumeZone"), packer.asks("NodeName")), (false, false, true));
        assert_eq!(
            (&packer.fit_strategy, &*packer.fit_resources),
            (&Strategy::MostAllocated, &[("cpu".into(), 3)][..])
        );
        assert!(packer.spread_defaults.is_empty());
        assert_eq!(settings.profiles.iter().map(|p| p.percentage_of_nodes).collect::<Vec<_>>(), [70, 40]);
        assert_eq!(settings.profile("plain"), Some(1));
        assert_eq!(settings.leader_election.lease_duration, Duration::from_secs(30));
        assert!(!settings.leader_election.enabled);
    }

    use super::super::Strategy;

    #[test]
    fn what_is_wrong_is_said() {
        let mut text = String::new();
        for body in [
            "extenders: [{urlPrefix: 'http://x'}]",
            "profiles: [{plugins: {filter: {enabled: [{name: Mine}]}}}]",
            "profiles: [{plugins: {bind: {disabled: [{name: '*'}]}}}]",
            "profiles: [{}, {}]",
            "percentageOfNodesToScore: 101",
            "leaderElection: {leaseDuration: 5s}",
            "leaderElection: {leaseDuration: long}",
            "podInitialBackoffSeconds: 20",
            "profiles: [{pluginConfig: [{name: NodeName, args: {}}]}]",
        ] {
            let error = read(body).err().map_or_else(|| "accepted".to_owned(), |error| error.to_string());
            text += &(error + "\n");
        }
        expect![[r#"
            this scheduler does not support extenders
            initializing profiles: plugin "Mine" does not exist
            this scheduler does not support disabling plugins at the extension point bind
            profiles: Duplicate value: "default-scheduler"
            percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]
            leaderElection.leaseDuration: LeaseDuration must be greater than RenewDeadline
            time: invalid duration "long"
            podInitialBackoffSeconds must be greater than 0 and podMaxBackoffSeconds no less than it
            the plugin "NodeName" takes no arguments
        "#]]
        .assert_eq(&text);
        assert!(read("nonsense: 1").is_err());
    }
}
