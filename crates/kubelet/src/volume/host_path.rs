//! hostPath: a path of the node itself, after a look at what is there.

use std::fs::FileType;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

pub(super) fn set_up(source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&source.path);
    check(&path, source.type_.as_deref().unwrap_or_default())?;
    Ok(path)
}

fn check(path: &Path, kind: &str) -> Result<(), String> {
    let found = std::fs::metadata(path).ok().map(|metadata| metadata.file_type());
    let expect = |is: fn(&FileType) -> bool, what: &str| match found.as_ref().is_some_and(is) {
        true => Ok(()),
        false => Err(format!("hostPath type check failed: {} is not a {what}", path.display())),
    };
    match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if found.is_none() => make(path, 0o755, |path| std::fs::create_dir_all(path)),
        "FileOrCreate" if found.is_none() => make(path, 0o644, |path| std::fs::File::create(path).map(drop)),
        "Directory" | "DirectoryOrCreate" => expect(FileType::is_dir, "directory"),
        "File" | "FileOrCreate" => expect(FileType::is_file, "file"),
        "Socket" => expect(FileType::is_socket, "socket file"),
        "CharDevice" => expect(FileType::is_char_device, "character device"),
        "BlockDevice" => expect(FileType::is_block_device, "block device"),
        other => Err(format!("{other} is an invalid volume type")),
    }
}

fn make(path: &Path, mode: u32, make: impl Fn(&Path) -> std::io::Result<()>) -> Result<(), String> {
    let made = make(path).and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)));
    made.map_err(|error| format!("making {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_makes() {
        let dir = tempfile::tempdir().unwrap();
        let (new, file) = (dir.path().join("new"), dir.path().join("file"));
        check(&new, "DirectoryOrCreate").unwrap();
        check(&file, "FileOrCreate").unwrap();
        assert!(new.is_dir() && file.is_file());
        let message = format!("hostPath type check failed: {} is not a directory", file.display());
        assert_eq!(check(&file, "Directory"), Err(message));
        check(&dir.path().join("absent"), "").unwrap();
    }
}
