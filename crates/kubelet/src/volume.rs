//! Volumes: from what a pod names to directories of the node, one file a kind.

pub mod atomic;
mod empty_dir;
mod host_path;
mod ownership;
pub mod payload;
pub mod sub_path;
mod tear_down;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};

pub use self::tear_down::tear_down;
use crate::directories::Directories;
use crate::pod::downward::Addresses;
use crate::pod::spec;
use crate::quantity::Resources;

/// Why a volume is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {detail}")]
pub struct VolumeError {
    /// The volume's name in the pod.
    pub volume: String,
    /// What is missing.
    pub detail: String,
}

/// Where each volume of a pod lies on the node.
pub type Volumes = BTreeMap<String, PathBuf>;

/// What volumes are filled with.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The config maps that the pod names and that exist, by name.
    pub config_maps: BTreeMap<String, Arc<ConfigMap>>,
    /// The secrets that the pod names and that exist, by name.
    pub secrets: BTreeMap<String, Arc<Secret>>,
    /// Tokens by volume name and path.
    pub tokens: BTreeMap<(String, String), String>,
    /// The pod's and the node's addresses.
    pub addresses: Addresses,
    /// What the node offers.
    pub allocatable: Resources,
}

/// Makes or brings up to date every volume of `pod`. Doing it again changes only what is different.
///
/// # Errors
/// For the first volume that cannot be had.
pub fn set_up(pod: &Pod, directories: &Directories, sources: &Sources) -> Result<Volumes, VolumeError> {
    let mut volumes = Volumes::new();
    for volume in spec::spec(pod).volumes.iter().flatten() {
        let path = set_up_one(pod, volume, directories, sources)
            .map_err(|detail| VolumeError { volume: volume.name.clone(), detail })?;
        volumes.insert(volume.name.clone(), path);
    }
    Ok(volumes)
}

fn set_up_one(pod: &Pod, volume: &Volume, directories: &Directories, sources: &Sources) -> Result<PathBuf, String> {
    let path = |plugin: &str| directories.volume(spec::uid(pod), plugin, &volume.name);
    if let Some(source) = &volume.host_path {
        return host_path::set_up(source);
    }
    if let Some(source) = &volume.empty_dir {
        return empty_dir::set_up(pod, source, path("empty-dir"));
    }
    let plugin =
        payload::plugin(volume).ok_or_else(|| format!("{} volumes are not supported by this kubelet", kind(volume)))?;
    let files = payload::files(pod, volume, sources)?;
    let dir = path(plugin);
    let group = ownership::fs_group(pod);
    atomic::write(&dir, &files, group).map_err(|error| format!("writing {}: {error}", dir.display()))?;
    Ok(dir)
}

/// The name of the one source that the volume has.
fn kind(volume: &Volume) -> String {
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let names = fields.as_object().into_iter().flat_map(|fields| fields.keys());
    names.filter(|name| *name != "name").map(String::as_str).collect::<Vec<_>>().join(", ")
}
