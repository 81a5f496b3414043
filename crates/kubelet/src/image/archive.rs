//! Writes a container image as an OCI image layout in a tar archive, without tools and without a registry.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

const BLOCK: usize = 512;
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A file, directory or link of the image's one layer.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Path below the root, without a leading slash; a directory ends in a slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What an [`Entry`] holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A directory.
    Directory,
    /// A regular file's bytes.
    File(Vec<u8>),
    /// A symbolic link's target.
    Link(String),
}

/// What the image starts.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod's `args` replace.
    pub command: Vec<String>,
    /// `KEY=value` pairs.
    pub environment: Vec<String>,
    /// `uid[:gid]`; empty for root.
    pub user: String,
}

/// The archive of an image called `name` for `architecture` (in Go's words: `amd64`, `arm64`).
#[must_use]
pub fn write(name: &str, architecture: &str, launch: &Launch, entries: &[Entry]) -> Vec<u8> {
    let mut layer = Tar::default();
    for entry in entries {
        layer.append(entry);
    }
    let layer = layer.finish();
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": launch.entrypoint, "Cmd": launch.command, "Env": launch.environment, "User": launch.user},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    })
    .to_string()
    .into_bytes();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config), "layers": [descriptor(LAYER_TYPE, &layer)],
    })
    .to_string()
    .into_bytes();
    let mut described = descriptor(MANIFEST_TYPE, &manifest);
    described["annotations"] = serde_json::json!({"io.containerd.image.name": name});
    described["platform"] = serde_json::json!({"architecture": architecture, "os": "linux"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [described]}).to_string();

    let mut archive = Tar::default();
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    for blob in [&layer, &config, &manifest] {
        archive.file(&format!("blobs/sha256/{}", &digest(blob)["sha256:".len()..]), blob);
    }
    archive.file("index.json", index.as_bytes());
    archive.finish()
}

/// `sha256:` and the hash of `bytes`.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn descriptor(media_type: &str, blob: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

/// A tar archive (POSIX ustar) in the making: every entry root's, dated 1970, so the same content gives the same digest.
#[derive(Debug, Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn file(&mut self, path: &str, bytes: &[u8]) {
        self.header(path, 0o644, b'0', bytes.len(), "");
        self.data(bytes);
    }

    fn append(&mut self, entry: &Entry) {
        match &entry.content {
            Content::Directory => self.header(&entry.path, entry.mode, b'5', 0, ""),
            Content::Link(target) => self.header(&entry.path, entry.mode, b'2', 0, target),
            Content::File(bytes) => {
                self.header(&entry.path, entry.mode, b'0', bytes.len(), "");
                self.data(bytes);
            }
        }
    }

    fn header(&mut self, path: &str, mode: u32, kind: u8, size: usize, link: &str) {
        let mut block = [0u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        assert!(path.len() < 100 && link.len() < 100, "a plain ustar header holds names of up to 99 bytes");
        put(0, path.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{size:011o}").as_bytes());
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let mut text = String::new();
        write!(text, "{sum:06o}\0 ").expect("writing to a string cannot fail");
        block[148..156].copy_from_slice(text.as_bytes());
        self.0.extend_from_slice(&block);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_image_has_the_same_bytes_and_whole_blocks() {
        let entries = [
            Entry { path: "bin/".into(), mode: 0o755, content: Content::Directory },
            Entry { path: "bin/a".into(), mode: 0o755, content: Content::File(b"hello".to_vec()) },
            Entry { path: "bin/b".into(), mode: 0o777, content: Content::Link("a".into()) },
        ];
        let launch = Launch { entrypoint: vec!["/bin/a".into()], ..Launch::default() };
        let image = write("example.com/a:1", "amd64", &launch, &entries);
        assert_eq!(image.len() % BLOCK, 0);
        assert_eq!(image, write("example.com/a:1", "amd64", &launch, &entries));
        assert_eq!(&image[..10], b"oci-layout");
    }
}
