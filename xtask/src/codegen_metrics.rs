//! What `cargo xtask codegen` makes of the list of upstream's metrics: a family a line, with its type and labels.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Families of Go's run time, which is not ours.
const FOREIGN: &str = "go_";

type Families = BTreeMap<String, (String, Vec<String>)>;

/// Writes `crates/apiserver/tests/it/metrics.txt` from the list in `facts`.
pub fn run(facts: &Path) -> Result<()> {
    let from = facts.join("metrics.json");
    let text = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
    let pages: BTreeMap<String, Families> = serde_json::from_slice(&text)?;
    let mut lines = vec!["# Written by `cargo xtask codegen`: name, type, labels.".to_owned()];
    let families: Families = pages.into_values().flatten().collect();
    for (name, (shape, labels)) in families.iter().filter(|(name, _)| !name.starts_with(FOREIGN)) {
        lines.push(format!("{name} {shape} {}", labels.join(",")).trim_end().to_owned());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/apiserver/tests/it/metrics.txt");
    fs::write(&file, lines.join("\n") + "\n").with_context(|| format!("write {}", file.display()))?;
    println!("{} families of metrics in {}", lines.len() - 1, file.display());
    Ok(())
}
