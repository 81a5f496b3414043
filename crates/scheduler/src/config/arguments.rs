//! What `pluginConfig` sets: the arguments of one plugin.

use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use machinery::Value;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::file::ConfigError;
use super::{Profile, Shape, Strategy};

/// Takes over the arguments of the plugin called `name`.
pub fn apply(profile: &mut Profile, name: &str, args: &Value) -> Result<(), ConfigError> {
    match name {
        "DefaultPreemption" => preemption(profile, read(name, args)?),
        "InterPodAffinity" => affinity(profile, read(name, args)?),
        "NodeAffinity" => profile.added_affinity = read::<NodeAffinityArgs>(name, args)?.added_affinity,
        "NodeResourcesFit" => fit(profile, read(name, args)?)?,
        "NodeResourcesBalancedAllocation" => balanced(profile, read(name, args)?)?,
        "PodTopologySpread" => spread(profile, read(name, args)?)?,
        "VolumeBinding" => volumes(profile, read(name, args)?)?,
        "DynamicResources" => return Err(ConfigError::Unsupported("arguments of the plugin DynamicResources".into())),
        _ => return Err(ConfigError::Invalid(format!("the plugin {name:?} takes no arguments"))),
    }
    Ok(())
}

fn read<T: DeserializeOwned>(name: &str, args: &Value) -> Result<T, ConfigError> {
    let mut args = args.clone();
    if let Some(object) = args.as_object_mut() {
        let kind = object.remove("kind");
        let expected = format!("{name}Args");
        if kind.as_ref().and_then(Value::as_str).is_some_and(|kind| kind != expected) {
            return Err(ConfigError::Invalid(format!("the arguments of plugin {name} must be of kind {expected}")));
        }
        object.remove("apiVersion");
    }
    machinery::from_value(&args)
        .map_err(|error| ConfigError::Invalid(format!("decoding args for plugin {name}: {error}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DefaultPreemptionArgs {
    min_candidate_nodes_percentage: Option<usize>,
    min_candidate_nodes_absolute: Option<usize>,
}

fn preemption(profile: &mut Profile, args: DefaultPreemptionArgs) {
    profile.preemption_percentage = args.min_candidate_nodes_percentage.unwrap_or(10);
    profile.preemption_minimum = args.min_candidate_nodes_absolute.unwrap_or(100);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InterPodAffinityArgs {
    hard_pod_affinity_weight: Option<i64>,
    #[serde(default)]
    ignore_preferred_terms_of_existing_pods: bool,
}

fn affinity(profile: &mut Profile, args: InterPodAffinityArgs) {
    profile.hard_pod_affinity_weight = args.hard_pod_affinity_weight.unwrap_or(1);
    profile.ignore_preferences_of_placed = args.ignore_preferred_terms_of_existing_pods;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeAffinityArgs {
    added_affinity: Option<NodeAffinity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FitArgs {
    #[serde(default)]
    ignored_resources: Vec<String>,
    #[serde(default)]
    ignored_resource_groups: Vec<String>,
    scoring_strategy: Option<ScoringStrategy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScoringStrategy {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    resources: Vec<Weighted>,
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Weighted {
    name: String,
    weight: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ratio {
    shape: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Point {
    utilization: i64,
    score: i64,
}

fn fit(profile: &mut Profile, args: FitArgs) -> Result<(), ConfigError> {
    profile.ignored_resources = args.ignored_resources.into_iter().collect();
    profile.ignored_resource_groups = args.ignored_resource_groups.into_iter().collect();
    let Some(strategy) = args.scoring_strategy else { return Ok(()) };
    profile.fit_strategy = match strategy.kind.as_deref() {
        None | Some("LeastAllocated") => Strategy::LeastAllocated,
        Some("MostAllocated") => Strategy::MostAllocated,
        Some("RequestedToCapacityRatio") => {
            let shape = strategy.requested_to_capacity_ratio.map(|ratio| ratio.shape).unwrap_or_default();
            Strategy::RequestedToCapacityRatio(points(shape)?)
        }
        Some(other) => return Err(ConfigError::Invalid(format!("scoringStrategy.type: Unsupported value: {other:?}"))),
    };
    if !strategy.resources.is_empty() {
        profile.fit_resources = strategy.resources.into_iter().map(|r| (r.name, r.weight.unwrap_or(1))).collect();
    }
    if profile.fit_resources.iter().any(|(_, weight)| !(1..=100).contains(weight)) {
        return Err(ConfigError::Invalid("scoringStrategy.resources: weights are from 1 to 100".into()));
    }
    Ok(())
}

fn points(shape: Vec<Point>) -> Result<Vec<Shape>, ConfigError> {
    let fits = |point: &Point| (0..=100).contains(&point.utilization) && (0..=10).contains(&point.score);
    let rising = shape.windows(2).all(|pair| pair[0].utilization < pair[1].utilization);
    if shape.is_empty() || !rising || !shape.iter().all(fits) {
        let text = "shape: at least one point is needed, utilization (0 to 100) must rise, scores are from 0 to 10";
        return Err(ConfigError::Invalid(text.into()));
    }
    Ok(shape.into_iter().map(|point| Shape { utilization: point.utilization, score: point.score }).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BalancedArgs {
    resources: Vec<Weighted>,
}

fn balanced(profile: &mut Profile, args: BalancedArgs) -> Result<(), ConfigError> {
    if args.resources.iter().any(|resource| resource.weight.unwrap_or(1) != 1) {
        return Err(ConfigError::Invalid("resources: the weight of a balanced resource is 1".into()));
    }
    profile.balanced_resources = args.resources.into_iter().map(|resource| resource.name).collect();
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SpreadArgs {
    #[serde(default)]
    default_constraints: Vec<TopologySpreadConstraint>,
    defaulting_type: Option<String>,
}

fn spread(profile: &mut Profile, args: SpreadArgs) -> Result<(), ConfigError> {
    match args.defaulting_type.as_deref() {
        Some("List") => {
            if args.default_constraints.iter().any(|constraint| constraint.label_selector.is_some()) {
                let text = "defaultConstraints: labelSelector is worked out from the pod's owners and must be absent";
                return Err(ConfigError::Invalid(text.into()));
            }
            profile.spread_defaults = args.default_constraints;
            profile.system_spread_defaults = false;
            Ok(())
        }
        None | Some("System") if args.default_constraints.is_empty() => Ok(()),
        None | Some("System") => {
            Err(ConfigError::Invalid("defaultConstraints: not allowed when defaultingType is System".into()))
        }
        Some(other) => Err(ConfigError::Invalid(format!("defaultingType: Unsupported value: {other:?}"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VolumeArgs {
    bind_timeout_seconds: Option<u64>,
    shape: Option<Value>,
}

fn volumes(profile: &mut Profile, args: VolumeArgs) -> Result<(), ConfigError> {
    if args.shape.is_some() {
        return Err(ConfigError::Unsupported("the shape of VolumeBindingArgs (feature StorageCapacityScoring)".into()));
    }
    profile.volume_timeout = args.bind_timeout_seconds.map_or(profile.volume_timeout, Duration::from_secs);
    Ok(())
}
