//! Container images made from Debian packages, since there may be no registry to pull from: nginx, redis, busybox and
//! the example's own. Each is one layer of the programs, the libraries that the loader asks for, and a few files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{install, shell};

/// Debian packages whose files go into images.
const PACKAGES: &[&str] = &["nginx-light", "redis-server", "redis-tools", "busybox-static"];

/// What one image holds.
struct Image {
    /// The reference under which the runtime knows it.
    name: &'static str,
    /// Programs, by their place in the unpacked packages; their libraries follow by themselves.
    programs: &'static [&'static str],
    /// Other files: place in the unpacked packages (kept in the image).
    files: &'static [&'static str],
    /// Files of the checkout: (place in the checkout, place in the image).
    own: &'static [(&'static str, &'static str)],
    /// Programs of this workspace: (package, place in the image).
    built: &'static [(&'static str, &'static str)],
    /// Empty folders.
    folders: &'static [&'static str],
    /// What runs.
    command: &'static [&'static str],
}

const BUSYBOX_LINKS: &[&str] = &[
    "sh",
    "cat",
    "ls",
    "sleep",
    "echo",
    "wget",
    "nc",
    "nslookup",
    "ps",
    "kill",
    "env",
    "id",
    "hostname",
    "mkdir",
    "rm",
    "touch",
    "head",
    "tail",
    "tar",
    "grep",
    "sed",
    "awk",
    "date",
    "df",
    "du",
    "mount",
    "vi",
    "httpd",
    "ping",
    "ip",
    "true",
    "false",
    "test",
    "seq",
    "stat",
    "chmod",
    "chown",
    "cp",
    "mv",
    "ln",
    "dd",
    "wc",
    "sort",
    "tr",
    "yes",
    "stty",
    "tty",
    "trap",
    "md5sum",
    "sha256sum",
    "find",
    "xargs",
    "readlink",
    "top",
    "free",
    "uname",
    "printf",
    "tee",
];

const IMAGES: &[Image] = &[
    Image {
        name: "docker.io/library/busybox:1.35",
        programs: &["bin/busybox"],
        files: &[],
        own: &[],
        built: &[],
        folders: &["tmp", "root", "etc", "var"],
        command: &["sh"],
    },
    Image {
        name: "docker.io/library/nginx:1.22",
        programs: &["usr/sbin/nginx", "bin/busybox"],
        files: &["etc/nginx/mime.types"],
        own: &[("examples/regatta/images/nginx.conf", "etc/nginx/nginx.conf")],
        built: &[],
        folders: &["tmp", "var/log/nginx", "var/lib/nginx", "run", "etc/nginx/conf.d", "usr/share/nginx/html"],
        command: &["nginx", "-g", "daemon off;"],
    },
    Image {
        name: "docker.io/library/redis:7.0",
        programs: &["usr/bin/redis-check-rdb", "usr/bin/redis-cli", "bin/busybox"],
        files: &["usr/bin/redis-server"],
        own: &[],
        built: &[],
        folders: &["tmp", "data", "etc"],
        command: &["redis-server", "--dir", "/data"],
    },
    Image {
        name: "docker.io/coxswain/regatta-api:1",
        programs: &["bin/busybox"],
        files: &[],
        own: &[],
        built: &[("regatta-api", "usr/bin/regatta-api")],
        folders: &["tmp", "etc"],
        command: &["regatta-api"],
    },
];

/// Makes every image that is not made yet; gives the archives, ready to be imported.
///
/// # Errors
/// When a package cannot be fetched or a program is not where it should be.
pub fn build() -> Result<Vec<PathBuf>> {
    let folder = shell::target().join("images");
    std::fs::create_dir_all(&folder).context("making the images folder")?;
    shell::output(shell::command("cargo").args(["build", "--quiet", "--release", "-p", "regatta-api"]))?;
    let recipe = recipe_digest()?;
    IMAGES.iter().map(|image| archive(image, &folder, &recipe)).collect()
}

/// The archive of one image, made unless one of the same recipe lies there.
fn archive(image: &Image, folder: &Path, recipe: &str) -> Result<PathBuf> {
    let file_name = image.name.replace(['/', ':'], "_");
    let path = folder.join(format!("{file_name}-{recipe}.tar"));
    if path.exists() {
        return Ok(path);
    }
    let packages = unpacked_packages(folder)?;
    let stage = folder.join(format!("{file_name}.stage"));
    drop(std::fs::remove_dir_all(&stage));
    fill(image, &packages, &stage).with_context(|| format!("filling image {}", image.name))?;
    write_archive(image, &stage, &path)?;
    drop(std::fs::remove_dir_all(&stage));
    Ok(path)
}

/// Changes with everything that decides what the images hold.
fn recipe_digest() -> Result<String> {
    let mut digest = Sha256::new();
    digest.update(include_bytes!("images.rs"));
    for image in IMAGES {
        for (from, _) in image.own {
            digest.update(std::fs::read(shell::root().join(from)).with_context(|| format!("reading {from}"))?);
        }
        for (package, _) in image.built {
            digest.update(std::fs::read(built(package))?);
        }
    }
    Ok(hex::encode(&digest.finalize()[..6]))
}

fn built(package: &str) -> PathBuf {
    shell::target().join("release").join(package)
}

/// The packages' files below one folder, fetched and unpacked if they are not there yet. Nothing is installed.
fn unpacked_packages(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("packages");
    if root.exists() {
        return Ok(root);
    }
    let (archives, status) = (folder.join("archives"), folder.join("no-status"));
    std::fs::create_dir_all(archives.join("partial")).context("making the packages folder")?;
    // An empty status file makes apt fetch every library too, whatever this machine has.
    std::fs::write(&status, "").context("writing an empty package status")?;
    let fetch = |update: bool| -> Result<()> {
        if update {
            shell::output(install::apt().arg("update"))?;
        }
        shell::output(
            install::apt()
                .args(["install", "--download-only", "--no-install-recommends", "-y"])
                .arg("-o")
                .arg(format!("Dir::State::status={}", status.display()))
                .arg("-o")
                .arg(format!("Dir::Cache::archives={}", archives.display()))
                .args(PACKAGES),
        )
        .map(drop)
    };
    // The package lists may be missing or old: then once more with new ones.
    fetch(false).or_else(|_| fetch(true))?;
    let part = folder.join("packages.part");
    drop(std::fs::remove_dir_all(&part));
    for entry in std::fs::read_dir(&archives).context("listing the packages")? {
        let package = entry?.path();
        if package.extension().is_some_and(|e| e == "deb") {
            shell::output(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&part))?;
        }
    }
    std::fs::rename(&part, &root).context("keeping the unpacked packages")?;
    Ok(root)
}

/// Lays out the image's files below `stage`.
fn fill(image: &Image, packages: &Path, stage: &Path) -> Result<()> {
    for folder in image.folders {
        std::fs::create_dir_all(stage.join(folder))?;
    }
    for program in image.programs.iter().chain(image.files) {
        copy(&packages.join(program), &stage.join(program))?;
    }
    for (from, to) in image.own {
        copy(&shell::root().join(from), &stage.join(to))?;
    }
    for (package, to) in image.built {
        copy(&built(package), &stage.join(to))?;
    }
    let programs = image.programs.iter().chain(image.built.iter().map(|(_, to)| to));
    let libraries: BTreeSet<PathBuf> = programs
        .map(|program| libraries(&stage.join(program), packages))
        .collect::<Result<Vec<_>>>()?
        .concat()
        .into_iter()
        .collect();
    for library in libraries {
        let place = library.strip_prefix(packages).context("a library outside the packages")?;
        copy(&library, &stage.join(place))?;
    }
    if stage.join("bin/busybox").exists() {
        for name in BUSYBOX_LINKS {
            std::os::unix::fs::symlink("busybox", stage.join("bin").join(name))?;
        }
    }
    std::fs::create_dir_all(stage.join("etc"))?;
    std::fs::write(
        stage.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )?;
    std::fs::write(stage.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    Ok(())
}

/// Copies a file, following links, and makes the folders above it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file at the root")?;
    std::fs::create_dir_all(folder)?;
    std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}

/// The loader and libraries that `program` needs, as the packages' own loader finds them. None for a static one.
fn libraries(program: &Path, packages: &Path) -> Result<Vec<PathBuf>> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let loader_name = if std::env::consts::ARCH == "x86_64" { "ld-linux-x86-64.so.2" } else { "ld-linux-aarch64.so.1" };
    let paths: Vec<PathBuf> = ["lib", "usr/lib"].iter().map(|lib| packages.join(lib).join(&triplet)).collect();
    let loader = paths[0].join(loader_name);
    // `ldd` asks the same way: 0 and 2 say that the loader can load it, anything else that it is static.
    let verified = Command::new(&loader).arg("--verify").arg(program).status().context("asking the loader")?;
    if !matches!(verified.code(), Some(0 | 2)) {
        return Ok(Vec::new());
    }
    let text = shell::output(
        Command::new(&loader)
            .args(["--list", "--inhibit-cache", "--library-path"])
            .arg(std::env::join_paths(&paths).context("library paths")?)
            .arg(program),
    )?;
    let mut found: Vec<PathBuf> = text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(packages))
        .collect();
    // Programs name the loader by a fixed place.
    let fixed = packages.join(if std::env::consts::ARCH == "x86_64" { "lib64" } else { "lib" }).join(loader_name);
    found.push(if fixed.exists() { fixed } else { loader });
    Ok(found)
}

/// Writes the archive that `ctr images import` and `docker load` read: OCI image layout.
fn write_archive(image: &Image, stage: &Path, path: &Path) -> Result<()> {
    let layer = layer(stage)?;
    let layer_digest = digest(&layer);
    let path_variable = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let architecture = if std::env::consts::ARCH == "x86_64" { "amd64" } else { "arm64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": [path_variable], "Cmd": image.command, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest.clone()]},
    })
    .to_string()
    .into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string()
    .into_bytes();
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] =
        json!({"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes();

    let part = path.with_extension("part");
    let mut archive = tar::Builder::new(File::create(&part).context("making the archive")?);
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", &index)?;
    for blob in [&layer, &config, &manifest] {
        append(&mut archive, &format!("blobs/sha256/{}", &digest(blob)["sha256:".len()..]), blob)?;
    }
    archive.into_inner().context("ending the archive")?.flush()?;
    std::fs::rename(&part, path).context("keeping the archive")?;
    Ok(())
}

fn layer(stage: &Path) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_dir_all(".", stage).context("packing the layer")?;
    tar.into_inner().context("ending the layer")
}

fn append(archive: &mut tar::Builder<File>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, bytes).with_context(|| format!("packing {name}"))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
