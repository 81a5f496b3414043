//! What `cargo xtask codegen` makes of upstream's round-trip samples: a kind a line, with the hashes of its two encodings.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Bytes of a hash that are kept; the table is for finding differences, not for keeping secrets.
const KEPT_BYTES: usize = 8;

/// Writes `crates/machinery/src/proto/sample.txt` from the samples in `facts`.
pub fn run(facts: &Path) -> Result<()> {
    let folder = facts.join("api-testdata");
    let mut lines =
        vec!["# Written by `cargo xtask codegen`: kind, hash of its JSON, hash of its protobuf.".to_owned()];
    let names = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let mut paths = names.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|found| found == "json")) {
        // What upstream reads of a sample that has several forms is not a sample of its own.
        if path.to_string_lossy().contains(".after_roundtrip.") {
            continue;
        }
        let object: Value = serde_json::from_slice(&fs::read(path)?).with_context(|| format!("{}", path.display()))?;
        let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or("?").to_owned();
        let json = sum(&serde_json::to_vec(&object)?);
        let protobuf = sum(&fs::read(path.with_extension("pb"))?);
        lines.push(format!("{} {} {json} {protobuf}", word("apiVersion"), word("kind")));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/machinery/src/proto/sample.txt");
    fs::write(&file, lines.join("\n") + "\n").with_context(|| format!("write {}", file.display()))?;
    println!("{} samples in {}", lines.len() - 1, file.display());
    Ok(())
}

fn sum(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..KEPT_BYTES])
}
