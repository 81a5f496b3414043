//! What configMap, secret, downwardAPI and projected volumes hold: files by path, worked out before any is written.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::Sources;
use crate::pod::{downward, spec};

const DEFAULT_MODE: i32 = 0o644;

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Who owns it, if not root: a token's reader.
    pub owner: Option<u32>,
}

/// Files by their path in the volume.
pub type Files = BTreeMap<String, File>;

/// The directory name of the volume's plugin; `None` when the volume is of another kind.
#[must_use]
pub fn plugin(volume: &Volume) -> Option<&'static str> {
    if volume.config_map.is_some() {
        Some("configmap")
    } else if volume.secret.is_some() {
        Some("secret")
    } else if volume.downward_api.is_some() {
        Some("downward-api")
    } else {
        volume.projected.is_some().then_some("projected")
    }
}

/// The tokens that a pod's volumes ask for, by volume name.
pub fn tokens(pod: &Pod) -> impl Iterator<Item = (&str, &ServiceAccountTokenProjection)> {
    spec::spec(pod).volumes.iter().flatten().flat_map(|volume| {
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        sources.filter_map(|source| source.service_account_token.as_ref()).map(|token| (volume.name.as_str(), token))
    })
}

/// The files of `volume`.
///
/// # Errors
/// When a source is missing that is not optional.
pub fn files(pod: &Pod, volume: &Volume, sources: &Sources) -> Result<Files, String> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let mode = mode(source.default_mode, None);
        config_map(sources, &source.name, source.items.as_deref(), source.optional, mode, &mut files)?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        secret(sources, name, source.items.as_deref(), source.optional, mode(source.default_mode, None), &mut files)?;
    } else if let Some(source) = &volume.downward_api {
        fields(pod, sources, source.items.as_deref(), mode(source.default_mode, None), &mut files)?;
    } else if let Some(source) = &volume.projected {
        let mode = mode(source.default_mode, None);
        for projection in source.sources.iter().flatten() {
            project(pod, volume, sources, projection, mode, &mut files)?;
        }
    }
    Ok(files)
}

fn project(
    pod: &Pod,
    volume: &Volume,
    sources: &Sources,
    projection: &VolumeProjection,
    mode: u32,
    files: &mut Files,
) -> Result<(), String> {
    if let Some(source) = &projection.config_map {
        config_map(sources, &source.name, source.items.as_deref(), source.optional, mode, files)?;
    }
    if let Some(source) = &projection.secret {
        secret(sources, &source.name, source.items.as_deref(), source.optional, mode, files)?;
    }
    if let Some(source) = &projection.downward_api {
        fields(pod, sources, source.items.as_deref(), mode, files)?;
    }
    if let Some(source) = &projection.service_account_token {
        let key = (volume.name.clone(), source.path.clone());
        let token = sources.tokens.get(&key).ok_or_else(|| "failed to fetch token".to_owned())?;
        let (mode, owner) = token_access(pod, mode);
        files.insert(source.path.clone(), File { bytes: token.clone().into_bytes(), mode, owner });
    }
    if projection.cluster_trust_bundle.is_some() || projection.pod_certificate.is_some() {
        return Err("clusterTrustBundle and podCertificate projections are not supported by this kubelet".to_owned());
    }
    Ok(())
}

/// A token is for the pod's user alone: with fsGroup its group may read it, with one user for all containers it is
/// that user's, else everyone in the pod may read it.
fn token_access(pod: &Pod, mode: u32) -> (u32, Option<u32>) {
    let context = spec::spec(pod).security_context.as_ref();
    if context.and_then(|context| context.fs_group).is_some() {
        return (0o640, None);
    }
    let user = |container: &k8s_openapi::api::core::v1::Container| {
        let own = container.security_context.as_ref().and_then(|own| own.run_as_user);
        own.or(context.and_then(|context| context.run_as_user))
    };
    let mut users = spec::containers(pod).map(|(_, container)| user(container));
    match users.next().flatten() {
        Some(first) if users.all(|other| other == Some(first)) => (0o600, u32::try_from(first).ok()),
        _ => (mode, None),
    }
}

fn config_map(
    sources: &Sources,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
    files: &mut Files,
) -> Result<(), String> {
    let Some(map) = sources.config_maps.get(name) else { return absent("configmap", name, optional) };
    keys(&of_config_map(map), items, optional, mode, "configmap references non-existent config key", files)
}

fn of_config_map(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    text.chain(map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()))).collect()
}

fn secret(
    sources: &Sources,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: u32,
    files: &mut Files,
) -> Result<(), String> {
    let Some(secret) = sources.secrets.get(name) else { return absent("secret", name, optional) };
    keys(&of_secret(secret), items, optional, mode, "references non-existent secret key", files)
}

fn of_secret(secret: &Secret) -> BTreeMap<&str, &[u8]> {
    secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect()
}

fn keys(
    data: &BTreeMap<&str, &[u8]>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    default: u32,
    complaint: &str,
    files: &mut Files,
) -> Result<(), String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let all = data.iter();
        files.extend(
            all.map(|(key, bytes)| ((*key).to_owned(), File { bytes: bytes.to_vec(), mode: default, owner: None })),
        );
        return Ok(());
    };
    for item in items {
        match data.get(item.key.as_str()) {
            Some(bytes) => {
                let file =
                    File { bytes: bytes.to_vec(), mode: mode(Some(default.cast_signed()), item.mode), owner: None };
                files.insert(item.path.clone(), file);
            }
            None if optional == Some(true) => {}
            None => return Err(format!("{complaint}: {}", item.key)),
        }
    }
    Ok(())
}

fn fields(
    pod: &Pod,
    sources: &Sources,
    items: Option<&[DownwardAPIVolumeFile]>,
    default: u32,
    files: &mut Files,
) -> Result<(), String> {
    for item in items.unwrap_or_default() {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => downward::field(pod, &field.field_path, &sources.addresses)?,
            (None, Some(resource)) => {
                let name = resource.container_name.as_deref().unwrap_or_default();
                let (_, container) = spec::container(pod, name).ok_or_else(|| format!("container {name} not found"))?;
                downward::resource(container, &resource.resource, resource.divisor.as_ref(), &sources.allocatable)?
            }
            (None, None) => String::new(),
        };
        let mode = mode(Some(default.cast_signed()), item.mode);
        files.insert(item.path.clone(), File { bytes: text.into_bytes(), mode, owner: None });
    }
    Ok(())
}

fn absent(kind: &str, name: &str, optional: Option<bool>) -> Result<(), String> {
    if optional == Some(true) { Ok(()) } else { Err(format!("{kind} \"{name}\" not found")) }
}

fn mode(default: Option<i32>, own: Option<i32>) -> u32 {
    own.or(default).unwrap_or(DEFAULT_MODE).cast_unsigned() & 0o777
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn show(volume: serde_json::Value, sources: &Sources) -> String {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"a": "1"}},
            "spec": {"containers": [{"name": "c"}], "volumes": [volume]}
        }))
        .unwrap();
        match files(&pod, &spec::spec(&pod).volumes.as_ref().unwrap()[0], sources) {
            Ok(files) => {
                let show = |(path, file): (&String, &File)| {
                    format!("{path} {:o} {}", file.mode, String::from_utf8_lossy(&file.bytes))
                };
                files.iter().map(show).collect::<Vec<_>>().join(", ")
            }
            Err(error) => error,
        }
    }

    #[test]
    fn files_of_all_sources() {
        let map: ConfigMap = serde_json::from_value(json!({"data": {"a": "1", "b": "2"}})).unwrap();
        let sources = Sources {
            config_maps: [("m".to_owned(), Arc::new(map))].into(),
            tokens: [(("v".to_owned(), "token".to_owned()), "jwt".to_owned())].into(),
            ..Sources::default()
        };
        let cases = [
            (json!({"name": "v", "configMap": {"name": "m"}}), "a 644 1, b 644 2"),
            (
                json!({"name": "v", "configMap": {"name": "m", "defaultMode": 256, "items": [{"key": "b", "path": "x/y"}]}}),
                "x/y 400 2",
            ),
            (json!({"name": "v", "configMap": {"name": "z"}}), "configmap \"z\" not found"),
            (json!({"name": "v", "configMap": {"name": "z", "optional": true}}), ""),
            (
                json!({"name": "v", "configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}}),
                "configmap references non-existent config key: z",
            ),
            (
                json!({"name": "v", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                    {"configMap": {"name": "m", "items": [{"key": "a", "path": "ca.crt"}]}}]}}),
                "ca.crt 644 1, name 644 p, token 644 jwt",
            ),
        ];
        for (volume, expected) in cases {
            assert_eq!(show(volume.clone(), &sources), expected, "{volume}");
        }
    }
}
