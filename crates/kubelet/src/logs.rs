//! Containers' log files: where they are, what is in them, how they are kept small.

mod line;
pub(crate) mod read;
pub(crate) mod rotate;
mod watch;

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::directories::Directories;
use crate::pod::observed::Instance;

/// Removes the log of a run that is forgotten, its rotated parts and its link.
pub(crate) fn remove(directories: &Directories, pod: &Pod, run: &Instance) {
    let log = Path::new(&run.log_path);
    let (Some(dir), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else { return };
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let is_part = found.to_str().is_some_and(|found| found == name || found.starts_with(&format!("{name}.")));
        if is_part {
            let _absent = std::fs::remove_file(entry.path());
        }
    }
    let _absent = std::fs::remove_file(directories.log_link(pod, &run.name, &run.id));
}
