//! Writes a volume's files so that a reader sees the old ones or the new ones, never some of each: a new directory
//! beside the old, then one rename of the link `..data` that all visible names go through.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use super::payload::{File, Files};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";
/// The generations' directories, after upstream's dated names.
const GENERATION: &str = "..gen_";

/// Makes `dir` hold exactly `files`, given to `group`. Files that are right already are not touched.
///
/// # Errors
/// When something cannot be written, or a path leads out of the volume.
pub fn write(dir: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    for path in files.keys() {
        verify(path)?;
    }
    std::fs::create_dir_all(dir)?;
    let old = std::fs::read_link(dir.join(DATA)).ok();
    if old.as_ref().is_some_and(|old| is_same(&dir.join(old), files)) {
        return Ok(());
    }
    let generation = next_generation(old.as_deref());
    let fresh = dir.join(&generation);
    remove(&fresh)?;
    std::fs::DirBuilder::new().mode(0o755).create(&fresh)?;
    for (path, file) in files {
        write_file(&fresh, path, file, group)?;
    }
    if let Some(group) = group {
        super::ownership::give(&fresh, group)?;
    }
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(if group.is_some() { 0o2775 } else { 0o755 }))?;
    let new_data = dir.join(NEW_DATA);
    remove(&new_data)?;
    symlink(&generation, &new_data)?;
    std::fs::rename(&new_data, dir.join(DATA))?;
    link_names(dir, files)?;
    match old {
        Some(old) => remove(&dir.join(old)),
        None => Ok(()),
    }
}

fn write_file(root: &Path, path: &str, file: &File, group: Option<u32>) -> io::Result<()> {
    let target = root.join(path);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&target, &file.bytes)?;
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(file.mode))?;
    std::os::unix::fs::chown(&target, file.owner, group)
}

/// Visible names: a link for the first part of every path, none for parts that are gone.
fn link_names(dir: &Path, files: &Files) -> io::Result<()> {
    let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let wanted: std::collections::BTreeSet<String> = files.keys().map(|path| first(path)).collect();
    for name in &wanted {
        let link = dir.join(name);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), link)?;
        }
    }
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("..") && !wanted.contains(name) {
            remove(&dir.join(name))?;
        }
    }
    Ok(())
}

fn is_same(dir: &Path, files: &Files) -> bool {
    let mut found = Vec::new();
    collect(dir, dir, &mut found);
    let same = |path: &PathBuf| {
        path.to_str().and_then(|path| files.get(path)).is_some_and(|file| {
            let full = dir.join(path);
            let mode = std::fs::metadata(&full).map(|metadata| metadata.mode() & 0o700);
            std::fs::read(&full).is_ok_and(|bytes| bytes == file.bytes)
                && mode.is_ok_and(|mode| mode == file.mode & 0o700)
        })
    };
    found.len() == files.len() && found.iter().all(same)
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.push(relative.to_owned());
        }
    }
}

fn next_generation(old: Option<&Path>) -> String {
    let number =
        old.and_then(Path::to_str).and_then(|old| old.strip_prefix(GENERATION)).and_then(|old| old.parse().ok());
    format!("{GENERATION}{}", number.unwrap_or(0u64) + 1)
}

fn verify(path: &str) -> io::Result<()> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !path.is_empty() && !path.starts_with("..") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {path:?}")))
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec(), mode: 0o644, owner: None };
        list.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    #[test]
    fn replaces_all_at_once_and_only_when_different() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("volume");
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let data = || std::fs::read_link(dir.join(DATA)).unwrap();
        write(&dir, &files(&[("a", "1"), ("b/c", "2")]), None).unwrap();
        assert_eq!((read("a"), read("b/c")), ("1".into(), "2".into()));
        let before = data();
        write(&dir, &files(&[("a", "1"), ("b/c", "2")]), None).unwrap();
        assert_eq!(data(), before);
        write(&dir, &files(&[("a", "3"), ("d", "4")]), None).unwrap();
        assert_eq!((read("a"), read("d")), ("3".into(), "4".into()));
        let mut names: Vec<String> =
            std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["..data", "..gen_2", "a", "d"]);
        assert!(write(&dir, &files(&[("../x", "1")]), None).is_err());
    }
}
