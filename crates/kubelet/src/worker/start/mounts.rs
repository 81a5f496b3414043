//! A container's mounts: its volumes, the hosts file, the file for its last words.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use crate::pod::expand::expand;
use crate::pod::{hosts, spec};
use crate::proto::cri::{Mount, MountPropagation};
use crate::volume::{Volumes, sub_path};
use crate::worker::Step;

const HOSTS: &str = "/etc/hosts";

impl Step {
    pub(super) fn mounts(
        &self,
        container: &Container,
        volumes: &Volumes,
        variables: &BTreeMap<String, String>,
        recursive: bool,
    ) -> Result<Vec<Mount>, String> {
        let mut mounts = Vec::new();
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let recursive_read_only = recursive_read_only(mount, recursive)
                .map_err(|error| format!("failed to resolve recursive read-only mode: {error}"))?;
            let mount = self.volume_mount(container, index, mount, volumes, variables)?;
            mounts.push(Mount { recursive_read_only, ..mount });
        }
        if !mounts.iter().any(|mount| mount.container_path == HOSTS) {
            mounts.push(self.hosts_mount()?);
        }
        mounts.push(self.last_words_mount(container)?);
        Ok(mounts)
    }

    fn volume_mount(
        &self,
        container: &Container,
        index: usize,
        mount: &VolumeMount,
        volumes: &Volumes,
        variables: &BTreeMap<String, String>,
    ) -> Result<Mount, String> {
        let volume = volumes.get(&mount.name);
        let volume = volume.ok_or_else(|| {
            format!("cannot find volume \"{}\" to mount into container \"{}\"", mount.name, container.name)
        })?;
        let expanded = mount
            .sub_path_expr
            .as_deref()
            .map(|expression| expand(expression, |name| variables.get(name).map(String::as_str)));
        let part = expanded.or_else(|| mount.sub_path.clone()).filter(|part| !part.is_empty());
        let host_path = match part {
            None => volume.clone(),
            Some(part) => {
                let dir = self.node.directories.sub_paths(spec::uid(&self.pod)).join(&mount.name).join(&container.name);
                sub_path::bind(volume, &part, &dir, &index.to_string()).map_err(|error| {
                    format!(
                        "failed to prepare subPath for volumeMount \"{}\" of container \"{}\": {error}",
                        mount.name, container.name
                    )
                })?
            }
        };
        let propagation = match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => MountPropagation::PropagationBidirectional,
            _ => MountPropagation::PropagationPrivate,
        };
        let path =
            if mount.mount_path.starts_with('/') { mount.mount_path.clone() } else { format!("/{}", mount.mount_path) };
        Ok(Mount {
            readonly: mount.read_only.unwrap_or(false),
            propagation: propagation as i32,
            ..plain(&path, &host_path)
        })
    }

    fn hosts_mount(&self) -> Result<Mount, String> {
        let path = self.node.directories.hosts(spec::uid(&self.pod));
        let own = std::fs::read_to_string(HOSTS).unwrap_or_default();
        let text = hosts::hosts(&self.pod, &self.addresses().pod, &self.node.dns.cluster_domain, &own);
        write(&path, &text, 0o644)?;
        Ok(plain(HOSTS, &path))
    }

    fn last_words_mount(&self, container: &Container) -> Result<Mount, String> {
        let dir = self.node.directories.container(spec::uid(&self.pod), &container.name);
        let path = dir.join(self.node.random().suffix(8));
        write(&path, "", 0o666)?;
        let inside = container.termination_message_path.as_deref().unwrap_or(spec::TERMINATION_MESSAGE_PATH);
        Ok(plain(inside, &path))
    }
}

/// Whether what is mounted below a read-only volume is to be read-only too; `supported` by the runtime (KEP-3857).
fn recursive_read_only(mount: &VolumeMount, supported: bool) -> Result<bool, String> {
    let mode = mount.recursive_read_only.as_deref().unwrap_or("Disabled");
    if mode == "Disabled" {
        return Ok(false);
    }
    let asked = format!("volume \"{}\" requested recursive read-only mode", mount.name);
    let propagation = mount.mount_propagation.as_deref().unwrap_or("None");
    match mode {
        _ if mount.read_only != Some(true) => Err(format!("{asked}, but it is not read-only")),
        _ if propagation != "None" => {
            Err(format!("{asked}, but it is not compatible with propagation \"{propagation}\""))
        }
        "IfPossible" => Ok(supported),
        "Enabled" if supported => Ok(true),
        "Enabled" => Err(format!("{asked}, but it is not supported by the runtime")),
        _ => Err(format!("unknown recursive read-only mode \"{mode}\"")),
    }
}

fn plain(container: &str, host: &Path) -> Mount {
    let host_path = host.to_string_lossy().into_owned();
    Mount { container_path: container.to_owned(), host_path, ..Mount::default() }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let made = path.parent().map(std::fs::create_dir_all).transpose();
    made.and_then(|_| std::fs::write(path, text))
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .map_err(|error| format!("writing {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recursive_read_only_as_asked_and_as_possible() {
        let mount = |mode: &str, read_only, propagation: Option<&str>| VolumeMount {
            name: "v".into(),
            recursive_read_only: Some(mode.to_owned()),
            read_only: Some(read_only),
            mount_propagation: propagation.map(str::to_owned),
            ..VolumeMount::default()
        };
        let cases = [
            (mount("Disabled", false, None), true, "false"),
            (mount("IfPossible", true, None), false, "false"),
            (mount("IfPossible", true, None), true, "true"),
            (mount("Enabled", true, Some("None")), true, "true"),
            (mount("Enabled", true, None), false, "not supported by the runtime"),
            (mount("Enabled", false, None), true, "but it is not read-only"),
            (mount("Enabled", true, Some("Bidirectional")), true, "propagation \"Bidirectional\""),
        ];
        for (mount, supported, expected) in cases {
            let found = recursive_read_only(&mount, supported).map_or_else(|error| error, |yes| yes.to_string());
            assert!(found.contains(expected), "{mount:?}: {found}");
        }
    }
}
